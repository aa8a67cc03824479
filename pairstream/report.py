"""`pairstream report`: one page that shows what is in a dataset and how it came about, or a run and its curves."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairstream.arguments import Folder, at_least, parse, print_json
from pairstream.cli import UsageError
from pairstream.tokenize import load_tokenizer_of


@dataclass(frozen=True)
class Arguments:
    """One HTML page of every dataset at or below a folder: funnel, lengths, duplicates, contamination, examples.

    Of the folder of a run that `pairstream train` made: how far it came and its curves, while it runs or afterwards.
    The page needs no network and no other file. For example: pairstream report data/reddit
    """

    folder: Folder
    """Folder with a manifest at or below it, or a run's."""
    output: Path | None = None
    """The page; by default report.html in the folder, of a run summary.html."""
    sample: int = 20_000
    """Pairs read of each dataset, evenly from its shards; memory grows with it."""
    tokenizer: str | None = None
    """A tokenizer.json, an encoder folder that holds one, or a base's name: counts tokens too."""
    rejects: Path | None = None
    """Folder that `preprocess --keep-rejects` wrote: shows examples of what was dropped."""
    json: bool = False
    """Print the figures as one JSON document instead of writing the page."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "report")
    at_least(arguments, sample=1)
    if arguments.json and arguments.output is not None:
        raise UsageError("--json prints the figures and writes no page; expected it without --output")
    from pairstream.run_facts import is_run

    if is_run(arguments.folder):
        _report_run(arguments)
    else:
        _report_datasets(arguments)


def _report_run(arguments: Arguments) -> None:
    from pairstream.run_page import SUMMARY, page_of_run

    ours = Arguments(arguments.folder, output=arguments.output)
    for name in ("sample", "tokenizer", "rejects", "json"):
        if getattr(arguments, name) != getattr(ours, name):
            raise UsageError(
                f"--{name} is for datasets; {arguments.folder} is a run's folder, of which there is one page"
            )
    if (page := page_of_run(arguments.folder)) is None:
        raise ValueError(f"{arguments.folder}: nothing logged yet; the run writes a line every log_every steps")
    output = arguments.output or arguments.folder / SUMMARY
    _write(output, page)
    print(f"{output}: the run's state and curves")
    print("next: open it in a browser; call again for what was logged since")


def _report_datasets(arguments: Arguments) -> None:
    from pairstream.report_figures import describe, printable
    from pairstream.report_page import page
    from pairstream.report_sample import read_rejects
    from schemas.manifest import Manifest, find_manifests

    try:
        folders = find_manifests(arguments.folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}, or the folder of a run") from None
    tokenizer = None if arguments.tokenizer is None else load_tokenizer_of(arguments.tokenizer)
    rejects: dict[str, Any] = {}
    if arguments.rejects is not None:
        rejects = read_rejects(arguments.rejects, arguments.sample)
        # Kept below the folder itself, they are not one more dataset.
        folders = [folder for folder in folders if not folder.resolve().is_relative_to(arguments.rejects.resolve())]
        if not folders:
            raise ValueError(f"{arguments.folder}: nothing but rejects; expected a folder with a dataset")
    datasets = []
    for folder in folders:
        manifest = Manifest.load(folder)
        dropped = rejects.get(manifest.dataset, {})
        datasets.append(describe(manifest, sample=arguments.sample, tokenizer=tokenizer, rejects=dropped))
    if arguments.json:
        print_json({"sample": arguments.sample, "datasets": datasets})
        return
    title = printable(arguments.folder.resolve().name)
    output = arguments.output or arguments.folder / "report.html"
    _write(output, page(title, datasets, has_tokenizer=tokenizer is not None))
    counted = "one dataset" if len(datasets) == 1 else f"{len(datasets):,} datasets"
    print(f"{printable(output)}: {counted}, {sum(found.written for found in datasets):,} pairs")
    print(f"next: open it in a browser, or pairstream verify {shlex.quote(printable(arguments.folder))}")


def _write(output: Path, content: bytes) -> None:
    """The page whole, or the file that was there before."""
    from schemas.shards import open_local

    try:
        with open_local(str(output)) as file:
            file.write(content)
    except OSError as error:
        raise OSError(f"{output}: cannot be written ({error.strerror}); name another with --output") from None
