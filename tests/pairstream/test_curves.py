import re

import pytest

from pairstream.curves import Curve, curves
from pairstream.series import Series


def series_of(values):
    series = Series()
    for step, value in enumerate(values, 1):
        series.add(step, value)
    return series


def figure_of(*many, last_step=None):
    shown = [Curve(f"c{number}", series_of(values)) for number, values in enumerate(many)]
    return curves("t", shown, form="{:g}".format, last_step=last_step or max(map(len, many)))


def places_of(figure):
    return [
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'points="([^"]+)"', figure)
    ]


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [-3.0, 5.0], [1e-9, 2e-9], [1e6, 1e6 + 1], [0.1, 0.9, 0.5]])
def test_every_point_lies_within_the_plot(values):
    (places,) = places_of(figure_of(values))
    places = places[: len(values)]  # a lone point is drawn as a line to itself
    assert len(places) == len(values)
    assert all(-1e-6 <= coordinate <= 100 + 1e-6 for place in places for coordinate in place)
    heights = [-y for _, y in places]
    assert [heights.index(h) for h in sorted(heights)] == [values.index(v) for v in sorted(values)]


def test_figures_of_one_run_have_one_axis_of_steps():
    ended, went_on = figure_of([1.0, 2.0], last_step=8), figure_of([1.0] * 8, last_step=8)
    marks = [re.findall(r'<text x="([^"]+)" y="100%"[^>]*>([^<]+)', figure) for figure in (ended, went_on)]
    assert marks[0] == marks[1] and marks[0][-1] == ("100%", "step")
    assert [word for _, word in marks[0][:-1]] == ["0", "2", "4", "6", "8"]
    assert places_of(ended)[0][-1][0] == 25.0 and places_of(went_on)[0][-1][0] == 100.0


def test_what_was_not_finite_is_marked_and_no_line_is_drawn_through_it():
    figure = figure_of([1.0, 1.0, None, 2.0, 2.0])
    assert [len(piece) for piece in places_of(figure)] == [2, 2]
    assert figure.count('class="bad"') == 1 and "not finite</span>" in figure
    assert "1 of 5" in figure
    assert 'class="bad"' not in figure_of([1.0, 2.0])


def test_the_numbers_are_those_of_the_ends_and_extremes():
    figure = figure_of([3.0, 1.0, 9.0, None], [5.0])
    rows = re.findall(r"<tr>(.*?)</tr>", figure)
    cells = [re.findall(r">([^<>]+)</t[hd]>", row) for row in rows]
    assert cells[1] == ["c0", "3 at 1", "1 at 2", "9 at 3", "not finite", "1 of 4"]
    assert cells[2] == ["c1", "5 at 1", "5 at 1", "5 at 1", "5", "0 of 1"]
