from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.policies import make_schedule
from schemas.mixture import POLICIES, Mixture

PRESETS = [policy for policy in POLICIES if policy != "homogeneous"]
BOUND = {"homogeneous": 1 / 2, "v1-half": 1, "v2-block": 4, "flax-75-25": 1}  # from step 0, in batches
WEIGHTS = st.lists(st.integers(0, 12), min_size=1, max_size=7).filter(any)
SEEDS = st.integers(0, 2**62)


def make(policy, weights, seed=0, batch_size=16, **options):
    return make_schedule(weights, batch_size=batch_size, slots=2, seed=seed, policy=policy, **options)


def count_rows(schedule, datasets, steps) -> np.ndarray:
    """[steps, datasets] rows of each dataset in each batch, from `slots` alone."""
    counted = np.zeros((steps, datasets), np.int64)
    for step in range(steps):
        for slot in schedule.slots(step):
            counted[step, slot.dataset] += slot.rows
    return counted


@pytest.mark.parametrize("policy", POLICIES)
@given(weights=WEIGHTS, seed=SEEDS)
@settings(max_examples=25)
def test_positions_by_arithmetic_are_positions_counted_step_by_step(policy, weights, seed):
    schedule = make(policy, weights, seed)
    counted = [0] * len(weights)
    for step in range(70):
        assert [schedule.position(number, step) for number in range(len(weights))] == counted
        slots = schedule.slots(step)
        assert sum(slot.rows for slot in slots) == 16
        for slot in slots:
            assert slot.rows > 0 and weights[slot.dataset] > 0
            assert slot.position == counted[slot.dataset]
            counted[slot.dataset] += slot.rows


@pytest.mark.parametrize("policy", POLICIES)
@given(weights=WEIGHTS, seed=SEEDS, start=st.integers(0, 10**13))
@settings(max_examples=25)
def test_far_positions_go_on_from_slot_to_slot(policy, weights, seed, start):
    schedule = make(policy, weights, seed)
    counted = [schedule.position(number, start) for number in range(len(weights))]
    assert sum(counted) == start * 16
    for step in range(start, start + 9):
        for slot in schedule.slots(step):
            assert slot.position == counted[slot.dataset]
            counted[slot.dataset] += slot.rows
    assert counted == [schedule.position(number, start + 9) for number in range(len(weights))]


@pytest.mark.parametrize("policy", POLICIES)
@given(weights=WEIGHTS, seed=SEEDS, run=st.tuples(st.integers(0, 300), st.integers(0, 300)))
@settings(max_examples=25)
def test_shares_hold_from_the_first_step_and_over_any_run(policy, weights, seed, run):
    schedule = make(policy, weights, seed, batch_size=64)
    shares = np.array(weights) / sum(weights)
    behind = np.array(
        [
            [schedule.position(n, step) - 64 * step * share for n, share in enumerate(shares)]
            for step in range(0, 301, 3)
        ]
    )
    rounding = 2  # rows, where a large dataset leaves the other slots a fraction of a row
    assert np.abs(behind).max() <= 64 * BOUND[policy] + rounding
    first, last = sorted(run)
    rows = np.array([schedule.position(n, last) - schedule.position(n, first) for n in range(len(weights))])
    assert np.abs(rows - 64 * (last - first) * shares).max() < 2 * (64 * BOUND[policy] + rounding)


@pytest.mark.parametrize("policy", PRESETS)
@given(weights=WEIGHTS, seed=SEEDS)
@settings(max_examples=10)
def test_weights_are_exact_over_the_presets_period(policy, weights, seed):
    schedule = make(policy, weights, seed)
    assert schedule.largest_error == 0
    picks = -(-4096 // sum(weights)) * sum(weights)
    steps = {"v1-half": picks, "v2-block": 4 * picks, "flax-75-25": 4 * picks}[policy]
    drawn = [schedule.position(number, steps) for number in range(len(weights))]
    assert drawn == [Fraction(weight * steps * 16, sum(weights)) for weight in weights]


@pytest.mark.parametrize("policy", PRESETS)
def test_a_schedule_made_for_some_steps_has_the_same_weights(policy):
    weights = [0.31, 0.171, 0.519]
    schedule = make(policy, weights, steps=50)
    drawn = count_rows(schedule, 3, 50)
    behind = np.cumsum(drawn, axis=0) - np.outer(np.arange(1, 51), np.array(weights)) * 16
    assert np.abs(behind).max() <= 16 * BOUND[policy] + 1
    assert schedule.largest_error < 1e-4


@pytest.mark.parametrize("policy", PRESETS)
def test_equal_seeds_give_equal_batches_and_others_different_ones(policy):
    drawn = [count_rows(make(policy, [1] * 8, seed), 8, 80) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("policy", POLICIES)
def test_a_single_dataset_fills_every_batch_under_every_policy(policy):
    schedule = make(policy, [0, 3])
    assert count_rows(schedule, 2, 12).tolist() == [[0, 16]] * 12


@pytest.mark.parametrize("policy", POLICIES)
def test_one_to_nine_holds_under_every_policy(policy):
    schedule = make(policy, [9, 1], batch_size=1000)
    drawn = [schedule.position(number, 40_000) for number in (0, 1)]
    assert drawn[0] + drawn[1] == 40_000_000
    assert abs(drawn[1] - 4_000_000) <= 1000 * BOUND[policy] + 1


def test_v1_half_has_two_halves_that_coincide_as_often_as_two_draws_would():
    schedule = make("v1-half", [5, 3, 2])
    same = 0
    for step in range(2000):
        one, other = schedule.slots(step)
        assert one.rows == other.rows == 8
        same += one.dataset == other.dataset
    assert same / 2000 == pytest.approx(0.25 + 0.09 + 0.04, abs=0.05)


def test_v2_block_stays_with_a_dataset_for_four_steps():
    schedule = make("v2-block", [5, 3, 2])
    blocks = [{schedule.slots(4 * block + step)[0].dataset for step in range(4)} for block in range(200)]
    assert all(len(block) == 1 for block in blocks)
    assert len({min(block) for block in blocks}) == 3
    assert all(len(schedule.slots(step)) == 1 for step in range(50))


def test_flax_75_25_mixes_one_batch_of_each_four_row_by_row():
    schedule = make("flax-75-25", [4, 3, 2, 1], batch_size=100)
    places = []
    for group in range(200):
        rows = [schedule.slots(4 * group + step) for step in range(4)]
        mixed = [step for step, slots in enumerate(rows) if len(slots) > 1]
        assert len(mixed) == 1
        of_dataset = {slot.dataset: slot.rows for slot in rows[mixed[0]]}
        assert all(abs(of_dataset[n] - share) < 2 for n, share in enumerate((40, 30, 20, 10)))
        places.append(mixed[0])
    assert set(places) == {0, 1, 2, 3}


def test_an_odd_batch_has_no_halves():
    with pytest.raises(ValueError, match="batch size 33 has no two halves; the nearest that has: 34"):
        make("v1-half", [1, 1], batch_size=33)


@pytest.mark.parametrize("policy", PRESETS)
def test_the_real_mixture_is_exact_under_the_presets(shared_data, policy):
    mixture = Mixture.load(shared_data / "mixtures/all_datasets_v4.data_config.json.gz")
    schedule = make(policy, [entry.weight for entry in mixture.datasets], batch_size=1024)
    assert schedule.largest_error == 0
    steps = 4 * 4737
    drawn = [schedule.position(number, steps) for number in range(290)]
    assert drawn == [entry.weight * 1024 * 4 for entry in mixture.datasets]
