"""What stays of one metric over a run of any length: a bounded number of points, every spike among them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any, TypeVar

MOST_BUCKETS = 300
"""Of steps, equally wide; the lowest and the highest value of each are kept."""
Point = tuple[int, float]
T = TypeVar("T")


class Series:
    """(step, value) of a log's lines, added with ascending steps; a value of None was not finite."""

    def __init__(self) -> None:
        self.lines = 0
        self.not_finite = 0
        """Lines whose value was not."""
        self.total = 0.0
        """Sum of the finite values."""
        self.latest: float | None = None
        """The last line's value."""
        self.first: Point | None = None
        self.last: Point | None = None
        """The last finite one."""
        self._width = 1
        self._low: dict[int, Point] = {}
        self._high: dict[int, Point] = {}
        self._gaps: dict[int, int] = {}

    def add(self, step: int, value: float | None) -> None:
        self.lines += 1
        self.latest = value
        place = step // self._width
        if value is None:
            self.not_finite += 1
            if place not in self._gaps:
                self._gaps[place] = step
                self._widen(self._gaps)
            return
        self.total += value
        self.last = point = (step, value)
        there = self._low.get(place)
        if there is None:
            self._low[place] = self._high[place] = point
            self.first = self.first or point
            self._widen(self._low)
        elif value < there[1]:
            self._low[place] = point
        elif value > self._high[place][1]:
            self._high[place] = point

    @property
    def lowest(self) -> Point | None:
        return min(self._low.values(), key=_value, default=None)

    @property
    def highest(self) -> Point | None:
        return max(self._high.values(), key=_value, default=None)

    @property
    def gaps(self) -> list[int]:
        """Of each bucket with a value that was not finite, the step of the first one."""
        return sorted(self._gaps.values())

    def pieces(self) -> list[list[Point]]:
        """The curve, ascending by step: the ends, the lowest and the highest of each bucket.

        It is in pieces where all of a bucket was not finite.
        """
        ends = {point for point in (self.first, self.last) if point is not None}
        points: list[tuple[int, float | None]] = [*{*ends, *self._low.values(), *self._high.values()}]
        points += [(step, None) for place, step in self._gaps.items() if place not in self._low]
        points.sort(key=lambda point: point[0])
        return [
            [(step, value) for step, value in piece if value is not None]
            for finite, piece in groupby(points, key=lambda point: point[1] is not None)
            if finite
        ]

    def _widen(self, grown: dict[int, Any]) -> None:
        """Buckets twice as wide, until there are not too many."""
        if len(grown) <= MOST_BUCKETS:
            return
        self._width *= 2
        self._low = _merged(self._low, lambda one, other: min(one, other, key=_value))
        self._high = _merged(self._high, lambda one, other: max(one, other, key=_value))
        self._gaps = _merged(self._gaps, min)


def _value(point: Point) -> float:
    return point[1]


def _merged(buckets: dict[int, T], pick: Callable[[T, T], T]) -> dict[int, T]:
    merged: dict[int, T] = {}
    for place, kept in buckets.items():
        merged[place // 2] = pick(merged[place // 2], kept) if place // 2 in merged else kept
    return merged
