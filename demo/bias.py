"""Gender bias as the page shows it: one example of the user's, and all occupations of the evaluation."""

from __future__ import annotations

import threading
from typing import Any

from demo.encoders import SharedEncoder
from trainer.evaluate.gender_bias import OccupationBias, preferences, report_bias
from trainer.evaluate.gender_examples import Example, own_examples
from trainer.evaluate.task import Encode
from trainer.evaluate.vector_contender import VectorContender


class Bias:
    """Preferences of encoders; those over all occupations are computed once for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._summaries: dict[str, dict[str, Any]] = {}

    def preference(self, encoder: SharedEncoder, anchor: str, female: str, male: str) -> dict[str, Any]:
        """The cosines of the anchor with each version, and which is nearer."""
        contender = _contender(encoder, lambda texts, prompt: encoder.encode(texts))
        (found,) = preferences(contender, [Example("", anchor, female, male)])
        nearer = "neither" if found.difference == 0 else "female" if found.difference > 0 else "male"
        return {"female": found.female, "male": found.male, "difference": found.difference, "nearer": nearer}

    def occupations(self, encoder: SharedEncoder) -> dict[str, Any]:
        """The mean preference of each occupation and of all, with 95% intervals, the one nearest to female first."""
        with self._lock:  # of many who ask at once one computes, and the others find it done
            if encoder.name not in self._summaries:
                contender = _contender(encoder, lambda texts, prompt: encoder.encode_later(texts).result())
                found = preferences(contender, own_examples())
                report = report_bias(found, {})
                self._summaries[encoder.name] = {
                    "encoder": encoder.name,
                    "examples": len(found),
                    "all": _document(report.overall),
                    "occupations": [_document(one) for one in report.occupations],
                }
            return self._summaries[encoder.name]


def _contender(encoder: SharedEncoder, encode: Encode) -> VectorContender:
    """`encode` need not look at a prompt: the encoder knows its own."""
    return VectorContender(encoder.name, encode, encoder.similarity)


def _document(summary: OccupationBias) -> dict[str, Any]:
    low, high = summary.difference_interval or (None, None)
    return {
        "occupation": summary.occupation,
        "examples": summary.examples,
        "female_preferred": summary.female_nearer,
        "difference": summary.difference,
        "low": low,
        "high": high,
    }
