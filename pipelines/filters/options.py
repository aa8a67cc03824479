"""Which filters a corpus goes through: a preset, and what is asked for besides.

The preset `published` is what the original did, `clean` adds what we recommend; explicit options go on top of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pipelines.filters.boilerplate import BOILERPLATE
from pipelines.filters.degenerate import (
    ONLY_MARKUP,
    ONLY_URLS,
    REPEATED,
    LetterRule,
    empty_text,
    not_unicode,
    same_text,
)
from pipelines.filters.language import LanguageRule
from pipelines.filters.lengths import OverlapRule, WordRule
from pipelines.filters.rule import Filter, check_bounds

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
RULES_BY_KIND: dict[Kind, Filter] = {
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
            if unknown := sorted(set(kinds) - RULES_BY_KIND.keys()):
                raise ValueError(f"{option} has {', '.join(unknown)}; expected of {', '.join(RULES_BY_KIND)}")
        if both := sorted(set(self.drop) & set(self.keep)):
            raise ValueError(f"{', '.join(both)} in both drop and keep; expected in one")
        check_bounds("language confidence", self.min_confidence, None, ceiling=1)
        self._asked_for()  # the rules check their own bounds

    def filters_for(self, published: tuple[Filter, ...], clean: tuple[Filter, ...] = CLEAN) -> tuple[Filter, ...]:
        """The filters of a source, in order, each once.

        Its published rules always count; those of `clean` with the preset of that name.
        """
        recommended = tuple(self._adjusted(clean)) if self.filters == "clean" else ()
        return tuple(dict.fromkeys((not_unicode, *published, *recommended, *self._asked_for())))

    def _adjusted(self, clean: Iterable[Filter]) -> Iterator[Filter]:
        kept = [RULES_BY_KIND[kind] for kind in self.keep]
        for rule in clean:
            if rule in kept or (self.min_letters is not None and isinstance(rule, LetterRule)):
                continue
            yield rule

    def _asked_for(self) -> Iterable[Filter]:
        asked: list[Filter] = [rule for kind, rule in RULES_BY_KIND.items() if kind in self.drop]
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
