"""`pairstream evaluate`: score encoders on files of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairstream import evaluate_bias
from pairstream.arguments import Encoders, at_least, parse, print_json
from pairstream.cli import UsageError
from pairstream.quiet import progress_bar, quiet_libraries
from pairstream.wrong_call import example_of

if TYPE_CHECKING:
    from trainer.evaluate.gender_bias import BiasReport
    from trainer.evaluate.suite import TaskSpec
    from trainer.evaluate.task import Outcome, Task

KINDS = ("sts", "duplicates", "retrieval", "reranking", "bitext", "classification", "clustering", "responses")
SIGNIFICANCE = "significance"
GENDER_BIAS = "gender_bias"
OF_TABLES = ("sts", "duplicates", "bitext", "classification", "clustering", "responses")
"""Kinds that `--columns` is for."""

Scores = dict[str, dict[str, dict[str, Any]]]
"""Contender → task → score or size → value: sizes are whole numbers."""


@dataclass(frozen=True)
class Arguments:
    """Score encoders and baselines on files; where there are several, say how sure their differences are.

    For example: pairstream evaluate all-MiniLM-L6-v2 bm25 --sts sts-dev.csv --retrieval data/docstrings cranfield
    """

    encoders: Encoders
    """Encoder folders, Hub ids, or the baselines `bm25` and `tfidf`."""
    sts: tuple[Path, ...] = ()
    """Pairs with scores: STS-B's csv, SICK, SemEval's folders, or a table with names."""
    retrieval: tuple[Path, ...] = ()
    """Folders: preprocessed datasets with a test split, BEIR's, MS MARCO's, TREC's, Cranfield or CISI."""
    duplicates: tuple[Path, ...] = ()
    """Tables of pairs with labels 0 and 1, such as Quora's."""
    reranking: tuple[Path, ...] = ()
    """JSON lines of {"query", "positive", "negative"}, or SemEval's related questions in XML."""
    bitext: tuple[Path, ...] = ()
    """Tables of two columns, or plain text files in twos whose lines belong together."""
    classification: tuple[Path, ...] = ()
    """Tables of texts and labels, or folders with train and test tables."""
    clustering: tuple[Path, ...] = ()
    """Tables of texts and labels."""
    responses: tuple[Path, ...] = ()
    """Contexts and responses (1-of-100): preprocessed datasets, or tables."""
    gender_bias: tuple[Path, ...] | None = None
    """WinoGender's folder, or tables of occupation, anchor, female and male; without a file our own sentences."""
    occupations: Path | None = None
    """The share of women in occupations, for --gender-bias: a table of occupation and women, in per cent."""
    plot: Path | None = None
    """Write the gender bias of each occupation as one HTML page."""
    suite: tuple[str, ...] = ()
    """Suites by name (`small`), or TOML or JSON files."""
    columns: tuple[str, ...] = ()
    """Columns of the tables where they have unusual names; places from 1 where there is no header.
    Suites name their own."""
    candidates: int = 1000
    """Distinct held-out positives of each preprocessed dataset among which each anchor has to find its own."""
    card: bool = False
    """Put all scores, gender bias too, into the model card of the first encoder, a folder; in place of those there."""
    json: bool = False
    """Print one JSON document instead of tables."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "evaluate")
    asked = arguments.suite or arguments.gender_bias is not None or any(getattr(arguments, kind) for kind in KINDS)
    if not arguments.encoders:
        raise UsageError(f"no encoder; those stand before the options: {example_of(Arguments)}")
    if not asked:
        kinds = ", ".join(f"--{kind}" for kind in KINDS)
        raise UsageError(f"nothing to evaluate on; expected {kinds} with files, --suite small or --gender-bias")
    if twice := [name for n, name in enumerate(arguments.encoders) if name in arguments.encoders[:n]]:
        raise UsageError(f"{twice[0]} is there twice; expected different encoders")
    at_least(arguments, candidates=2)
    if arguments.columns and not any(getattr(arguments, kind) for kind in OF_TABLES):
        kinds = ", ".join(f"--{kind}" for kind in OF_TABLES)
        raise UsageError(f"--columns {' '.join(arguments.columns)} names columns of tables; expected it with {kinds}")
    if arguments.occupations is not None and arguments.gender_bias is None:
        raise UsageError(f"--occupations {arguments.occupations} belongs to --gender-bias; expected both")
    quiet_libraries()
    from trainer.card_scores import check_card
    from trainer.evaluate.contenders import open_contender
    from trainer.evaluate.suite import evaluate

    tasks = _open_tasks(arguments)
    if set(arguments.encoders) == {"bm25"} and all(task.needs_vectors for task in tasks):
        raise ValueError("bm25 has no vectors, which all of these tasks need; expected an encoder or tfidf")
    if arguments.card:
        check_card(arguments.encoders[0])
    if arguments.plot is not None:
        evaluate_bias.check_plot(arguments.plot, tasks)
    outcomes: dict[str, dict[str, Outcome]] = {}
    for name in arguments.encoders:
        outcomes[name] = evaluate(tasks, open_contender(name, progress_bar))
    sizes = {task.name: task.size for task in tasks}
    scores: Scores = {
        contender: {task: {**outcome.scores, **sizes[task]} for task, outcome in of_one.items()}
        for contender, of_one in outcomes.items()
    }
    differences = _differences(outcomes)
    reports = evaluate_bias.reports_of(outcomes)
    if arguments.card:
        _put_into_card(arguments.encoders[0], scores, {task.name: task.kind for task in tasks}, reports)
    if arguments.plot is not None:
        evaluate_bias.write_page(reports, arguments.plot)
    if arguments.json:
        more = {SIGNIFICANCE: differences, GENDER_BIAS: reports}
        print_json({**scores, **{name: value for name, value in more.items() if value}})
        return
    print_scores(scores, differences)
    evaluate_bias.print_reports(reports)
    if len(tasks) > 1:
        _print_means(tasks, outcomes)


def _open_tasks(arguments: Arguments) -> list[Task]:
    from trainer.evaluate.suite import TaskSpec, load_suite, open_tasks

    specs: list[TaskSpec] = []
    for kind in KINDS:
        if kind == "bitext":
            specs += _bitext_specs(arguments)
        else:
            specs += [
                TaskSpec(kind, path, columns=arguments.columns, candidates=arguments.candidates)
                for path in getattr(arguments, kind)
            ]
    bias = evaluate_bias.open_tasks(arguments.gender_bias, arguments.occupations)
    tasks = [*open_tasks(specs), *bias, *(task for name in arguments.suite for task in load_suite(name).tasks)]
    names = [task.name for task in tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two tasks are both called {twice[0]!r}; evaluate them apart, or name them in a suite")
    return tasks


def _bitext_specs(arguments: Arguments) -> list[TaskSpec]:
    """A table is a task; a plain text file is one with the file that follows."""
    from trainer.evaluate.files import is_table
    from trainer.evaluate.suite import TaskSpec

    waiting = list(arguments.bitext)
    specs = []
    while waiting:
        path = waiting.pop(0)
        if is_table(path):
            specs.append(TaskSpec("bitext", path, columns=arguments.columns))
        elif waiting:
            specs.append(TaskSpec("bitext", path, other=waiting.pop(0)))
        else:
            raise UsageError(f"--bitext {path} holds one text a line; expected the file of the other language after it")
    return specs


def _put_into_card(
    folder: str, scores: Scores, kinds: Mapping[str, str], reports: Mapping[str, Mapping[str, BiasReport]]
) -> None:
    """What was not evaluated in this call stays in the card as it is: all scores, or all of bias."""
    from trainer.card_scores import put_bias, put_scores

    titled = {("this encoder" if name == folder else name): of_one for name, of_one in scores.items()}
    on_tasks = {
        name: {task: values for task, values in of_one.items() if task not in reports.get(folder, {})}
        for name, of_one in titled.items()
    }
    if any(on_tasks.values()):
        put_scores(folder, on_tasks, kinds)
    if folder in reports:
        put_bias(folder, evaluate_bias.card_tables(reports[folder]))


def _differences(outcomes: Mapping[str, Mapping[str, Outcome]]) -> dict[str, list[dict[str, Any]]]:
    """For each task the main score of the first contender minus that of each other, by the paired bootstrap."""
    from trainer.evaluate.statistics import compare

    names = list(outcomes)
    found: dict[str, list[dict[str, Any]]] = {}
    for task, first in outcomes[names[0]].items():
        for name in names[1:]:
            second = outcomes[name].get(task)
            if second is None or first.resample is None or second.resample is None:
                continue
            comparison = compare(first.resample, second.resample, first.items)
            row = {"first": names[0], "second": name, "score": first.main, **asdict(comparison)}
            found.setdefault(task, []).append(row)
    return found


def print_scores(scores: Scores, differences: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> None:
    """A table a task, a row a contender, and below it how sure the differences are."""
    from rich.console import Console
    from rich.table import Table

    for task in dict.fromkeys(task for of_one in scores.values() for task in of_one):
        rows = {name: of_one[task] for name, of_one in scores.items() if task in of_one}
        some = next(iter(rows.values()))
        sizes = ", ".join(f"{value:,} {key}" for key, value in some.items() if isinstance(value, int))
        measures = [key for key, value in some.items() if isinstance(value, float)]
        print(f"\n{task}: {sizes}")
        table = Table("", *measures, box=None)
        for column in table.columns[1:]:
            column.justify = "right"
        for name, row in rows.items():
            table.add_row(name, *(f"{row[measure]:.4f}" for measure in measures))
        Console().print(table)
        for row in (differences or {}).get(task, ()):
            print(
                f"  {row['first']} − {row['second']}: {row['score']} {row['difference']:+.4f} "
                f"[{row['low']:+.4f}, {row['high']:+.4f}], p = {row['p']:.3f}"
            )


def _print_means(tasks: Sequence[Task], outcomes: Mapping[str, Mapping[str, Outcome]]) -> None:
    """The mean of main scores over the tasks that every contender did and in which more is better."""
    from trainer.evaluate.suite import mean_of

    shared = [
        task.name
        for task in tasks
        if all(task.name in of_one and of_one[task.name].higher_is_better for of_one in outcomes.values())
    ]
    if len(shared) < 2:
        return
    print(f"\nmean of the main scores of {len(shared)} tasks")
    width = max(map(len, outcomes))
    for name, of_one in outcomes.items():
        print(f"  {name:<{width}}  {mean_of(of_one[task] for task in shared):.4f}")
