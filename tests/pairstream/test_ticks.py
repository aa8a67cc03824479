import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairstream.ticks import ticks_around, ticks_of_steps

RANGES = [(0, 1), (0.0, 0.2), (0.98, 0.99805), (0, 2e-5), (1.6e-5, 2e-5), (0, 0), (-3, 5), (1e6, 1e6 + 1), (7, 7)]
RANGES += [(-1e-30, 1e30), (0, 5e8), (-2.5, -2.4), (0, 2.5e7), (0, 3e-310)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_marks_are_round_told_apart_and_around_the_values(low, high):
    marks = ticks_around(low, high)
    assert 2 <= len(marks) <= 6 and len({word for _, word in marks}) == len(marks)
    slack = 1e-6 * (marks[-1].value - marks[0].value)
    assert marks[0].value <= low + slack and high <= marks[-1].value + slack
    step = marks[1].value - marks[0].value
    assert re.match(r"(1\.0|2\.0|5\.0)0*e|(0\.9|1\.9|4\.9)9*", f"{step:.5e}")
    for value, word in marks:  # a word is its value, not a shorter one that lies elsewhere
        assert float(word.replace(",", "")) == pytest.approx(value, abs=1e-6 * step)


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_any_two_finite_values_have_marks_around_them(one, other):
    low, high = min(one, other), max(one, other)
    marks = ticks_around(low, high)
    assert len({word for _, word in marks}) == len(marks) <= 6
    slack = 1e-6 * (marks[-1].value - marks[0].value)
    assert marks[0].value <= low + slack and high <= marks[-1].value + slack


@pytest.mark.parametrize("last", [0, 1, 2, 7, 11, 20, 99, 540_000])
def test_steps_have_round_marks_from_0_on(last):
    marks = ticks_of_steps(last)
    assert marks[0] == (0, "0") and marks[-1].value <= last and len(marks) <= 6
    assert all(value == int(value) and word == f"{value:,}" for value, word in marks)
    assert last - marks[-1].value < (marks[1].value if len(marks) > 1 else 1)
