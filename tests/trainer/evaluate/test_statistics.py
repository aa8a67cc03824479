"""Intervals and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainer.evaluate.statistics import RESAMPLES, bootstrap, bootstrap_mean, compare


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


@pytest.mark.parametrize("n", [4, 6, 20])
def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(200):
        low, high = bootstrap_mean(rng.standard_normal(n), ["one"] * n) or (0.0, 0.0)
        held += low <= 0 <= high
    assert 0.85 <= held / 200 <= 0.99  # plain percentiles of four: 0.75


def test_groups_are_resampled_whole() -> None:
    rng = np.random.default_rng(5)
    groups = [f"g{n}" for n in range(30) for _ in range(10)]
    values = np.repeat(rng.standard_normal(30), 10)
    apart, whole = bootstrap_mean(values, ["one"] * 300), bootstrap_mean(values, groups)
    assert apart is not None and whole is not None
    assert whole[1] - whole[0] == pytest.approx(np.sqrt(10) * (apart[1] - apart[0]), rel=0.15)
    assert bootstrap_mean(values[:20], groups[:20]) is None


def test_the_bootstrap_of_any_metric_is_that_of_a_mean() -> None:
    values = np.random.default_rng(6).standard_normal(400)
    low, high = bootstrap(means(values), 400)
    assert (low, high) == pytest.approx(bootstrap_mean(values, ["one"] * 400), abs=0.02)
