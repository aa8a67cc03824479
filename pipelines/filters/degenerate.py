"""Pairs with nothing to learn from: no text, one text twice, nothing but URLs, markup, repetition or signs."""

from __future__ import annotations

import html
import re
import string
from dataclasses import dataclass
from unicodedata import category

from pipelines.filters.rule import TextRule, check_bounds
from schemas.pair import Pair, normalise


def not_unicode(pair: Pair) -> str | None:
    """A text with half a surrogate pair: no encoding of Unicode can write it."""
    every = "".join((pair.anchor, pair.positive, *pair.negatives, *pair.contexts, pair.group, pair.cluster or ""))
    if not every.isascii():
        try:
            every.encode()
        except UnicodeEncodeError:
            return "not_unicode"
    return None


def empty_text(pair: Pair) -> str | None:
    """A text of nothing but white space."""
    for text in pair.texts:
        if not text or text.isspace():
            return "empty_text"
    return None


def same_text(pair: Pair) -> str | None:
    """Anchor and positive equal once normalised: nothing to learn."""
    anchor, positive = pair.anchor, pair.positive
    if (
        anchor.isascii()
        and positive.isascii()
        and anchor.lstrip()[:1].casefold() != positive.lstrip()[:1].casefold()  # most pairs; spares normalising
    ):
        return None
    return "anchor_is_positive" if normalise(anchor) == normalise(positive) else None


# Texts of nothing but one thing

_URL_CHARACTERS = r"[!-;=?-Z\\^-~]"  # ASCII but for <, >, [ and ]
_URL = rf"(?:https?://|ftp://|www\.){_URL_CHARACTERS}++"
_LINKS = re.compile(rf"(?:[\W_]*(?:\[[^\[\]]{{0,30}}\]\(\s*+)?{_URL})++[\W_]*+", re.IGNORECASE)


def is_only_urls(text: str) -> bool:
    """Whether nothing but URLs and punctuation is there, at least one URL.

    A Markdown link counts whole where its label has at most 30 characters; a longer one is a text.
    """
    if "://" not in text and "www." not in text:
        return False
    return _LINKS.fullmatch(text) is not None


_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_TAG = re.compile(r"<[/!?]?[A-Za-z-][^<>]*>")
_ENTITY = re.compile(r"&(?:#[xX]?[0-9A-Fa-f]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});")
_MARKDOWN = re.compile(r"(?=\s*\S)[\s>*_`~#|=+\\:-]*")


def is_only_markup(text: str) -> bool:
    """Whether tags, entities and Markdown's marks are all there is: without them, no letter or digit is left.

    Entities are read before they are judged, so `&nbsp;` is markup and `&#20320;` is a letter.
    """
    rest = text
    if "&" in text:
        for _ in range(2):  # dumps escape what was escaped already: &amp;nbsp;
            rest = _ENTITY.sub(_read_entity, rest)
    if "<" in rest:
        rest = _TAG.sub(" ", rest)
    if _LETTER_OR_DIGIT.search(rest):
        return False
    return rest != text or _MARKDOWN.fullmatch(rest) is not None


def _read_entity(match: re.Match[str]) -> str:
    return html.unescape(match[0])


_REPEATED = re.compile(r"(.{1,5}?)\1{3,}", re.DOTALL)
_SHORTEST_RUN = 8


def is_repeated(text: str) -> bool:
    """Whether one unit of one to five characters, four times or more in a row, makes over half of the text.

    From eight characters on: `!!!!!!!!!`, `hahahahaha`, `no no no no no`, `noooooooo`, but not `ewwwww`.
    Runs are those that a scan from the left meets.
    """
    size = len(text)
    if size >= 22:
        # Over half the text covers its middle and six characters more to one side at least. There two
        # characters stand again after three, four or five; for units of one and two, after four too.
        middle = size // 2
        after, before = text[middle : middle + 2], text[middle - 1 : middle + 1]
        if after not in text[middle + 3 : middle + 7] and before not in text[middle - 6 : middle - 2]:
            return False
    shortest = max(_SHORTEST_RUN, size // 2 + 1)
    return size >= shortest and any(len(run[0]) >= shortest for run in _REPEATED.finditer(text))


ONLY_URLS = TextRule("only_urls", is_only_urls)
ONLY_MARKUP = TextRule("only_markup", is_only_markup)
REPEATED = TextRule("repeated", is_repeated)


# Texts of few letters

_ASCII_LETTERS = string.ascii_letters.encode()
_ASCII_LETTERS_DIGITS = _ASCII_LETTERS + string.digits.encode()
_ASCII_SPACE = b" \t\n\v\f\r\x1c\x1d\x1e\x1f"


@dataclass(frozen=True)
class LetterRule:
    """Letters must be at least this share of the characters that are no white space.

    Letters are those of every script, with their combining marks: Unicode's categories L and M.
    """

    least: float
    digits: bool = False
    """Whether digits (category N) count as letters, so that `1923` remains an answer."""

    def __post_init__(self) -> None:
        check_bounds("share of letters", self.least, None, ceiling=1)

    def __call__(self, pair: Pair) -> str | None:
        if self._too_few(pair.anchor):
            return "anchor_too_few_letters"
        if self._too_few(pair.positive):
            return "positive_too_few_letters"
        return None

    def _too_few(self, text: str) -> bool:
        # First the count that is cheap to take, against all characters: it lets most texts through.
        if text.isascii():
            encoded = text.encode()
            others = encoded.translate(None, _ASCII_LETTERS_DIGITS if self.digits else _ASCII_LETTERS)
            letters = len(encoded) - len(others)
            if letters >= self.least * len(encoded):
                return False
            solid = len(encoded.translate(None, _ASCII_SPACE))
        else:
            if sum(map(str.isalpha, text)) >= self.least * len(text):
                return False
            wanted = "LMN" if self.digits else "LM"
            letters = sum(category(character)[0] in wanted for character in text)
            solid = len(text) - sum(map(str.isspace, text))
        return letters < self.least * solid
