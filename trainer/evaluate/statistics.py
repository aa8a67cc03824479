"""How sure a score is: Wilson's interval, the bootstrap, and the paired bootstrap of two contenders."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

RESAMPLES = 1000
QUANTILE_95 = 1.959963984540054

Interval = tuple[float, float]
"""Its low and its high end."""

Resample = Callable[[NDArray[np.intp]], float]
"""The metric on the items whose numbers are given, repeats counted."""


def wilson(successes: float, trials: int) -> Interval:
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


def bootstrap(metric: Resample, items: int, seed: int = 0) -> Interval:
    """The 95% percentile interval of a metric on items."""
    rng = np.random.default_rng(seed)
    drawn = [metric(rng.integers(items, size=items)) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def bootstrap_mean(values: NDArray[np.float64], groups: Sequence[str], seed: int = 0) -> Interval | None:
    """The 95% expanded percentile interval of a mean; None where fewer than three are resampled.

    Whole groups are resampled, since the values of one are alike; where there is one group alone, its values.
    Of few values the percentiles lie further out, as Student's t does (Hesterberg, "What Teachers Should Know
    About the Bootstrap", 2015): plain percentiles of six values are too narrow by 30%.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    if not group.any():
        group = np.arange(len(values))
    sums, counts = np.bincount(group, values), np.bincount(group)
    if (n := len(sums)) < 3:
        return None
    tail = special.ndtr(-math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, 0.975))
    some = np.random.default_rng(seed).integers(n, size=(10 * RESAMPLES, n))
    low, high = np.quantile(sums[some].sum(axis=1) / counts[some].sum(axis=1), (tail, 1 - tail))
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
