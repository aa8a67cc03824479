"""How sure a score is: Wilson's interval, the bootstrap, and the paired bootstrap of two contenders."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
QUANTILE_95 = 1.959963984540054

Resample = Callable[[NDArray[np.intp]], float]
"""The metric on the items whose numbers are given, repeats counted."""


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a share.

    >>> tuple(round(end, 4) for end in wilson(8, 10))
    (0.4902, 0.9433)
    """
    z2 = QUANTILE_95**2
    middle = (successes + z2 / 2) / (trials + z2)
    half = QUANTILE_95 / (trials + z2) * math.sqrt(successes * (trials - successes) / trials + z2 / 4)
    low = middle - half if successes > 0 else 0.0
    high = middle + half if successes < trials else 1.0
    return low, high


def bootstrap_mean(values: NDArray[np.float64], groups: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """The 95% percentile interval of a mean.

    Whole groups are resampled, since the values of one are alike; where there is one group alone, its values.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    if not group.any():
        group = np.arange(len(values))
    sums, counts = np.bincount(group, values), np.bincount(group)
    some = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.quantile(sums[some].sum(axis=1) / counts[some].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """How far one contender is ahead of another on the same items."""

    difference: float
    low: float
    high: float
    """The 95% interval of the difference."""
    p: float
    """Two-sided: how often a difference resampled about zero would be as large, at least 1/(resamples + 1)."""


def compare(first: Resample, second: Resample, items: int, seed: int = 0) -> Comparison:
    """First minus second by the paired bootstrap: both see the same resampled items.

    Efron & Tibshirani, *An Introduction to the Bootstrap*, chapters 13 and 16.
    """
    rng = np.random.default_rng(seed)
    everything = np.arange(items)
    difference = first(everything) - second(everything)
    drawn = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        some = rng.integers(items, size=items)
        drawn[n] = first(some) - second(some)
    low, high = np.quantile(drawn, (0.025, 0.975))
    # A bootstrap distribution moved to zero is what would be seen were there no difference.
    beyond = int(np.sum(np.abs(drawn - difference) >= abs(difference)))
    return Comparison(float(difference), float(low), float(high), (beyond + 1) / (RESAMPLES + 1))
