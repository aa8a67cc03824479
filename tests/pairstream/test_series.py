import pytest

from pairstream.series import MOST_BUCKETS, Series


def series_of(values, every=1):
    series = Series()
    for number, value in enumerate(values, 1):
        series.add(number * every, value)
    return series


def points_of(series):
    return [point for piece in series.pieces() for point in piece]


@pytest.mark.parametrize("every", [1, 50])
@pytest.mark.parametrize("place", [0, 1, 777, 1998, 1999])
@pytest.mark.parametrize("spike", [-1.0, 1.0])
def test_one_spike_in_two_thousand_lines_stays(every, place, spike):
    series = series_of([spike if number == place else 0.0 for number in range(2000)], every)
    assert ((place + 1) * every, spike) in points_of(series)
    assert (series.highest if spike > 0 else series.lowest) == ((place + 1) * every, spike)
    assert series.total == spike


def test_the_points_are_bounded_in_order_and_of_the_log_with_its_ends():
    values = [((number * 7919) % 1000) / 7 for number in range(20_000)]
    points = points_of(series_of(values, 50))
    assert MOST_BUCKETS / 2 <= len(points) <= 2 * MOST_BUCKETS + 2
    assert points == sorted(set(points)) and all(values[step // 50 - 1] == value for step, value in points)
    assert points[0] == (50, values[0]) and points[-1] == (1_000_000, values[-1])


def test_a_short_curve_keeps_every_point():
    assert points_of(series_of([3.0, 1.0, 2.0, 2.0])) == [(1, 3.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_a_curve_is_in_pieces_where_it_was_not_finite():
    series = series_of([1.0, 2.0, None, None, 3.0, None])
    assert series.pieces() == [[(1, 1.0), (2, 2.0)], [(5, 3.0)]]
    assert series.gaps == [3, 4, 6] and (series.not_finite, series.lines) == (3, 6)
    assert series.latest is None and series.last == (5, 3.0)


def test_one_line_in_many_that_was_not_finite_is_marked_and_counted():
    series = series_of([None if number == 4321 else 1.0 for number in range(10_000)])
    assert series.gaps == [4322] and series.not_finite == 1
    assert len(series_of([None] * 10_000).gaps) <= MOST_BUCKETS


def test_a_series_of_nothing_finite_has_no_curve():
    series = series_of([None, None])
    assert (series.pieces(), series.lowest, series.highest, series.first) == ([], None, None, None)
