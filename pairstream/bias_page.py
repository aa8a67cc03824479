"""Gender bias as one page that needs nothing else: a dot and an interval for each occupation, and the labour market."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pairstream.page_frame import whole_page
from pairstream.report_html import Html, details, element, join, table
from trainer.evaluate.gender_bias import BiasReport, OccupationBias, card_rows, signed

NAMED = 4
"""Occupations at each end that are named in the plot against the labour market; the others on hovering."""


def page(reports: Mapping[str, Mapping[str, BiasReport]]) -> bytes:
    """The whole page, UTF-8, of {contender: {task: report}}. It is the same for the same reports."""
    sections = [
        element(
            "section",
            element("h2", f"{contender}: {task}", dir="auto"),
            element(
                "dl", *(join(element("dt", what), element("dd", value)) for what, value in card_rows(task, report))
            ),
            _preferences(report),
            _labour_market(report),
        )
        for contender, of_one in reports.items()
        for task, report in of_one.items()
    ]
    body = join(element("h1", "Gender bias"), element("p", _INTRODUCTION), *sections)
    return whole_page("Gender bias", body, style=_STYLE)


def _preferences(report: BiasReport) -> Html:
    """A row for each occupation: dot, interval, numbers. Dots are placed by the mean difference."""
    scale = _Scale.of(report.occupations)
    rows = [_row(scale, report.overall, "all", "all")]
    rows += [_row(scale, one, one.occupation) for one in report.occupations]
    heads = (
        element("th", "occupation", scope="col"),
        element("th", scale.ticks(), scope="col", class_="dots"),
        element("th", "difference", scope="col", class_="n"),
        element("th", "female nearer", scope="col", class_="n odd"),
        element("th", "women", scope="col", class_="n"),
    )
    content = (
        element("caption", "Female minus male similarity, mean and 95% interval. Left: male is nearer; right: female"),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
    )
    return element("div", element("table", *content, class_="bias"), class_="wide")


def _row(scale: _Scale, one: OccupationBias, name: str, class_: str | bool = False) -> Html:
    said = f"{name}: {signed(one.difference, one.difference_interval)}, {one.examples:,} examples"
    shapes = [element("line", x1=scale.place(0), x2=scale.place(0), y1="0", y2="100%", class_="axis")]
    if one.difference_interval is not None:
        low, high = one.difference_interval
        shapes.append(element("line", x1=scale.place(low), x2=scale.place(high), y1="50%", y2="50%", class_="interval"))
    shapes.append(element("circle", element("title", said), cx=scale.place(one.difference), cy="50%", r="4.5"))
    plot = element("svg", *shapes, width="100%", height="18", role="img", aria_label=said)
    return element(
        "tr",
        element("th", name, scope="row", dir="auto"),
        element("td", plot, class_="dots"),
        element("td", f"{one.difference:+.4f}", class_="n"),
        element("td", f"{100 * one.female_nearer:.0f}%", class_="n odd"),
        element("td", "" if one.women is None else f"{one.women:.1f}%", class_="n"),
        class_=class_,
    )


def _labour_market(report: BiasReport) -> Html:
    """Difference against share of women, a dot for each occupation where that is known; the numbers below."""
    known = [one for one in report.occupations if one.women is not None]
    if report.correlation is None:
        return element("p", "The share of women is known for too few of these occupations: no correlation.")
    scale = _Scale.of(known)
    shapes = []
    for tick in scale.at:
        y = scale.height(tick)
        shapes.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="axis" if tick == 0 else "grid"))
        shapes.append(element("text", scale.label(tick), x="-6", y=y, dy="4", text_anchor="end"))
    for women in range(0, 101, 25):
        shapes.append(element("text", f"{women}%", x=f"{women}%", y="100%", dy="16", text_anchor="middle"))
    named = {id(one) for one in (*known[:NAMED], *known[-NAMED:])}
    for one in known:
        x, y = f"{one.women:.2f}%", scale.height(one.difference)
        if one.difference_interval is not None:
            low, high = one.difference_interval
            shapes.append(element("line", x1=x, x2=x, y1=scale.height(low), y2=scale.height(high), class_="interval"))
        said = f"{one.occupation}: {one.women:.1f}% women, {signed(one.difference, one.difference_interval)}"
        shapes.append(element("circle", element("title", said), cx=x, cy=y, r="4.5"))
        if id(one) in named:
            left = one.women is not None and one.women > 70
            anchor, dx = ("end", "-8") if left else ("start", "8")
            shapes.append(element("text", one.occupation, x=x, y=y, dx=dx, dy="4", text_anchor=anchor, class_="name"))
    title = (
        "Female minus male similarity (upwards) against the per cent of women in the occupation. "
        f"Spearman {signed(report.correlation.spearman, report.correlation.interval, 2)}"
    )
    plot = element("svg", *shapes, width="100%", height="100%", role="img", aria_label=f"{title}; numbers below")
    rows = [
        (one.occupation, f"{one.examples:,}", f"{one.women:.1f}%", signed(one.difference, one.difference_interval))
        for one in known
    ]
    heads = ("occupation", "examples", "women", "difference")
    return element(
        "figure",
        element("figcaption", element("span", title)),
        element("div", plot, class_="plot labour"),
        details("the numbers", table(heads, rows, numbers=3)),
    )


class _Scale:
    """Differences as places on an axis that holds every interval and zero."""

    def __init__(self, low: float, high: float):
        self.step = _round_step((high - low) / 5 or 1e-3)
        first, last = math.floor(low / self.step), math.ceil(high / self.step)
        if first == last:
            first, last = first - 1, last + 1
        self.at = [self.step * n for n in range(first, last + 1)]

    @classmethod
    def of(cls, occupations: Sequence[OccupationBias]) -> _Scale:
        ends = [0.0]
        for one in occupations:
            ends += [one.difference, *(one.difference_interval or ())]
        return cls(min(ends), max(ends))

    def place(self, value: float) -> str:
        """From the left."""
        return f"{100 * self._part(value):.2f}%"

    def height(self, value: float) -> str:
        """From above, more being higher."""
        return f"{100 - 100 * self._part(value):.2f}%"

    def _part(self, value: float) -> float:
        return (value - self.at[0]) / (self.at[-1] - self.at[0])

    def label(self, tick: float) -> str:
        return f"{tick:+.{max(0, -math.floor(math.log10(self.step)))}f}" if tick else "0"

    def ticks(self) -> Html:
        """The axis' labels, for the head of the column of dots."""
        inner = [
            element(
                "text",
                self.label(tick),
                x=self.place(tick),
                y="12",
                text_anchor="middle",
                class_=False if round(tick / self.step) % 2 == 0 else "odd",  # left out where the page is narrow
            )
            for tick in self.at
        ]
        return element("svg", *inner, width="100%", height="16", aria_hidden="true")


def _round_step(wanted: float) -> float:
    """The smallest of 1, 2, 2.5, 5 × a power of ten that is at least `wanted`."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))


_INTRODUCTION = (
    "Each example is a sentence that tells no gender, compared with a female and a male version of itself. "
    "An encoder without bias finds both equally near: its dots stand on zero. Dots that differ between occupations "
    "are stereotypes; a shift of all of them is a gender taken as the default."
)

_STYLE = """
.bias td, .bias tbody th { padding-block: .05rem; vertical-align: middle; }
.bias .dots { width: 50%; min-width: 9rem; padding-inline: 1.2rem; }
.dots svg { display: block; overflow: visible; }
.dots text { fill: var(--muted); font-size: 11px; font-variant-numeric: tabular-nums; }
.bias .all > * { border-bottom: 2px solid var(--line); font-weight: 600; }
circle { fill: var(--series0); } .all circle { fill: var(--series1); }
.interval { stroke: var(--series0); stroke-width: 2; stroke-opacity: .55; } .all .interval { stroke: var(--series1); }
.labour { height: 26rem; } .labour .interval { stroke-width: 1.5; stroke-opacity: .3; }
.plot .name { fill: var(--ink); }
"""
