"""Intervals and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainer.evaluate.statistics import RESAMPLES, compare


def means(values: np.ndarray):
    return lambda some: float(values[some].mean())


def test_a_clear_difference_is_sure_and_none_is_not() -> None:
    rng = np.random.default_rng(1)
    hard = rng.standard_normal(400)
    better, worse, same = hard + 0.5 + 0.1 * rng.standard_normal(400), hard, hard + 0.5 * rng.standard_normal(400)
    clear = compare(means(better), means(worse), 400)
    assert clear.low < clear.difference < clear.high and clear.low > 0.4
    assert clear.p == pytest.approx(1 / (RESAMPLES + 1))
    assert compare(means(worse), means(worse), 400).p == 1
    unclear = compare(means(same), means(worse), 400)
    assert unclear.low < 0 < unclear.high and unclear.p > 0.05


def test_the_interval_is_that_of_the_paired_differences() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal(500), rng.standard_normal(500)
    found = compare(means(first), means(second), 500)
    width = 2 * stats.norm.ppf(0.975) * np.std(first - second, ddof=1) / np.sqrt(500)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_a_comparison_repeats_with_its_seed_and_turns_with_its_sides() -> None:
    rng = np.random.default_rng(3)
    first, second = means(rng.standard_normal(50)), means(rng.standard_normal(50))
    one = compare(first, second, 50, seed=7)
    assert one == compare(first, second, 50, seed=7) != compare(first, second, 50, seed=8)
    other = compare(second, first, 50, seed=7)
    assert (other.difference, other.low, other.p) == pytest.approx((-one.difference, -one.high, one.p))
