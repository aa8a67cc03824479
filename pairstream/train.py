"""`pairstream train`: train an encoder."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pairstream.arguments import Run, parse
from pairstream.load_run import load_run, run_folder
from pairstream.quiet import quiet_libraries

if TYPE_CHECKING:
    from trainer.config import TrainConfig

Settings = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FIELD=VALUE")]


@dataclass(frozen=True)
class Arguments:
    """Train an encoder, going on from the run's latest checkpoint if there is one.

    Its curves are in summary.html of the run's folder when it ends; `pairstream report RUN_FOLDER` writes it any time.

    For example: pairstream train quickstart --set steps=200 --set optimizer.learning_rate=5e-5 --output runs/longer
    """

    run: Run
    """A preset's name, a Python file that defines `config`, or a config.json that a run saved."""
    set: Settings = ()
    """Change one field of the config, of those listed below; may be repeated."""
    output: Path | None = None
    """The run's folder; by default runs/NAME."""
    accept_other_batches: bool = False
    """Go on from a checkpoint that was trained on another mixture or other data."""
    accept_other_settings: bool = False
    """Go on from a checkpoint that was trained with another config or tokenizer."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "train")
    config = load_run(arguments.run, arguments.set)
    folder = run_folder(config, arguments.output)
    quiet_libraries()
    with _ended_by_ctrl_c():
        _train(arguments, config, folder)


def _train(arguments: Arguments, config: TrainConfig, folder: Path) -> None:
    from pairstream.run_page import write_run_page
    from trainer.compile_cache import keep_compiled
    from trainer.train import train

    keep_compiled()
    with _page_of_what_fails(folder):
        done = train(
            config,
            folder,
            accept_other_batches=arguments.accept_other_batches,
            accept_other_settings=arguments.accept_other_settings,
        )
    if not done.first_host:
        return  # of several hosts one speaks, and writes into the folder that they share
    page = write_run_page(folder)
    if done.interrupted:
        print(f"stopped after step {done.step:,} of {config.steps:,}; the same command goes on from there")
        raise KeyboardInterrupt
    whence = f", the first {done.resumed_from:,} of them earlier" if done.resumed_from else ""
    curves = f"; curves: {page}" if page else ""
    print(f"{done.step:,} steps done{whence}{curves}")
    exported = ["pairstream", "export", str(folder), str(folder / "encoder")]
    print(f"next: {shlex.join(exported + ['--best'] * bool(config.evaluation.every))}")


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Until the run watches for signals itself, since an exception may be lost in a callback of a library's."""

    def end(*_: object) -> None:
        os.write(2, b"pairstream train: interrupted; what was finished is kept, run the same command again\n")
        os._exit(130)

    earlier = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


@contextmanager
def _page_of_what_fails(folder: Path) -> Iterator[None]:
    """A training that raises leaves the page of what it logged; its own error is the one that is raised."""
    from pairstream.run_facts import LOG, changed
    from pairstream.run_page import write_run_page

    before = changed(folder / LOG)
    try:
        yield
    except BaseException:
        with suppress(Exception):
            # A call that was refused leaves the folder as it was.
            if changed(folder / LOG) != before and (page := write_run_page(folder)):
                print(f"curves so far: {page}", file=sys.stderr)
        raise
