"""Scores in a model card: tables for its readers, and the Hub's metadata, `model-index`.

What is put in takes the place of what was put in before; the rest of the card stays as it is, to the byte.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.card import BIAS_BEGIN, BIAS_END, CARD, SCORES_BEGIN, SCORES_END, replace_card
from trainer.encoders.settings import EncoderSettings

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Contender → task → score (a float) or size (a whole number) → value."""

TASKS = {
    "sts": ("semantic-similarity", "Semantic Similarity"),
    "duplicates": ("binary-classification", "Binary Classification"),
    "retrieval": ("information-retrieval", "Information Retrieval"),
    "reranking": ("reranking", "Reranking"),
    "bitext": ("translation", "Translation"),
    "classification": ("text-classification", "Text Classification"),
    "clustering": ("clustering", "Clustering"),
    "responses": ("response-selection", "Response Selection"),
}
"""Kind of a task → its type and name in the metadata, those of sentence-transformers where it has one."""
METRICS = {
    "sts": "{score}_{similarity}",
    "duplicates": "{similarity}_{score}",
    "retrieval": "{similarity}_{score}",
}
"""How sentence-transformers names a kind's metrics, which hold for one similarity; others have a name of their own."""
RENAMED = {
    ("retrieval", "map"): "map@1000",
    ("duplicates", "threshold"): "f1_threshold",
    ("bitext", "accuracy"): "mean_accuracy",
    ("classification", "macro f1"): "f1",
    ("clustering", "v-measure"): "v_measure",
    ("responses", "1-of-100"): "1-of-100_accuracy",
}
_FRONT = re.compile(r"\A---[ \t]*\r?\n(?P<inside>.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_INDEX = re.compile(r"^model-index:[^\n]*\n(?:(?:[ \t]*\r?\n)*[ \t-][^\n]*\n)*", re.MULTILINE)


def check_card(folder: str | Path) -> None:
    """Raises ValueError, in one line, for a folder without a card that scores can be put into."""
    text = _read(Path(folder) / CARD)
    for section, marks in (("scores", (SCORES_BEGIN, SCORES_END)), ("bias", (BIAS_BEGIN, BIAS_END))):
        _section(Path(folder) / CARD, text, section, marks)


def put_scores(folder: str | Path, scores: Scores, kinds: Mapping[str, str]) -> None:
    """Put tables of all scores into an encoder folder's card, and those of the first contender into its metadata.

    The first contender is the encoder of the folder; `kinds` says of what kind each task is. Raises ValueError when
    the folder has no card of ours.
    """
    path = Path(folder) / CARD
    text = _read(path)
    tasks = list(dict.fromkeys(task for of_one in scores.values() for task in of_one))
    lines = [line for task in tasks for line in _table(task, scores)]
    text = _put(path, text, "scores", (SCORES_BEGIN, SCORES_END), lines)
    own = next(iter(scores.values()), {})
    similarity = EncoderSettings.load(folder).similarity
    results = [line for task, values in own.items() for line in _result(task, kinds[task], values, similarity)]
    replace_card(path, _with_index(text, _name(text, Path(folder)), results))


def put_bias(folder: str | Path, results: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Put measures of bias, {how they were taken: [(measure, value)]}, into the card.

    Raises ValueError when the folder has no card of ours.
    """
    lines = []
    for about, rows in results.items():
        lines += [about, "", "| measure | value |", "| --- | ---: |"]
        lines += [*(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows), ""]
    path = Path(folder) / CARD
    replace_card(path, _put(path, _read(path), "bias", (BIAS_BEGIN, BIAS_END), lines))


def _table(task: str, scores: Scores) -> list[str]:
    rows = {name: of_one[task] for name, of_one in scores.items() if task in of_one}
    first = next(iter(rows.values()))
    measures = [name for name, value in first.items() if not isinstance(value, int)]
    sizes = ", ".join(f"{value:,} {name}" for name, value in first.items() if isinstance(value, int))
    return [
        f"`{task}`: {sizes}.",
        "",
        f"| | {' | '.join(map(_cell, measures))} |",
        f"| --- |{' ---: |' * len(measures)}",
        *(
            f"| {_cell(name)} | {' | '.join(_number(row.get(measure)) for measure in measures)} |"
            for name, row in rows.items()
        ),
        "",
    ]


def _number(value: Any) -> str:
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "–"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _result(task: str, kind: str, values: Mapping[str, Any], similarity: str) -> list[str]:
    """The lines of one result: of a task, its data set and its metrics. JSON's strings are YAML's, too."""
    if kind not in TASKS:
        return []
    found = {name: value for name, value in values.items() if not isinstance(value, int) and math.isfinite(value)}
    if not found:
        return []
    type_, name = TASKS[kind]
    lines = [
        "  - task:",
        f"      type: {type_}",
        f"      name: {name}",
        "    dataset:",
        f"      type: {_quoted(_slug(task))}",
        f"      name: {_quoted(task)}",
        "    metrics:",
    ]
    for score, value in found.items():
        plain = RENAMED.get((kind, score), score)
        metric = METRICS.get(kind, "{score}").format(score=plain, similarity=similarity)
        lines += [
            f"    - type: {_quoted(metric)}",
            f"      value: {value:.6f}",
            f"      name: {_quoted(metric.replace('_', ' ').capitalize())}",
        ]
    return lines


def _slug(name: str) -> str:
    """What the Hub takes for the identifier of a data set.

    >>> _slug("STS-B dev (2017)")
    'sts-b-dev-2017'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "unnamed"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _name(text: str, folder: Path) -> str:
    """The card's title."""
    found = re.search(r"^# (.+?)\r?$", text, re.MULTILINE)
    return found[1].strip() if found else folder.resolve().name


def _with_index(text: str, name: str, results: Sequence[str]) -> str:
    """The card with these results in its metadata, or without any; as it is where it has no metadata."""
    front = _FRONT.match(text)
    if front is None:
        return text
    inside = front["inside"]
    index = "\n".join(["model-index:", f"- name: {_quoted(name)}", "  results:", *results, ""]) if results else ""
    before = _INDEX.search(inside)
    start, end = before.span() if before else (len(inside), len(inside))
    return text[: front.start("inside")] + inside[:start] + index + inside[end:] + text[front.end("inside") :]


def _put(path: Path, text: str, section: str, marks: tuple[str, str], lines: Sequence[str]) -> str:
    start, end = _section(path, text, section, marks)
    return text[:start] + "\n" + "\n".join(lines) + text[end:]


def _section(path: Path, text: str, section: str, marks: tuple[str, str]) -> tuple[int, int]:
    """Where the section's inside starts and ends."""
    begin = text.find(marks[0])
    end = text.find(marks[1], begin)
    if min(begin, end) < 0:
        raise ValueError(f"{path}: no {section} section; expected a card that `pairstream export` wrote")
    return begin + len(marks[0]), end


def _read(path: Path) -> str:
    """The card with its own line ends; empty where there is none."""
    try:
        return path.read_bytes().decode() if path.is_file() else ""
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8; expected a card that `pairstream export` wrote") from None
