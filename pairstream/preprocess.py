"""`pairstream preprocess`: raw files → shards and a manifest."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pairstream.arguments import parse_known
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries

if TYPE_CHECKING:
    from schemas.manifest import Manifest


@dataclass(frozen=True)
class Arguments:
    """What every source takes. Options that are Beam's (`--runner`, …) are passed on to it."""

    output: str
    """Folder for the shards and the manifest; one folder below it for each of several datasets."""
    input: tuple[str, ...] = ()
    """Raw files, as paths or globs."""
    dataset: str | None = None
    """Name of the dataset, for sources that write one; by default the source's own."""
    seed: int = 0
    """Seeds the global order of the pairs."""
    shard_size: int = 128_000_000
    """A shard closes when it holds this many bytes."""
    overwrite: bool = False
    """Replace a complete output; without it the command refuses."""


def main(argv: Sequence[str]) -> None:
    quiet_libraries()
    from pipelines.catalog import SOURCES

    names = ", ".join(SOURCES)
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: pairstream preprocess SOURCE --input GLOB… --output DIR [options]\n\nSOURCE: {names}\n")
        print("pairstream preprocess SOURCE --help lists a source's options. For example:")
        print("  pairstream preprocess reddit --input 'RC_2019-*.zst' --output data/reddit")
        print("  pairstream preprocess docstrings --output data/docstrings")
        if not argv:
            raise UsageError(f"no source was named; expected one of: {names}")
        return
    source_name, *rest = argv
    if source_name not in SOURCES:
        raise UsageError(f"unknown source {source_name!r}; expected one of: {names}")
    arguments, source, beam_options = _parse(SOURCES[source_name], rest, f"preprocess {source_name}")
    _refuse_unknown(beam_options)

    from rich.console import Console

    from pipelines.preprocess import Job, run

    job = Job(
        source=source,
        inputs=arguments.input,
        output=arguments.output,
        dataset=arguments.dataset,
        seed=arguments.seed,
        shard_size=arguments.shard_size,
        overwrite=arguments.overwrite,
        command=("pairstream", "preprocess", *argv),
        beam_options=tuple(beam_options),
    )
    console = Console(stderr=True)
    with console.status(f"{source_name}: reading, shuffling, writing …"):
        manifests = run(job)
    for manifest in manifests:
        print_funnel(manifest)
    print(f"next: pairstream inspect {shlex.quote(arguments.output)}")


def _parse(source: Any, argv: Sequence[str], command: str) -> tuple[Arguments, Any, list[str]]:
    """The arguments, the source with its options, and what neither knows."""
    import tyro

    plain = tyro.conf.arg(name="")  # no `--options.` before the options
    fields = [("arguments", Annotated[Arguments, plain]), ("options", Annotated[type(source.options), plain])]
    both = make_dataclass("Both", [fields[0], (*fields[1], field(default=source.options))])
    both.__doc__ = type(source).__doc__ if source.options is source else f"{source.datasets[0].tuple}."
    parsed, unknown = parse_known(both, argv, command)
    return parsed.arguments, source.with_options(parsed.options), unknown


def _refuse_unknown(options: list[str]) -> None:
    """An option that neither we nor Beam know is an error: Beam itself would drop it in silence."""
    from argparse import ArgumentParser

    from apache_beam.options.pipeline_options import PipelineOptions

    parser: Any = ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve", exit_on_error=False)
    kinds = [PipelineOptions]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "_add_argparse_args" in kind.__dict__:
            kind._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(options)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]}; neither the source nor Beam has it, see --help")


def print_funnel(manifest: Manifest) -> None:
    """A dataset's funnel: what came in, what each stage dropped and why, what was written."""
    from rich.console import Console
    from rich.table import Table

    for part in manifest.parts:
        table = Table("stage", "reason", "records", title=f"{manifest.dataset}: {manifest.tuple}", box=None)
        table.columns[2].justify = "right"
        table.add_row("read", "", f"{part.read:,}")
        for stage in part.funnel:
            for reason, records in stage.drops.items():
                table.add_row(stage.name, reason, f"-{records:,}")
        for name, split in sorted(part.splits.items(), reverse=True):
            table.add_row("written", name, f"{split.records:,}", style="bold")
        Console().print(table)
