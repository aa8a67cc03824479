"""What a mixture will draw, from its line counts alone: shares, epochs, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.mixture import Mixture


@dataclass(frozen=True)
class DatasetCoverage:
    """What a run draws from one dataset."""

    name: str
    lines: int | None
    """Pairs of the dataset; None where nobody says."""
    weight: float
    share: float
    """Of all pairs drawn, 0 to 1."""
    draws: int
    """Pairs drawn in the run."""
    epochs: float | None
    """How often the dataset is read through."""
    coverage: float | None
    """Part of the dataset that is seen, 0 to 1: within an epoch no pair comes twice."""


def foresee(mixture: Mixture, lines: Mapping[str, int | None], draws: int) -> list[DatasetCoverage]:
    """The coverage of each dataset of a mixture after `draws` pairs."""
    found = []
    for entry in mixture.datasets:
        share = entry.weight / mixture.total_weight
        count = lines.get(entry.name)
        epochs = draws * share / count if count else None
        coverage = None if epochs is None else min(1.0, epochs)
        found.append(DatasetCoverage(entry.name, count, entry.weight, share, round(draws * share), epochs, coverage))
    return found
