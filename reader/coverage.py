"""What a mixture will draw, from its line counts alone: shares, epochs, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reader.segments import SegmentedSchedule
from schemas.mixture import Mixture


@dataclass(frozen=True)
class DatasetCoverage:
    """What a run draws from one dataset."""

    name: str
    lines: int | None
    """Pairs of the dataset; None where nobody says."""
    weight: float
    """At step 0."""
    share: float
    """Of all pairs drawn in the run, 0 to 1."""
    draws: int
    """Pairs drawn in the run."""
    epochs: float | None
    """How often the dataset is read through."""
    coverage: float | None
    """Part of the dataset that is seen, 0 to 1: within an epoch no pair comes twice."""


def foresee(
    mixture: Mixture,
    schedule: SegmentedSchedule,
    lines: Mapping[str, int | None],
    *,
    steps: int,
    batch_size: int,
) -> list[DatasetCoverage]:
    """The coverage of each dataset of a mixture after `steps` batches, as the weights have it."""
    batches = schedule.expected(steps)
    weights = mixture.weigh(lines)[0][1]
    found = []
    for entry, weight, deserved in zip(mixture.datasets, weights, batches.tolist(), strict=True):
        count = lines.get(entry.name)
        draws = deserved * batch_size
        epochs = draws / count if count else None
        coverage = None if epochs is None else min(1.0, epochs)
        share = deserved / float(batches.sum())
        found.append(DatasetCoverage(entry.name, count, weight, share, round(draws), epochs, coverage))
    return found
