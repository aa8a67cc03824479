"""Curves over the steps of a run, as inline SVG that follows the width of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pairstream.report_html import Html, details, element, table
from pairstream.series import Point, Series
from pairstream.ticks import Tick, ticks_around, ticks_of_steps

NOT_FINITE = "not finite"
Form = Callable[[float], str]


class Curve(NamedTuple):
    name: str
    series: Series


class Plot(NamedTuple):
    """Where a step and a value lie, in percent of the drawing from its left and its top."""

    last_step: int
    low: float
    high: float

    def x(self, step: float) -> float:
        return 100 * step / self.last_step if self.last_step else 0.0

    def y(self, value: float) -> float:
        return 100 - 100 * (value - self.low) / (self.high - self.low)


def curves(title: str, shown: Sequence[Curve], *, form: Form, last_step: int) -> Html:
    """One to three curves in one figure, with their ends and extremes in numbers below; `form` writes a value.

    The figure goes from step 0 to `last_step`, so that figures of one run lie above each other. Steps whose value was
    not finite are marked at its foot. At least one curve has a finite value.
    """
    values = [end[1] for curve in shown for end in (curve.series.lowest, curve.series.highest) if end is not None]
    marks = ticks_around(min(values), max(values))
    plot = Plot(last_step, marks[0].value, marks[-1].value)
    shapes = [*_value_axis(marks, plot), *_step_axis(plot)]
    gaps = sorted({step for curve in shown for step in curve.series.gaps})
    shapes += [_gap(plot.x(step)) for step in gaps]
    for number, curve in enumerate(shown):
        shapes += _drawn(curve, number, plot, form)
    drawing = element("svg", *shapes, width="100%", height="100%", role="img", aria_label=f"{title}; numbers below")
    legend = [
        element("span", curve.name, class_=f"key key{number}") for number, curve in enumerate(shown) if len(shown) > 1
    ]
    if gaps:
        legend.append(element("span", NOT_FINITE, class_="key keybad"))
    heads = ("", "first", "lowest", "highest", "last", f"lines {NOT_FINITE}")
    return element(
        "figure",
        element("figcaption", element("span", title, dir="auto"), *legend),
        element("div", drawing, class_="plot steps"),
        details("the numbers", table(heads, [_numbers(curve, form) for curve in shown], numbers=5)),
    )


def last_value(series: Series, form: Form) -> str:
    """Of the last line that has one."""
    return NOT_FINITE if series.latest is None else form(series.latest)


def _value_axis(marks: Sequence[Tick], plot: Plot) -> list[Html]:
    shapes = []
    for number, (value, word) in enumerate(marks):
        place = f"{plot.y(value):.3f}%"
        shapes.append(element("line", x1="0", x2="100%", y1=place, y2=place, class_="axis" if not number else "grid"))
        shapes.append(element("text", word, x="0", dx="-6", y=place, dy="4", text_anchor="end"))
    return shapes


def _step_axis(plot: Plot) -> list[Html]:
    shapes = []
    for number, (step, word) in enumerate(ticks_of_steps(plot.last_step)):
        place, odd = plot.x(step), "odd" if number % 2 else False  # left out where the page is narrow
        anchor = "start" if not step else "end" if place > 96 else "middle"
        x = f"{place:.3f}%"
        if step:
            shapes.append(element("line", x1=x, x2=x, y1="0", y2="100%", class_="grid"))
        shapes.append(element("text", word, x=x, y="100%", dy="16", text_anchor=anchor, class_=odd))
    return [*shapes, element("text", "step", x="100%", y="100%", dy="32", text_anchor="end")]


def _gap(place: float) -> Html:
    x = f"{place:.3f}%"
    return element("line", x1=x, x2=x, y1="93%", y2="100%", class_="bad")


def _drawn(curve: Curve, number: int, plot: Plot, form: Form) -> list[Html]:
    lines = [
        element(
            "polyline",
            points=" ".join(f"{plot.x(step):.3f},{plot.y(value):.3f}" for step, value in piece),
            fill="none",
            stroke=f"var(--series{number})",
            stroke_width="2",
            stroke_linecap="round",  # a piece of one point is a dot
            vector_effect="non-scaling-stroke",
        )
        for piece in map(_at_least_two, curve.series.pieces())
    ]
    # A drawing of its own, stretched to the plot: coordinates of a polyline cannot be percentages.
    stretched = element("svg", *lines, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%")
    if curve.series.last is None:
        return [stretched]
    step, value = curve.series.last
    said = element("title", f"{curve.name}, step {step:,}: {form(value)}")
    dot = element("circle", said, cx=f"{plot.x(step):.3f}%", cy=f"{plot.y(value):.3f}%", r="3.5")
    return [stretched, element("g", dot, class_=f"series{number}")]


def _at_least_two(piece: list[Point]) -> list[Point]:
    return piece * 2 if len(piece) == 1 else piece


def _numbers(curve: Curve, form: Form) -> tuple[str, ...]:
    series = curve.series
    ends = (series.first, series.lowest, series.highest)
    said = [NOT_FINITE if end is None else f"{form(end[1])} at {end[0]:,}" for end in ends]
    return (curve.name, *said, last_value(series, form), f"{series.not_finite:,} of {series.lines:,}")
