"""A run at a glance: one page with its state and its curves, made of its folder while it runs or after it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pairstream.curves import NOT_FINITE, Curve, curves, last_value
from pairstream.load_run import load_run
from pairstream.page_frame import whole_page
from pairstream.report_html import Html, element, join, table
from pairstream.run_facts import CONFIG, LOG, read_facts
from pairstream.run_log import OfDataset, RunLog, read_log
from pairstream.run_state import at_the_top
from schemas.shards import open_local
from trainer.config import TrainConfig

SUMMARY = "summary.html"
MOST_DATASETS = 40
"""Shown with curves and rows: those of the most pairs."""


class Figure(NamedTuple):
    title: str
    names: tuple[str, ...]
    """In the log; a figure of which the log says nothing is left out."""
    form: str
    """Of a value below a milliard."""

    def write(self, value: float) -> str:
        return self.form.format(value) if abs(value) < 1e9 else f"{value:.3g}"


FIGURES = (
    Figure("Loss", ("loss",), "{:.3f}"),
    Figure("Accuracy: anchors nearest to their own positive", ("accuracy",), "{:.3f}"),
    Figure("Similarity of positives and of negatives", ("positive_cosine", "negative_cosine"), "{:.3f}"),
    Figure("Similarity of positives and of negatives", ("positive_dot", "negative_dot"), "{:.3f}"),
    Figure("Scale of similarities (1 / temperature), learnt", ("scale",), "{:.2f}"),
    Figure("Gradient norm, before clipping", ("gradient_norm",), "{:.3g}"),
    Figure("Learning rate", ("learning_rate",), "{:.3g}"),
    Figure("Documents masked as false negatives, a step", ("masked_false_negatives",), "{:.1f}"),
    Figure("Steps without an update, since the line before", ("skipped",), "{:.0f}"),
    Figure("Pairs a second", ("pairs_per_second",), "{:,.0f}"),
    Figure("Tokens a second: of texts, and with padding", ("tokens_per_second", "padded_tokens_per_second"), "{:,.0f}"),
    Figure("Share of the time that waits for data", ("data_wait",), "{:.3f}"),
    Figure("Model FLOPs utilisation", ("mfu",), "{:.3f}"),
)


def write_run_page(folder: Path) -> Path | None:
    """`summary.html` in a run's folder, whole or not at all; None where `page_of_run` is. Raises as it, and OSError."""
    if (page := page_of_run(folder)) is None:
        return None
    path = folder / SUMMARY
    with open_local(str(path)) as file:
        file.write(page)
    return path


def page_of_run(folder: Path) -> bytes | None:
    """The page of a run's folder as it is now; None where nothing was logged yet.

    Raises UsageError for a config that cannot be read, OSError for a log that cannot.
    """
    config = load_run(str(folder / CONFIG))
    if not (folder / LOG).is_file():
        return None
    with (folder / LOG).open("rb") as lines:
        log = read_log(lines, config.batch_size)
    return None if log.empty else run_page(config, log, at_the_top(config, log, read_facts(folder)))


def run_page(config: TrainConfig, log: RunLog, state: Html) -> bytes:
    """The page, UTF-8, of a log that is not empty; `state` stands at the top. Same arguments, same bytes."""
    figures = [drawn for figure in FIGURES if (drawn := _drawn(figure, log)) is not None]
    body = join(
        element("h1", "pairstream · training"),
        element("h2", config.name, dir="auto"),
        state,
        table(("", "last"), list(_last_values(log)), numbers=1),
        _scores(log, config.evaluation.metric),
        element("section", element("h3", "Curves"), *figures) if figures else "",
        _datasets(log),
        element("section", element("h3", "Configuration"), table(("field", "value"), list(_fields(config.to_json())))),
    )
    return whole_page(f"{config.name}: training", body)


def _drawn(figure: Figure, log: RunLog) -> Html | None:
    found = [Curve(name.replace("_", " "), log.metrics[name]) for name in figure.names if name in log.metrics]
    if all(curve.series.last is None for curve in found):  # none, or never finite: the table above says so
        return None
    return curves(figure.title, found, form=figure.write, last_step=log.step)


def _last_values(log: RunLog) -> Iterator[tuple[str, str]]:
    for figure in FIGURES:
        values = [last_value(log.metrics[name], figure.write) for name in figure.names if name in log.metrics]
        if values:
            yield figure.title, " · ".join(values)


def _scores(log: RunLog, metric: str) -> Html:
    if not log.scores:
        return Html("")
    names = sorted(log.scores)
    shown = metric if metric in log.scores else names[0]
    rows = []
    for name in names:
        ends = (log.scores[name].first, log.scores[name].highest, log.scores[name].last)
        rows.append((name, *("" if end is None else f"{end[1]:.4f}" for end in ends)))
    return element(
        "section",
        element("h3", "Evaluation while training"),
        curves(f"Score: {shown}", [Curve(shown, log.scores[shown])], form="{:.4f}".format, last_step=log.step),
        table(("score", "first", "highest", "last"), rows, numbers=3),
    )


def _datasets(log: RunLog) -> Html:
    ordered = sorted(log.datasets.items(), key=lambda item: (-item[1].pairs, item[0]))
    if not ordered:
        return Html("")
    shown, left = ordered[:MOST_DATASETS], len(ordered) - MOST_DATASETS
    whole = sum(of_one.pairs for _, of_one in ordered)
    note = element("p", f"{left:,} datasets of fewer pairs are in {LOG}.", class_="tuple") if left > 0 else ""
    losses = [
        curves(name, [Curve("loss", of_one.loss)], form="{:.3f}".format, last_step=log.step)
        for name, of_one in shown
        if of_one.loss.last is not None
    ]
    return element(
        "section",
        element("h3", "Datasets"),
        table(
            ("dataset", "pairs", "share", "last loss", "last accuracy"),
            [_dataset_row(name, of_one, whole) for name, of_one in shown],
            numbers=4,
        ),
        note,
        element("details", element("summary", "loss of each"), *losses),
    )


def _dataset_row(name: str, of_one: OfDataset, whole: int) -> tuple[str, ...]:
    accuracy = NOT_FINITE if of_one.accuracy is None else f"{of_one.accuracy:.3f}"
    share = f"{100 * of_one.pairs / (whole or 1):.1f}%"
    return (name, f"{of_one.pairs:,}", share, last_value(of_one.loss, "{:.3f}".format), accuracy)


def _fields(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
