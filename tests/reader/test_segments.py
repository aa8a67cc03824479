import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.segments import SegmentedSchedule, make_segments
from schemas.mixture import POLICIES, BatchPolicy

SIZE = 16
BOUND = {"homogeneous": 1 / 2, "v1-half": 1, "v2-block": 4, "flax-75-25": 1}  # batches


def make(weights, policy="homogeneous", seed=0, limits=()) -> SegmentedSchedule:
    return make_segments(weights, batch=BatchPolicy(SIZE, 2, policy), batch_size=SIZE, seed=seed, limits=limits)


@st.composite
def segment_lists(draw):
    """Weights of 2 to 5 datasets in 1 to 4 segments."""
    count = draw(st.integers(2, 5))
    weights = st.lists(st.integers(0, 9), min_size=count, max_size=count).filter(any)
    lengths = draw(st.lists(st.integers(1, 30), max_size=3))
    starts = [0, *np.cumsum(lengths).tolist()]
    return [(start, draw(weights)) for start in starts]


@pytest.mark.parametrize("policy", POLICIES)
@given(segments=segment_lists(), seed=st.integers(0, 2**62), data=st.data())
@settings(max_examples=25)
def test_positions_by_arithmetic_are_positions_counted_step_by_step(policy, segments, seed, data):
    count = len(segments[0][1])
    limits = data.draw(st.lists(st.none() | st.integers(1, 600), min_size=count, max_size=count))
    schedule = make(segments, policy, seed, limits)
    counted = [0] * count
    for step in range(110 if schedule.end is None else min(110, schedule.end)):
        assert [schedule.position(number, step) for number in range(count)] == counted
        for slot in schedule.slots(step):
            assert slot.position == counted[slot.dataset]
            assert limits[slot.dataset] is None or slot.position < limits[slot.dataset] + SIZE
            counted[slot.dataset] += slot.rows


@pytest.mark.parametrize("policy", POLICIES)
@given(segments=segment_lists(), seed=st.integers(0, 2**62))
@settings(max_examples=25)
def test_every_segment_keeps_its_weights_from_its_start(policy, segments, seed):
    schedule = make(segments, policy, seed)
    for (first, weights), end in zip(segments, [*(first for first, _ in segments[1:]), 120], strict=True):
        shares = np.array(weights) / sum(weights)
        for step in range(first, end + 1):
            drawn = np.array([schedule.position(n, step) - schedule.position(n, first) for n in range(len(weights))])
            assert np.abs(drawn - SIZE * (step - first) * shares).max() <= SIZE * BOUND[policy] + 2


@pytest.mark.parametrize("policy", POLICIES)
@given(
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    limits=st.lists(st.integers(1, 900), min_size=5, max_size=5),
)
@settings(max_examples=25)
def test_a_dataset_leaves_when_it_was_read_often_enough_and_the_plan_ends_after_all(policy, weights, limits):
    limits = limits[: len(weights)]
    schedule = make([(0, weights)], policy, limits=limits)
    assert schedule.end is not None
    drawn = [schedule.position(number, schedule.end) for number in range(len(weights))]
    assert sum(drawn) == schedule.end * SIZE
    assert all(limit <= rows < limit + SIZE for rows, limit in zip(drawn, limits, strict=True))
    with pytest.raises(
        ValueError, match=f"step {schedule.end:,} is beyond the plan's end: after {schedule.end:,} steps"
    ):
        schedule.slots(schedule.end)


def test_the_weight_of_a_dataset_that_left_goes_to_the_others():
    schedule = make([(0, [2, 1, 1])], limits=[80, None, None])
    assert [segment.first_step for segment in schedule.segments] == [0, 10]
    assert schedule.segments[1].shares.tolist() == [0, 0.5, 0.5]
    assert {slot.dataset: slot.rows for slot in schedule.slots(10**9)} == {1: 8, 2: 8}
    assert schedule.end is None


def test_a_dataset_that_left_does_not_come_back_in_a_later_segment():
    schedule = make([(0, [1, 1]), (50, [1, 3])], limits=[40, None])
    assert [segment.first_step for segment in schedule.segments] == [0, 5, 50]
    assert {slot.dataset for step in range(5, 80) for slot in schedule.slots(step)} == {1}


def test_a_dataset_may_come_in_later():
    schedule = make([(0, [1, 1, 0]), (6, [0, 1, 1])])
    assert {slot.dataset for step in range(6) for slot in schedule.slots(step)} == {0, 1}
    assert {slot.dataset for step in range(6, 20) for slot in schedule.slots(step)} == {1, 2}
    assert schedule.position(0, 10**12) == 48


def test_a_limit_never_reached_changes_nothing_before_it():
    plain, limited = make([(0, [3, 2, 1])]), make([(0, [3, 2, 1])], limits=[10**6, 10**6, 10**6])
    assert [plain.slots(step) for step in range(200)] == [limited.slots(step) for step in range(200)]


def test_far_steps_of_the_last_segment_need_no_steps_before():
    schedule = make([(0, [1, 2]), (1000, [2, 1])])
    far = 10**15
    assert schedule.position(0, far) + schedule.position(1, far) == far * SIZE
    assert math.isclose(schedule.position(0, far) / (far * SIZE), 2 / 3, rel_tol=1e-9)


def test_what_is_expected_is_the_weights_summed_over_the_steps():
    schedule = make([(0, [1, 1]), (10, [3, 1])])
    assert schedule.expected(10).tolist() == [5, 5]
    assert schedule.expected(30).tolist() == [20, 10]
    ended = make([(0, [1, 1])], limits=[32, 32])
    assert ended.end == 4 and ended.expected(100).tolist() == [2, 2]


@pytest.mark.parametrize("policy", POLICIES)
def test_rare_datasets_have_their_turn_where_many_leave_one_soon_after_the_other(policy):
    """Each leaving begins a segment, in which a dataset of 1/300 of the weight deserves no slot."""
    weights, limits = [10] * 30 + [1] * 10, [800 + 160 * n for n in range(30)] + [None] * 10
    schedule = make([(0, weights)], policy, limits=limits)
    last = schedule.segments[-1].first_step
    assert len(schedule.segments) > 25 and last > 2000
    drawn = np.array([schedule.position(number, last) for number in range(30, 40)])
    deserved = schedule.expected(last)[30:] * SIZE
    assert deserved.min() > 10 * SIZE
    assert np.abs(drawn - deserved).max() <= 2 * SIZE * BOUND[policy] + 2
