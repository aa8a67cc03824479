from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reader.pfair import MAX_PERIOD
from reader.schedule import HomogeneousSchedule
from reader.schedule import make_homogeneous as make_schedule
from schemas.mixture import Mixture


def count_rows(schedule: HomogeneousSchedule, datasets: int, steps: int) -> np.ndarray:
    """[steps, datasets] rows of each dataset in each batch, from `slots` alone."""
    counted = np.zeros((steps, datasets), np.int64)
    for step in range(steps):
        for slot in schedule.slots(step):
            counted[step, slot.dataset] += slot.rows
    return counted


@st.composite
def mixtures(draw):
    """(weights, batch size, slots, seed) with a short exact period."""
    weights = draw(st.lists(st.integers(0, 12), min_size=1, max_size=7).filter(any))
    slots = draw(st.integers(1, 4))
    return weights, slots * draw(st.integers(1, 16)), slots, draw(st.integers(0, 2**62))


@given(mixtures())
@settings(max_examples=200)
def test_every_batch_is_full_and_its_datasets_are_distinct(mixture):
    weights, batch_size, slots, seed = mixture
    schedule = make_schedule(weights, batch_size=batch_size, slots=slots, seed=seed)
    for step in range(schedule.period):
        batch = schedule.slots(step)
        assert sum(slot.rows for slot in batch) == batch_size
        assert len({slot.dataset for slot in batch}) == len(batch) <= max(slots, 1)
        assert all(slot.rows > 0 and weights[slot.dataset] > 0 for slot in batch)


@given(mixtures())
@settings(max_examples=200)
def test_a_batch_has_two_datasets_when_the_mixture_has(mixture):
    weights, batch_size, slots, seed = mixture
    assume(slots >= 2 and sum(weight > 0 for weight in weights) >= 2)
    # A share of less than one row a batch cannot be in every batch.
    assume((1 - Fraction(max(weights), sum(weights))) * batch_size >= 1)
    schedule = make_schedule(weights, batch_size=batch_size, slots=slots, seed=seed)
    assert all(len(schedule.slots(step)) >= 2 for step in range(schedule.period))


@given(mixtures())
@settings(max_examples=200)
def test_every_dataset_keeps_within_one_slot_of_its_weight_at_every_step(mixture):
    weights, batch_size, slots, seed = mixture
    schedule = make_schedule(weights, batch_size=batch_size, slots=slots, seed=seed)
    drawn = np.cumsum(count_rows(schedule, len(weights), schedule.period), axis=0)
    deserved = np.outer(np.arange(1, schedule.period + 1), np.array(weights) / sum(weights)) * batch_size
    assert np.abs(drawn - deserved).max() <= batch_size / slots + 2


@given(mixtures())
@settings(max_examples=200)
def test_an_exact_period_gives_every_dataset_its_weight_to_the_row(mixture):
    weights, batch_size, slots, seed = mixture
    schedule = make_schedule(weights, batch_size=batch_size, slots=slots, seed=seed)
    drawn = count_rows(schedule, len(weights), schedule.period).sum(axis=0)
    exact = [Fraction(weight * batch_size * schedule.period, sum(weights)) for weight in weights]
    assert drawn.tolist() == exact
    assert schedule.largest_error == 0


@given(mixtures())
def test_positions_are_what_counting_gives(mixture):
    weights, batch_size, slots, seed = mixture
    schedule = make_schedule(weights, batch_size=batch_size, slots=slots, seed=seed)
    steps = min(2 * schedule.period + 3, 400)
    counted = [0] * len(weights)
    for step in range(steps):
        assert [schedule.position(number, step) for number in range(len(weights))] == counted
        for slot in schedule.slots(step):
            assert slot.position == counted[slot.dataset]
            counted[slot.dataset] += slot.rows


@given(mixtures(), st.integers(0, 10**15))
def test_far_positions_are_whole_periods_further(mixture, cycles):
    weights, batch_size, slots, seed = mixture
    schedule = make_schedule(weights, batch_size=batch_size, slots=slots, seed=seed)
    for number in range(len(weights)):
        quota = schedule.position(number, schedule.period)
        for step in (0, schedule.period // 2):
            far = schedule.position(number, cycles * schedule.period + step)
            assert far == cycles * quota + schedule.position(number, step)


@given(st.lists(st.floats(0.001, 1000), min_size=2, max_size=6), st.integers(0, 100))
@settings(max_examples=12)
def test_weights_without_a_short_period_are_met_closely(weights, seed):
    schedule = make_schedule(weights, batch_size=64, slots=2, seed=seed)
    assert schedule.period <= MAX_PERIOD
    steps = schedule.period
    drawn = np.zeros(len(weights))
    np.add.at(drawn, schedule.datasets.ravel(), schedule.rows.ravel())
    difference = np.abs(drawn / (64 * steps) - np.array(weights) / sum(weights)).max()
    assert difference == pytest.approx(schedule.largest_error, abs=1 / (64 * steps))  # a row of rounding
    assert schedule.largest_error <= len(weights) / steps


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_single_dataset_fills_every_batch(slots):
    schedule = make_schedule([3], batch_size=8, slots=slots, seed=0)
    assert [(slot.dataset, slot.rows, slot.position) for slot in schedule.slots(5)] == [(0, 8, 40)]


def test_fewer_datasets_than_slots_share_the_batch_by_weight():
    schedule = make_schedule([1, 3], batch_size=16, slots=4, seed=0)
    assert schedule.period == 1
    assert {slot.dataset: slot.rows for slot in schedule.slots(0)} == {0: 4, 1: 12}


def test_a_large_dataset_sits_in_every_batch_with_its_share():
    schedule = make_schedule([9, 1], batch_size=1000, slots=2, seed=0)
    assert {slot.dataset: slot.rows for slot in schedule.slots(7)} == {0: 900, 1: 100}


def test_a_share_of_no_whole_row_alternates_and_holds_over_the_period():
    schedule = make_schedule([9, 1], batch_size=1024, slots=2, seed=0)
    rows = count_rows(schedule, 2, schedule.period)
    assert set(rows[:, 0].tolist()) == {921, 922}
    assert rows.sum(axis=0).tolist() == [9 * 1024 * schedule.period // 10, 1024 * schedule.period // 10]


def test_the_others_divide_what_a_large_dataset_leaves():
    schedule = make_schedule([6, 1, 1, 1, 1], batch_size=60, slots=3, seed=0)
    for step in range(schedule.period):
        first, *others = schedule.slots(step)
        assert (first.dataset, first.rows) == (0, 36)
        assert [slot.rows for slot in others] == [12, 12]


def test_a_weight_of_zero_is_never_drawn():
    schedule = make_schedule([1, 0, 2, 0], batch_size=12, slots=2, seed=0)
    assert count_rows(schedule, 4, schedule.period).sum(axis=0)[[1, 3]].tolist() == [0, 0]
    assert schedule.position(1, 10**9) == 0


def test_scaling_all_weights_changes_nothing():
    one, other = (make_schedule(weights, batch_size=64, slots=2, seed=3) for weights in ([1, 2, 5], [0.1, 0.2, 0.5]))
    np.testing.assert_array_equal(one.datasets, other.datasets)
    np.testing.assert_array_equal(one.rows, other.rows)


def test_equal_arguments_give_equal_tables_and_seeds_different_ones():
    tables = [make_schedule([1] * 10, batch_size=64, slots=2, seed=seed).datasets.tolist() for seed in (0, 0, 1)]
    assert tables[0] == tables[1] != tables[2]


def test_slots_that_do_not_divide_the_batch_are_refused_with_the_nearest_that_do():
    with pytest.raises(ValueError, match="batch size 100 does not divide into 3 slots; the nearest that does: 99"):
        make_schedule([1, 1], batch_size=100, slots=3, seed=0)


@pytest.mark.parametrize("slots", [2, 4])
def test_the_real_mixture_keeps_its_weights_from_the_first_step(shared_data, slots):
    mixture = Mixture.load(shared_data / "mixtures/all_datasets_v4.data_config.json.gz")
    weights = [entry.weight for entry in mixture.datasets]
    schedule = make_schedule(weights, batch_size=1024, slots=slots, seed=0)
    assert schedule.period == 4737 and schedule.largest_error == 0
    drawn = np.cumsum(count_rows(schedule, 290, 4737), axis=0)
    deserved = np.outer(np.arange(1, 4738), np.array(weights) / 4737) * 1024
    assert np.abs(drawn - deserved).max() <= 1024 / slots
    assert drawn[-1].tolist() == [weight * 1024 for weight in weights]
