"""`pairstream tokenize`: datasets of texts → datasets of token ids."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pairstream.arguments import at_least
from pairstream.beam_options import parse_with_beam
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Arguments:
    """Tokenise every dataset at or below a folder, once, instead of in each run. Options that are Beam's go to Beam.

    For example: pairstream tokenize data --tokenizer all-MiniLM-L6-v2 --output data-minilm
    """

    path: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]]
    """A dataset's folder, or one that datasets lie below."""
    tokenizer: str
    """A tokenizer.json, an encoder folder that holds one, or a base's name."""
    output: str
    """Folder for the datasets of ids, in folders as below the path."""
    anchor_prefix: str = ""
    """Before each anchor, white space included: "query: "."""
    positive_prefix: str = ""
    """Before each positive and hard negative: "passage: "."""
    overwrite: bool = False
    """Replace complete outputs; without it the command refuses."""
    workers: int = 1
    """Processes of a local run."""


def main(argv: Sequence[str]) -> None:
    quiet_libraries()
    arguments, beam_options = parse_with_beam(Arguments, argv, "tokenize")
    at_least(arguments, workers=1)
    output = arguments.output.rstrip("/") or "/"
    folders = _folders(arguments.path, output)
    from rich.console import Console

    from pipelines.tokenize import TokenizeJob, run
    from schemas.tokens import Prefixes

    job = TokenizeJob(
        folders=tuple(folders),
        output=output,
        tokenizer=load_tokenizer_of(arguments.tokenizer).to_str(),
        prefixes=Prefixes(arguments.anchor_prefix, arguments.positive_prefix),
        overwrite=arguments.overwrite,
        command=("pairstream", "tokenize", *argv),
        beam_options=tuple(beam_options),
        workers=arguments.workers,
    )
    with Console(stderr=True).status(f"tokenising {len(job.folders)} datasets …"):
        manifests = run(job)
    for manifest in manifests:
        pairs = sum(manifest.records(split) for split in {name for part in manifest.parts for name in part.splits})
        print(f"{manifest.folder}: {pairs:,} pairs as token ids")
    print(f"next: pairstream verify {shlex.quote(output)}")


def _folders(path: str, output: str) -> list[tuple[str, str]]:
    """(dataset of texts, folder of its ids) of each dataset at or below the path."""
    from schemas.manifest import find_manifests

    if "://" in path:
        return [(path, output)]
    places = [(str(folder), os.path.relpath(folder, path)) for folder in find_manifests(path)]
    folders = [(folder, output if place == "." else f"{output}/{place}") for folder, place in places]
    texts = {os.path.realpath(folder) for folder, _ in folders}
    for _, folder in folders:
        if os.path.realpath(folder) in texts:
            raise UsageError(f"--output: {folder} is a dataset that would be tokenised; choose another")
    return folders


def load_tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json, of an encoder's folder, or of a base by name."""
    from schemas.tokens import load_tokenizer
    from trainer.encoders.fetch import resolve_encoder

    path = Path(name)
    if path.name == "tokenizer.json":
        return load_tokenizer(path.parent)
    if path.is_file():
        raise UsageError(f"--tokenizer is {name}; expected a tokenizer.json or a folder that holds one")
    return load_tokenizer(resolve_encoder(name))
