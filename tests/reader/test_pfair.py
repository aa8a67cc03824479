from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.pfair import MAX_PERIOD, common_period, draw_within_windows, schedule_slots, whole_quotas


@st.composite
def task_sets(draw, slots=None):
    """(quotas, period, slots): quotas that fill every slot of every step, none above the period."""
    period = draw(st.integers(1, 24))
    slots = draw(st.integers(1, 4)) if slots is None else slots
    quotas: list[int] = []
    while (left := period * slots - sum(quotas)) > 0:
        quotas.append(draw(st.integers(1, min(period, left))))
    return quotas, period, slots


def largest_lag(table: np.ndarray, quotas: list[int], period: int) -> int:
    """In 1/period of a run, over all tasks and steps."""
    runs = np.cumsum([np.bincount(step, minlength=len(quotas)) for step in table], axis=0)
    return int(np.abs(np.outer(np.arange(1, len(table) + 1), quotas) - runs * period).max())


@given(task_sets(), st.integers(0, 1000))
def test_each_task_is_within_one_run_of_its_share_at_every_step(tasks, seed):
    quotas, period, slots = tasks
    table = schedule_slots(quotas, period, slots, seed)
    assert all(len(set(step)) == slots for step in table.tolist())
    assert largest_lag(table, quotas, period) < period
    assert np.bincount(table.ravel()).tolist() == quotas


@pytest.mark.parametrize(
    ("quotas", "period", "slots", "seed"),
    [
        # Found by search: tasks of more than half a slot, where deadlines alone leave a slot without a task.
        ([11, 10, 10, 11, 6], 12, 4, 1),
        ([11, 10, 6, 2, 11, 10, 10], 12, 5, 0),
        ([6, 6, 7, 6, 7], 8, 4, 1),
        ([6, 13, 14, 12, 6, 13, 6], 14, 5, 2),
        ([6, 7, 6, 6, 7, 8], 8, 5, 2),
        ([1, 1, 1], 3, 1, 0),
        ([5, 5], 5, 2, 0),
    ],
)
def test_heavy_tasks_are_scheduled_where_deadlines_alone_fail(quotas, period, slots, seed):
    table = schedule_slots(quotas, period, slots, seed)
    assert all(len(set(step)) == slots for step in table.tolist())
    assert largest_lag(table, quotas, period) < period
    assert np.bincount(table.ravel()).tolist() == quotas


@given(task_sets(), st.data())
def test_the_first_steps_of_a_table_do_not_depend_on_how_many_are_asked(tasks, data):
    quotas, period, slots = tasks
    steps = data.draw(st.integers(1, period))
    whole = schedule_slots(quotas, period, slots, 0)
    assert schedule_slots(quotas, period, slots, 0, steps).tolist() == whole[:steps].tolist()


@given(task_sets(slots=1), st.integers(0, 2**64 - 1))
def test_a_drawn_order_is_within_one_run_of_every_share_at_every_pick(tasks, key):
    quotas, period, _ = tasks
    drawn = draw_within_windows(quotas, period, key)
    assert largest_lag(drawn[:, None], quotas, period) < period
    assert np.bincount(drawn).tolist() == quotas


@given(task_sets(slots=1), st.integers(0, 2**64 - 1), st.data())
def test_an_order_drawn_for_some_picks_alone_is_as_even(tasks, key, data):
    quotas, period, _ = tasks
    picks = data.draw(st.integers(1, period))
    drawn = draw_within_windows(quotas, period, key, picks)
    assert len(drawn) == picks
    assert largest_lag(drawn[:, None], quotas, period) < period


def test_two_drawn_orders_agree_about_as_often_as_chance_has_it():
    quotas, period = [400, 300] + [30] * 10, 1000
    orders = [draw_within_windows(quotas, period, key) for key in range(8)]
    agree = np.mean([(one == other).mean() for n, one in enumerate(orders) for other in orders[:n]])
    assert agree == pytest.approx(sum((quota / period) ** 2 for quota in quotas), rel=0.1)


@given(task_sets(), st.data())
def test_what_tasks_are_behind_is_made_good_and_stays_within_two_runs(tasks, data):
    quotas, period, slots = tasks
    owed = [data.draw(st.integers(1 - period, period - 1)) for _ in quotas[1:]]
    owed = [max(1 - period, min(period - 1, -sum(owed))), *owed]
    table = schedule_slots(quotas, period, slots, 0, 4 * period, owed)
    assert len(table) == 4 * period and all(len(set(step)) == slots for step in table.tolist())
    runs = np.cumsum([np.bincount(step, minlength=len(quotas)) for step in table], axis=0)
    behind = owed + np.outer(np.arange(1, len(table) + 1), quotas) - runs * period
    assert np.abs(behind).max() < 2 * period


def test_equal_keys_draw_equal_orders_and_others_do_not():
    orders = [draw_within_windows([5, 3, 2] * 10, 100, key).tolist() for key in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30), st.integers(1, 3))
def test_quotas_fill_the_slots_and_are_near_the_shares(weights, slots):
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    if max(shares) * slots > 1:
        return
    period = common_period([share * slots for share in shares])
    assert period <= MAX_PERIOD
    quotas = whole_quotas(shares, slots * period, period)
    assert sum(quotas) == slots * period and all(1 <= quota <= period for quota in quotas)
    raised = sum(share * slots * period < 1 for share in shares)  # they get a run they hardly deserve
    assert max(abs(q - share * slots * period) for q, share in zip(quotas, shares, strict=True)) <= 1 + raised


@settings(max_examples=20)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_a_common_period_makes_every_share_whole(weights):
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    assert all((share * common_period(shares)).denominator == 1 for share in shares)
