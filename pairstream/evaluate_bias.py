"""What `pairstream evaluate` does about gender bias: opens the tasks, prints occupations, writes the page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pairstream.cli import UsageError

if TYPE_CHECKING:
    from trainer.evaluate.gender_bias import BiasReport, GenderBias
    from trainer.evaluate.task import Outcome, Task

SHOWN = 5
"""Occupations printed at each end."""


def check_plot(plot: Path, tasks: Sequence[Task]) -> None:
    """Raises UsageError, before anything is encoded, where there will be nothing to plot or no place for it."""
    from trainer.evaluate.gender_bias import KIND

    if not any(task.kind == KIND for task in tasks):
        raise UsageError(f"--plot {plot} shows gender bias; expected --gender-bias with it")
    if plot.is_dir():
        raise UsageError(f"--plot {plot} is a folder; expected the name of a page, such as bias.html")


def open_tasks(sentences: Sequence[Path] | None, occupations: Path | None) -> list[GenderBias]:
    """No task for None, the one of our own sentences for no file, otherwise one a file."""
    if sentences is None:
        return []
    from trainer.evaluate.gender_bias import read_gender_bias

    return [read_gender_bias(path, occupations) for path in (sentences or [None])]


def reports_of(outcomes: Mapping[str, Mapping[str, Outcome]]) -> dict[str, dict[str, BiasReport]]:
    """{contender: {task: report}} of the tasks on bias."""
    from trainer.evaluate.gender_bias import BiasReport

    found = {
        contender: {task: one.details for task, one in of_one.items() if isinstance(one.details, BiasReport)}
        for contender, of_one in outcomes.items()
    }
    return {contender: of_one for contender, of_one in found.items() if of_one}


def print_reports(reports: Mapping[str, Mapping[str, BiasReport]]) -> None:
    """What a model card shows of each, with more occupations."""
    from trainer.evaluate.gender_bias import card_rows

    for contender, of_one in reports.items():
        for task, report in of_one.items():
            print(f"\n{contender}: gender bias")
            rows = card_rows(task, report, SHOWN)
            width = max(len(what) for what, _ in rows)
            for what, value in rows:
                print(f"  {what:<{width}}  {value}")


def card_tables(reports: Mapping[str, BiasReport]) -> dict[str, list[tuple[str, str]]]:
    """{how it was measured: rows} of each report, for a model card."""
    from trainer.evaluate.gender_bias import card_rows

    about = (
        "Of two gendered versions of a sentence, which is nearer to the one without gender? `pairstream evaluate "
        "--gender-bias` on {task}, with 95% intervals:"
    )
    return {about.format(task=task): card_rows(task, report) for task, report in reports.items()}


def write_page(reports: Mapping[str, Mapping[str, BiasReport]], path: Path) -> None:
    """The page appears whole."""
    from pairstream.bias_page import page

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(page(reports))
    os.replace(temporary, path)
