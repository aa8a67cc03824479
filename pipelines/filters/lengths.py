"""Bounds on how long the texts of a pair are, in characters and in words, and on the words that they share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.filters.rule import check_bounds
from schemas.pair import Pair, normalise


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
        check_bounds("anchor words", self.min_anchor, self.max_anchor)
        check_bounds("positive words", self.min_positive, self.max_positive)

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
        check_bounds("overlap", self.least, self.most, ceiling=1)

    def __call__(self, pair: Pair) -> str | None:
        anchor, positive = set(words_of(normalise(pair.anchor))), set(words_of(normalise(pair.positive)))
        shared = len(anchor & positive)
        overlap = shared / ((len(anchor) + len(positive) - shared) or 1)
        if self.least is not None and overlap < self.least:
            return "overlap_too_low"
        if self.most is not None and overlap > self.most:
            return "overlap_too_high"
        return None
