import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.advice import advise
from reader.coverage import foresee
from reader.mixing_report import compare_shares
from reader.segments import make_segments
from schemas.mixture import BatchPolicy, Mixture


def schedule_of(mixture: Mixture, limits=(), batch_size=None):
    return make_segments(
        mixture.weigh({}),
        batch=mixture.batch,
        batch_size=batch_size or mixture.batch.size,
        seed=0,
        limits=limits,
    )


def mixture_of(weights, lines=None, **batch) -> Mixture:
    datasets = [{"name": name, "weight": weight, "lines": lines} for name, weight in weights.items()]
    return Mixture.from_json({"batch": {"size": 32, **batch}, "datasets": datasets})


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 10**9), st.integers(1, 200), st.integers(0, 99)
)
@settings(max_examples=40)
def test_the_report_of_a_stretch_is_what_counting_its_batches_gives(weights, start, count, seed):
    schedule = make_segments([(0, weights)], batch=BatchPolicy(32), batch_size=32, seed=seed)
    names = [str(number) for number in range(len(weights))]
    report = compare_shares(names, schedule, start=start, count=count, batch_size=32)
    counted = [0] * len(weights)
    for step in range(start, start + count):
        for slot in schedule.slots(step):
            counted[slot.dataset] += slot.rows
    assert [row.rows for row in report] == counted
    assert [row.realised for row in report] == [rows / (32 * count) for rows in counted]
    assert [row.planned for row in report] == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-4)
    assert all(abs(row.difference) <= 2 * (16 + 2) for row in report)


def test_a_report_across_segments_plans_with_the_weights_of_each():
    schedule = make_segments([(0, [1, 1]), (10, [3, 1])], batch=BatchPolicy(32), batch_size=32, seed=0)
    report = compare_shares(["a", "b"], schedule, start=0, count=20, batch_size=32)
    assert [(row.planned, row.realised) for row in report] == [(0.625, 0.625), (0.375, 0.375)]


def test_steps_beyond_the_end_are_no_part_of_a_report():
    schedule = schedule_of(mixture_of({"a": 1, "b": 1}), limits=[64, 64])
    assert [row.rows for row in compare_shares("ab", schedule, start=0, count=99, batch_size=32)] == [64, 64]
    with pytest.raises(ValueError, match="no step from 4 to 4"):
        compare_shares("ab", schedule, start=4, count=5, batch_size=32)


def test_coverage_counts_what_the_weights_give_in_so_many_steps():
    mixture = mixture_of({"a": 3, "b": 1, "c": 0}, lines=1600)
    lines = {"a": 1600, "b": None, "c": 0}
    rows = foresee(mixture, schedule_of(mixture), lines, steps=100, batch_size=32)
    assert [(row.share, row.draws, row.epochs, row.coverage) for row in rows] == [
        (0.75, 2400, 1.5, 1.0),
        (0.25, 800, None, None),
        (0, 0, None, None),
    ]


def advice(mixture: Mixture, steps=1000, limits=()) -> list[str]:
    schedule = schedule_of(mixture, limits)
    lines = {entry.name: entry.lines for entry in mixture.datasets}
    last = steps if schedule.end is None else min(steps, schedule.end)
    rows = foresee(mixture, schedule, lines, steps=last, batch_size=32)
    report = compare_shares([row.name for row in rows], schedule, start=0, count=last, batch_size=32)
    return advise(rows, report, schedule, batch=mixture.batch, batch_size=32, steps=steps)


def test_a_plain_mixture_needs_no_advice():
    assert advice(mixture_of({"a": 1, "b": 1, "c": 1}, lines=1000)) == []


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        ({"a": 500, "b": 500, "c": 1}, {}, "c is worth less than one row a batch: it comes in a slot of 16 rows"),
        ({"a": 500, "b": 500, "c": 0.01}, {}, "c deserves less than one slot of 16 rows in the whole run"),
        ({"a": 1, "b": 1, "c": 1}, {"lines": 15}, "each of a, b, c has fewer pairs than its slot has rows"),
        ({"a": 9, "b": 1}, {}, "a has more than one of 2 slots' weight: it sits in every batch"),
        ({"a": 1}, {}, "there are batches of a single dataset"),
        ({"a": 1, "b": 1}, {"slots": 1}, "there are batches of a single dataset"),
        ({"a": 0.123456789, "b": 0.3, "c": 0.2}, {}, "weights are rounded to a period"),
        ({"a": 10**9, "b": 10**9, "c": 1, "d": 1}, {}, "each of c, d deserves less than one slot"),
    ],
)
def test_weights_without_effect_are_told(weights, options, said):
    assert any(line.startswith(said) for line in advice(mixture_of(weights, **options)))


def test_a_share_that_rounding_spoils_is_told():
    """A dataset of hardly any weight gets a slot in each period all the same."""
    found = advice(mixture_of({"a": 10**9, "b": 10**9, "c": 1}), steps=10**6)
    assert any(line.startswith("c gets a share of the run that differs") for line in found)


def test_a_plan_that_ends_before_the_run_is_told():
    found = advice(mixture_of({"a": 1, "b": 1}), steps=10, limits=[64, 64])
    assert found[0] == "the plan ends after 4 steps: by then every dataset was read max_epochs times"
