"""Suites: several tasks under one name, scored in one call, such as while a run trains."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from trainer.encoders.settings import Similarity
from trainer.evaluate.bitext import read_bitext
from trainer.evaluate.duplicates import read_duplicates
from trainer.evaluate.gender_bias import read_gender_bias
from trainer.evaluate.labelled import read_classification, read_clustering
from trainer.evaluate.reranking import read_reranking
from trainer.evaluate.responses import read_responses
from trainer.evaluate.retrieval import read_retrieval
from trainer.evaluate.sts import read_sts
from trainer.evaluate.task import Contender, Encode, Outcome, Task
from trainer.evaluate.vector_contender import VectorContender

SUITES = Path(__file__).parent / "suites"
"""Suites that come with us; `small` needs no other file."""
MEAN = "mean"


@dataclass(frozen=True)
class TaskSpec:
    """One entry of a suite."""

    kind: str
    path: Path
    other: Path | None = None
    """The second file of a bitext; the labour statistics of sentences for gender bias."""
    name: str | None = None
    """By default from the path."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a table, or their places from 1 where it has no header."""
    candidates: int = 1000
    """Distinct held-out positives of one of our datasets that are searched."""


def _retrieval(spec: TaskSpec) -> Sequence[Task]:
    tasks = read_retrieval(spec.path, candidates=spec.candidates)
    if spec.name is None:
        return tasks
    if len(tasks) > 1:
        raise ValueError(f"{spec.path} holds {len(tasks)} datasets; expected one under the name {spec.name!r}")
    return [replace(tasks[0], collection=replace(tasks[0].collection, name=spec.name))]


READERS: Mapping[str, Callable[[TaskSpec], Sequence[Task]]] = {
    "sts": lambda spec: [read_sts(spec.path, name=spec.name, columns=spec.columns)],
    "duplicates": lambda spec: [read_duplicates(spec.path, name=spec.name, columns=spec.columns)],
    "retrieval": _retrieval,
    "reranking": lambda spec: [read_reranking(spec.path, name=spec.name)],
    "bitext": lambda spec: [read_bitext(spec.path, other=spec.other, name=spec.name, columns=spec.columns)],
    "classification": lambda spec: [read_classification(spec.path, name=spec.name, columns=spec.columns)],
    "clustering": lambda spec: [read_clustering(spec.path, name=spec.name, columns=spec.columns)],
    "gender-bias": lambda spec: [read_gender_bias(spec.path, spec.other, name=spec.name)],
    "responses": lambda spec: read_responses(spec.path, name=spec.name, columns=spec.columns),
}
"""How each kind of task is read; raises OSError or ValueError, in one line."""


@dataclass(frozen=True)
class Suite:
    """Tasks with distinct names."""

    name: str
    tasks: tuple[Task, ...]


def load_suite(name_or_path: str | Path) -> Suite:
    """A suite that comes with us, by name, or a TOML or JSON file.

    The file has a list `task` of tables with `kind`, `path` and, where wanted, `other`, `name`, `columns` and
    `candidates`; paths start at the file's folder. Raises OSError or ValueError, in one line.
    """
    path = SUITES / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SUITES.glob("*.toml")))
        raise FileNotFoundError(f"{name_or_path}: no such suite; expected a TOML or JSON file, or one of: {known}")
    return Suite(path.stem, open_tasks(_read_specs(path)))


def open_tasks(specs: Iterable[TaskSpec]) -> tuple[Task, ...]:
    """The tasks, in order. Raises ValueError when two have the same name."""
    tasks = tuple(task for spec in specs for task in READERS[spec.kind](spec))
    names = [task.name for task in tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two tasks are both called {twice[0]!r}; name them in a suite, or evaluate them apart")
    return tasks


def run_suite(suite: Suite, encode: Encode, *, similarity: Similarity = "cosine") -> dict[str, float]:
    """What an encoder scores on a suite, as `scores_of` says it, without prompts."""
    return scores_of(evaluate(suite.tasks, VectorContender("encoder", encode, similarity)))


def evaluate(tasks: Iterable[Task], contender: Contender) -> dict[str, Outcome]:
    """What a contender scores on each task that it can do."""
    return {task.name: task.evaluate(contender) for task in tasks if contender.has_vectors or not task.needs_vectors}


def scores_of(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """Every score as {"task/score": value}, and under "mean" the mean of main scores, of tasks where more is better."""
    scores = {f"{task}/{name}": value for task, outcome in outcomes.items() for name, value in outcome.scores.items()}
    return {**scores, MEAN: mean_of(outcomes.values())}


def picks_of(outcomes: Mapping[str, Outcome]) -> set[str]:
    """The names in `scores_of` by which the best of a run's checkpoints can be told: more of them is better."""
    picks = {f"{task}/{name}" for task, outcome in outcomes.items() for name in outcome.picks}
    return picks | ({MEAN} if any(outcome.higher_is_better for outcome in outcomes.values()) else set())


def mean_of(outcomes: Iterable[Outcome]) -> float:
    """The mean of main scores where more is better; NaN without any."""
    values = [outcome.scores[outcome.main] for outcome in outcomes if outcome.higher_is_better]
    return sum(values) / len(values) if values else float("nan")


def _read_specs(path: Path) -> list[TaskSpec]:
    try:
        if path.suffix == ".json":
            document: Any = orjson.loads(path.read_bytes())
        else:
            document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); expected a suite in TOML or JSON") from None
    entries = document.get("task") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: no tasks; expected a list `task` of tables with kind and path")
    return [_read_spec(path, number, entry) for number, entry in enumerate(entries, start=1)]


def _read_spec(path: Path, number: int, entry: Mapping[str, Any]) -> TaskSpec:
    where = f"{path}: task {number}"
    kinds: dict[str, Any] = {"kind": str, "path": str, "other": str, "name": str, "columns": list, "candidates": int}
    for key, value in entry.items():
        if key not in kinds:
            raise ValueError(f"{where} has {key!r}; expected {', '.join(kinds)}")
        if not isinstance(value, kinds[key]):
            raise ValueError(f"{where}: {key} is {value!r}; expected a {kinds[key].__name__}")
    if not {"kind", "path"} <= entry.keys():
        raise ValueError(f"{where} has {', '.join(entry) or 'nothing'}; expected at least kind and path")
    if entry["kind"] not in READERS:
        raise ValueError(f"{where} is of kind {entry['kind']!r}; expected one of {', '.join(READERS)}")
    places = {key: path.parent / entry[key] for key in ("path", "other") if key in entry}
    columns = tuple(str(name) for name in entry.get("columns", ()))
    return TaskSpec(**{**entry, **places, "columns": columns})
