"""Markup that no text can break, and the plots made of it: bars and histograms as inline SVG.

A plain `str` is a text and is escaped wherever it meets markup; only what `element` returns is markup.
Plots place their shapes in percentages, so they follow the width of the page and their words keep their size.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

_UNPRINTABLE = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"},
    **{code: "\ufffd" for code in (*range(0x7F, 0xA0), *range(0xD800, 0xE000))},
}
"""Control characters as their pictures; what UTF-8 or a page cannot hold as the replacement character."""


class Html(str):
    """A piece of markup."""


class Bar(NamedTuple):
    """A row of a bar plot."""

    label: str
    value: int
    lost: int = 0
    """Drawn behind the value, paler: what was there and went."""


def markup(child: str) -> str:
    """`child` as markup: a text is escaped, with its unprintable characters made visible."""
    return child if isinstance(child, Html) else html.escape(child.translate(_UNPRINTABLE))


def join(*children: str) -> Html:
    """Markup and texts, one after the other."""
    return Html("".join(map(markup, children)))


def element(name: str, /, *children: str, **attributes: str | bool) -> Html:
    """`element("td", "a < b", class_="n")`; `aria_label` becomes `aria-label`, False leaves an attribute out."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{markup(value)}"')
        for key, value in attributes.items()
        if value is not False
    )
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", numbers: int = 1) -> Html:
    """A table whose first column heads its rows and whose last `numbers` columns are aligned as numbers."""
    first_number = len(heads) - numbers

    def cells(row: Sequence[str], *, heading: bool) -> Html:
        return join(
            *(
                element(
                    "th" if heading or not column else "td",
                    cell,
                    class_="n" if column >= first_number else False,
                    scope=("col" if heading else "row") if heading or not column else False,
                    dir="auto",
                )
                for column, cell in enumerate(row)
            )
        )

    head = element("thead", element("tr", cells(heads, heading=True)))
    body = element("tbody", *(element("tr", cells(row, heading=False)) for row in rows))
    return element("div", element("table", element("caption", caption) if caption else "", head, body), class_="wide")


def bars(rows: Sequence[Bar], *, whole: int, heads: tuple[str, str, str], caption: str) -> Html:
    """A table with a bar in each row; `whole` is 100%, and the longest bar fills the column.

    `heads` names the columns of labels, numbers and shares.
    """
    longest = max((row.value + row.lost for row in rows), default=0) or 1
    drawn = []
    for label, value, lost in rows:
        kept_bar = element("rect", width=f"{100 * value / longest:.3f}%", height="100%", class_="kept")
        lost_bar = element("rect", width=f"{100 * (value + lost) / longest:.3f}%", height="100%", class_="lost")
        bar = element("svg", lost_bar if lost else "", kept_bar, width="100%", height="14", aria_hidden="true")
        drawn.append(
            element(
                "tr",
                element("th", label, scope="row", dir="auto"),
                element("td", bar, class_="bar"),
                element("td", f"{value:,}", class_="n"),
                element("td", share(value, whole), class_="n"),
            )
        )
    label_head, *number_heads = heads
    head = element(
        "tr",
        element("th", label_head, scope="col"),
        element("td"),
        *(element("th", name, scope="col", class_="n") for name in number_heads),
    )
    content = (element("caption", caption), element("thead", head), element("tbody", *drawn))
    return element("div", element("table", *content, class_="bars"), class_="wide")


def histogram(edges: Sequence[int], series: Mapping[str, Sequence[int]], *, title: str, unit: str) -> Html:
    """Shares of each series in bins whose lower edges are given, the last bin open; the numbers in a table below.

    At most three series are told apart.
    """
    totals = {name: sum(counts) for name, counts in series.items()}
    shares = {name: [count / (totals[name] or 1) for count in counts] for name, counts in series.items()}
    step = _tick_step(max((max(values, default=0) for values in shares.values()), default=0))
    ticks = [step * n for n in range(1, 5)]
    top = ticks[-1]
    names = bin_names(edges)

    shapes = [element("line", x1="0", x2="100%", y1="100%", y2="100%", class_="axis")]
    for tick in ticks:
        y = f"{100 - 100 * tick / top:.2f}%"
        shapes.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        shapes.append(element("text", f"{100 * tick:g}%", x="-6", y=y, dy="4", text_anchor="end"))
    slot = 100 / len(edges)
    width = 0.84 * slot / len(series)
    for number, (name, values) in enumerate(shares.items()):
        for place, value in enumerate(values):
            said = (
                f"{name}, {names[place]} {unit}: {series[name][place]:,} ({share(series[name][place], totals[name])})"
            )
            shapes.append(
                element(
                    "rect",
                    element("title", said),
                    x=f"{slot * (place + 0.08) + number * width:.3f}%",
                    width=f"{0.94 * width:.3f}%",
                    y=f"{100 - 100 * value / top:.3f}%",
                    height=f"{100 * value / top:.3f}%",
                    class_=f"series{number}",
                )
            )
    for place, edge in enumerate(edges):
        shown = _short(edge) + ("+" if place == len(edges) - 1 else "")
        x = f"{slot * (place + 0.5):.3f}%"
        odd = "odd" if place % 2 else False  # left out where the page is narrow
        shapes.append(element("text", shown, x=x, y="100%", dy="16", text_anchor="middle", class_=odd))
    legend = [element("span", name, class_=f"key key{number}", dir="auto") for number, name in enumerate(series)]
    plot = element("svg", *shapes, width="100%", height="100%", role="img", aria_label=f"{title}; numbers below")
    rows = [(names[place], *(f"{series[name][place]:,}" for name in series)) for place in range(len(edges))]
    return element(
        "figure",
        element("figcaption", element("span", title), *legend),
        element("div", plot, class_="plot"),
        details("the numbers", table((unit, *series), rows, numbers=len(series))),
    )


def details(summary: str, *children: str) -> Html:
    """Children that a click unfolds."""
    return element("details", element("summary", summary), *children)


def bin_names(edges: Sequence[int]) -> list[str]:
    """`0–7`, `8–15`, `16 or more`."""
    closed = [f"{low:,}–{after - 1:,}" if after - low > 1 else f"{low:,}" for low, after in pairwise(edges)]
    return [*closed, f"{edges[-1]:,} or more"] if edges else []


def share(count: int, whole: int) -> str:
    """`12.3%`; small shares keep two digits, and only nothing at all is 0%."""
    if not whole or not count:
        return "0%" if whole else "–"
    percent = 100 * count / whole
    return "< 0.01%" if percent < 0.01 else f"{percent:.2f}%" if percent < 1 else f"{percent:.1f}%"


def _tick_step(highest: float) -> float:
    """A quarter of the axis: the smallest of 0.5, 1, 2, 2.5, 5 … 25% whose fourfold covers `highest`."""
    return next((step for step in (0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.15, 0.2) if 4 * step >= highest), 0.25)


def _short(edge: int) -> str:
    """The label of a bin: powers of two from 1,024 on as `1k`."""
    return f"{edge // 1024}k" if edge >= 1024 and edge % 1024 == 0 else str(edge)
