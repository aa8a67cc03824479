"""Curves over the steps of a run, as inline SVG that follows the width of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pairstream.report_html import Html, details, element, table

MOST_POINTS = 400
"""Drawn of a curve: of a longer one, evenly spaced points, the last one among them."""
MOST_ROWS = 20
LINES = 4
"""Horizontal lines of the grid above the lowest."""


class Curve(NamedTuple):
    name: str
    points: Sequence[tuple[int, float]]
    """(step, value), steps ascending."""


def curves(title: str, shown: Sequence[Curve], *, form: Callable[[float], str]) -> Html:
    """One to three curves in one figure, with the numbers below; `form` writes a value."""
    drawn = [Curve(curve.name, thin(curve.points, MOST_POINTS)) for curve in shown]
    values = [value for curve in drawn for _, value in curve.points]
    steps = [step for curve in drawn for step, _ in curve.points]
    low, high = _bounds(min(values), max(values))
    first, last = min(steps), max(steps)

    def x(step: int) -> float:
        return 100 * (step - first) / (last - first) if last > first else 50.0

    def y(value: float) -> float:
        return 100 - 100 * (value - low) / (high - low)

    shapes: list[Html] = []
    for number in range(LINES + 1):
        value = low + (high - low) * number / LINES
        place = f"{y(value):.3f}%"
        shapes.append(element("line", x1="0", x2="100%", y1=place, y2=place, class_="axis" if not number else "grid"))
        shapes.append(element("text", form(value), x="0", dx="-6", y=place, dy="4", text_anchor="end"))
    for step, anchor in {first: "start", last: "end"}.items():
        shapes.append(element("text", f"{step:,}", x=f"{x(step):.3f}%", y="100%", dy="16", text_anchor=anchor))
    for number, curve in enumerate(drawn):
        shapes += _drawn(curve, number, x, y, form)
    plot = element("svg", *shapes, width="100%", height="100%", role="img", aria_label=f"{title}; numbers below")
    legend = [
        element("span", curve.name, class_=f"key key{number}") for number, curve in enumerate(drawn) if len(drawn) > 1
    ]
    rows = _rows(shown, form)
    return element(
        "figure",
        element("figcaption", element("span", title, dir="auto"), *legend),
        element("div", plot, class_="plot"),
        details("the numbers", table(("step", *(curve.name for curve in shown)), rows, numbers=len(shown))),
    )


def thin(points: Sequence[tuple[int, float]], most: int) -> Sequence[tuple[int, float]]:
    """At most so many of the points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]


def _drawn(
    curve: Curve, number: int, x: Callable[[int], float], y: Callable[[float], float], form: Callable[[float], str]
) -> list[Html]:
    places = [f"{x(step):.3f},{y(value):.3f}" for step, value in curve.points]
    line = element(
        "polyline",
        points=" ".join(places),
        fill="none",
        stroke=f"var(--series{number})",
        stroke_width="2",
        vector_effect="non-scaling-stroke",
    )
    # A drawing of its own, stretched to the plot: coordinates of a polyline cannot be percentages.
    stretched = element("svg", line, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%")
    step, value = curve.points[-1]
    said = element("title", f"{curve.name}, step {step:,}: {form(value)}")
    dot = element("circle", said, cx=f"{x(step):.3f}%", cy=f"{y(value):.3f}%", r="3.5", class_=f"series{number}")
    return [stretched, dot]


def _rows(shown: Sequence[Curve], form: Callable[[float], str]) -> list[tuple[str, ...]]:
    of_each = [dict(curve.points) for curve in shown]
    steps = thin([(step, 0.0) for step in sorted({step for one in of_each for step in one})], MOST_ROWS)
    return [(f"{step:,}", *(form(one[step]) if step in one else "" for one in of_each)) for step, _ in steps]


def _bounds(low: float, high: float) -> tuple[float, float]:
    """Round numbers around the values, 0 where it is near."""
    if low >= 0 and low < (high - low):
        low = 0.0
    if high == low == 0:
        return 0.0, 1.0
    if high == low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    unit = 10 ** math.floor(math.log10((high - low) / LINES))
    for step in (times * unit for times in (1, 2, 2.5, 5, 10, 20)):
        start = math.floor(low / step + 1e-9) * step
        if start + LINES * step >= high - 1e-9 * step:
            return start, start + LINES * step
    raise AssertionError("a fourth of the range, rounded up twice, covers it")
