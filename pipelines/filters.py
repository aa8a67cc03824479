"""Filters: a predicate gives None to keep a pair, or the reason why it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.funnel import Drop
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


def same_text(pair: Pair) -> str | None:
    """Anchor and positive equal once normalised: nothing to learn."""
    return "anchor_is_positive" if normalise(pair.anchor) == normalise(pair.positive) else None


def not_unicode(pair: Pair) -> str | None:
    """A text with half a surrogate pair: no encoding of Unicode can write it."""
    for text in (*pair.texts, *pair.contexts, pair.group, pair.cluster or ""):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                return "not_unicode"
    return None


def empty_text(pair: Pair) -> str | None:
    """A text of nothing but white space."""
    return None if all(text.strip() for text in pair.texts) else "empty_text"


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
