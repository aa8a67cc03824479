"""`pairstream export`: checkpoint → encoder folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pairstream.arguments import Folder, parse
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries


@dataclass(frozen=True)
class Arguments:
    """Write an encoder folder that sentence-transformers, transformers and pairstream open.

    For example: pairstream export runs/quickstart runs/quickstart/encoder
    """

    checkpoint: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """Folder of a run, or of one of its checkpoints."""
    folder: Folder
    """Encoder folder to write; one that is there already is replaced."""
    best: bool = False
    """Of a run, the checkpoint with the highest score of its evaluations, instead of the latest."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights; bfloat16 is half the size."""
    onnx: bool = False
    """Write onnx/model.onnx too, checked by onnxruntime."""
    int8: bool = False
    """Write onnx/model.onnx and onnx/model_int8.onnx, a quarter of its size, too."""
    query_prompt: str | None = None
    """What stands before queries, white space included, such as 'query: '; by default the run's anchor_prefix."""
    document_prompt: str | None = None
    """What stands before documents; by default the run's positive_prefix."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "export")
    quiet_libraries()
    from trainer.checkpoint import CHECKPOINTS_FOLDER
    from trainer.export import ExportOptions, best_step, export
    from trainer.run_folder import load_config

    run, step = arguments.checkpoint, None
    if run.parent.name == CHECKPOINTS_FOLDER and run.name.isdecimal():
        run, step = run.parent.parent, int(run.name)
    if (run / "modules.json").is_file():
        raise UsageError(f"{run} is an encoder's folder; expected that of a run, which `pairstream train` made")
    if arguments.best:
        if step is not None:
            raise UsageError(f"{arguments.checkpoint} is one checkpoint; expected the folder of a run with --best")
        step = best_step(run)
    named = {"query": arguments.query_prompt, "document": arguments.document_prompt}
    options = ExportOptions(
        dtype=arguments.dtype,
        onnx=arguments.onnx,
        int8=arguments.int8,
        prompts={name: prompt for name, prompt in named.items() if prompt is not None},
    )
    done = export(load_config(run), run, arguments.folder, step=step, options=options)
    print(f"{arguments.folder}: the encoder after {done:,} steps")
    print(f'next: pairstream search {arguments.folder} --corpus DIR "query"')
