"""`pairstream export`: checkpoint → encoder folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from pairstream.arguments import parse
from pairstream.quiet import quiet_libraries


@dataclass(frozen=True)
class Arguments:
    """Write an encoder folder that sentence-transformers, transformers and pairstream open.

    For example: pairstream export runs/quickstart runs/quickstart/encoder
    """

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a run, or of one of its checkpoints."""
    folder: tyro.conf.Positional[Path]
    """Encoder folder to write; one that is there already is replaced."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "export")
    quiet_libraries()
    from trainer.export import export
    from trainer.train import CHECKPOINTS_FOLDER, load_config

    run, step = arguments.checkpoint, None
    if run.parent.name == CHECKPOINTS_FOLDER and run.name.isdecimal():
        run, step = run.parent.parent, int(run.name)
    done = export(load_config(run), run, arguments.folder, step=step)
    print(f"{arguments.folder}: the encoder after {done:,} steps")
    print(f'next: pairstream search {arguments.folder} --corpus DIR "query"')
