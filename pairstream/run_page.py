"""A run at a glance: one page with its curves, made of its log."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from pairstream.curves import Curve, curves
from pairstream.page_frame import whole_page
from pairstream.report_html import Html, element, join, table
from trainer.config import TrainConfig

SUMMARY = "summary.html"
MOST_DATASETS = 40
"""Shown with curves and rows: those of the most pairs."""
Line = Mapping[str, Any]

FIGURES = (
    ("Loss", ("loss",), "{:.3f}"),
    ("Accuracy: anchors nearest to their own positive", ("accuracy",), "{:.3f}"),
    ("Similarity of positives and of negatives", ("positive_cosine", "negative_cosine"), "{:.3f}"),
    ("Similarity of positives and of negatives", ("positive_dot", "negative_dot"), "{:.3f}"),
    ("Scale of similarities (1 / temperature), learnt", ("scale",), "{:.2f}"),
    ("Gradient norm, before clipping", ("gradient_norm",), "{:.3g}"),
    ("Learning rate", ("learning_rate",), "{:.3g}"),
    ("Documents masked as false negatives, a step", ("masked_false_negatives",), "{:.1f}"),
    ("Steps without an update", ("skipped",), "{:.0f}"),
    ("Pairs a second", ("pairs_per_second",), "{:,.0f}"),
    ("Tokens a second: of texts, and with padding", ("tokens_per_second", "padded_tokens_per_second"), "{:,.0f}"),
    ("Share of the time that waits for data", ("data_wait",), "{:.3f}"),
    ("Model FLOPs utilisation", ("mfu",), "{:.3f}"),
)
"""Title, names in the log, format of a value; figures of which the log says nothing are left out."""


def write_run_page(folder: Path, config: TrainConfig, log: Path) -> Path | None:
    """`summary.html` in a run's folder, whole or not at all; None, and no page, where nothing was logged yet."""
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()] if log.is_file() else []
    if not lines:
        return None
    path = folder / SUMMARY
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(run_page(config, lines))
    os.replace(temporary, path)
    return path


def run_page(config: TrainConfig, lines: Sequence[Line]) -> bytes:
    """The page, UTF-8, of at least one line of the log. Same lines, same bytes."""
    last = lines[-1]
    figures = [figure for title, names, form in FIGURES if (figure := _figure(title, names, form, lines))]
    body = join(
        element("h1", "pairstream · training"),
        element("h2", config.name, dir="auto"),
        element("p", f"{last['step']:,} of {config.steps:,} steps of {config.batch_size:,} pairs", class_="tuple"),
        table(("", "last"), _last_values(last), numbers=1),
        _scores(lines, config.evaluation.metric),
        element("section", element("h3", "Curves"), *figures),
        _datasets(lines),
        element("section", element("h3", "Configuration"), table(("field", "value"), list(_fields(config.to_json())))),
    )
    return whole_page(f"{config.name}: training", body)


def _figure(title: str, names: Sequence[str], form: str, lines: Sequence[Line]) -> Html | None:
    found = [Curve(name.replace("_", " "), _points(lines, lambda line, n=name: line.get(n))) for name in names]
    found = [curve for curve in found if curve.points]
    return curves(title, found, form=form.format) if found else None


def _points(lines: Sequence[Line], value_of: Callable[[Line], Any]) -> tuple[tuple[int, float], ...]:
    """(step, value) where there is a value; what is not finite stands in the log as null."""
    return tuple((line["step"], value) for line in lines if (value := value_of(line)) is not None)


def _last_values(last: Line) -> list[tuple[str, str]]:
    rows = []
    for title, names, form in FIGURES:
        values = [form.format(last[name]) for name in names if last.get(name) is not None]
        if values:
            rows.append((title, " · ".join(values)))
    return rows


def _scores(lines: Sequence[Line], metric: str) -> Html:
    scored = [line for line in lines if line.get("scores")]
    names = sorted({name for line in scored for name in line["scores"]})
    if not names:
        return Html("")
    of_each = {name: _points(scored, lambda line, n=name: line["scores"].get(n)) for name in names}
    shown = metric if metric in of_each else names[0]
    rows = [
        (name, f"{points[0][1]:.4f}", f"{max(points, key=lambda point: point[1])[1]:.4f}", f"{points[-1][1]:.4f}")
        for name, points in of_each.items()
    ]
    return element(
        "section",
        element("h3", "Evaluation while training"),
        curves(f"Score: {shown}", [Curve(shown, of_each[shown])], form="{:.4f}".format),
        table(("score", "first", "highest", "last"), rows, numbers=3),
    )


def _datasets(lines: Sequence[Line]) -> Html:
    pairs: dict[str, int] = {}
    for line in lines:
        for name, of_one in line.get("datasets", {}).items():
            pairs[name] = pairs.get(name, 0) + of_one["pairs"]
    names = sorted(pairs, key=lambda name: (-pairs[name], name))
    if not names:
        return Html("")
    whole = sum(pairs.values())
    rows = []
    for name in names[:MOST_DATASETS]:
        last = next(line["datasets"][name] for line in reversed(lines) if name in line.get("datasets", {}))
        share = f"{100 * pairs[name] / whole:.1f}%"
        rows.append((name, f"{pairs[name]:,}", share, *(_three_digits(last[what]) for what in ("loss", "accuracy"))))
    losses = [
        curves(
            name,
            [Curve("loss", _points(lines, lambda line, n=name: line.get("datasets", {}).get(n, {}).get("loss")))],
            form="{:.3f}".format,
        )
        for name in names[:MOST_DATASETS]
    ]
    left = len(names) - MOST_DATASETS
    note = element("p", f"{left:,} datasets of fewer pairs are in metrics.jsonl.", class_="tuple") if left > 0 else ""
    return element(
        "section",
        element("h3", "Datasets"),
        table(("dataset", "pairs", "share", "last loss", "last accuracy"), rows, numbers=4),
        note,
        element("details", element("summary", "loss of each"), *losses),
    )


def _three_digits(value: float | None) -> str:
    """What was not finite stands in the log as null."""
    return "–" if value is None else f"{value:.3f}"


def _fields(document: Mapping[str, Any], before: str = "") -> Any:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
