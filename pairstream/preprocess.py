"""`pairstream preprocess`: raw files → shards and a manifest."""

from __future__ import annotations

import runpy
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pairstream.arguments import parse_known
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries
from pairstream.sources import known_source
from schemas.mixture import Mixture

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
    skip_bad_files: bool = False
    """Go on without files that cannot be read to their end; the manifest lists them."""


@dataclass(frozen=True)
class FolderArguments(Arguments):
    """Convert a folder of published NAME.jsonl.gz files, as a mixture file names them, in one job."""

    config: Path = Path()
    """The mixture: a data_config.json, gzipped or plain."""


def main(argv: Sequence[str]) -> None:
    quiet_libraries()
    from pipelines.catalog import CATALOGUE, SOURCES

    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP.format(names=textwrap.fill(", ".join(SOURCES), 110, break_on_hyphens=False)))
        if not argv:
            raise UsageError("no source was named; see pairstream sources")
        return
    if any(argument.split("=")[0] == "--config" for argument in argv):
        from pipelines.sources.pair_lines import MixtureFolder

        name, kind = "preprocess --config", FolderArguments
        source: Any = MixtureFolder(Mixture(()), CATALOGUE)
        arguments, source, beam_options = _parse(kind, source, argv, name)
        if len(arguments.input) != 1:
            raise UsageError("preprocess --config: expected one --input, the folder of the *.jsonl.gz files")
        source = replace(source, mixture=Mixture.load(arguments.config), folder=arguments.input[0])
    else:
        name, *rest = argv
        arguments, source, beam_options = _parse(Arguments, _find_source(name, SOURCES), rest, f"preprocess {name}")
    _refuse_unknown(beam_options)
    _run(name, arguments, source, argv, beam_options)


def _run(name: str, arguments: Arguments, source: Any, argv: Sequence[str], beam_options: list[str]) -> None:
    from rich.console import Console

    from pipelines.preprocess import run

    if source.needs_input and not arguments.input:
        raise UsageError(f"{name} needs --input: {source.datasets[0].raw}, from {source.datasets[0].url}")
    job = _job(
        source=source,
        inputs=arguments.input,
        output=arguments.output,
        dataset=arguments.dataset,
        seed=arguments.seed,
        shard_size=arguments.shard_size,
        overwrite=arguments.overwrite,
        skip_bad_files=arguments.skip_bad_files,
        command=("pairstream", "preprocess", *argv),
        beam_options=tuple(beam_options),
    )
    with Console(stderr=True).status(f"{name}: reading, shuffling, writing …"):
        manifests = run(job)
    for manifest in manifests:
        print_funnel(manifest)
    for bad in manifests[0].parts[0].inputs["bad"]:
        print(f"skipped: {bad}")
    print(f"next: pairstream inspect {shlex.quote(arguments.output)}")


def _find_source(name: str, known: Mapping[str, Any]) -> Any:
    """A source of the catalogue, or the one that a Python file defines."""
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UsageError(f"{name}: no such file; expected a Python file that defines `source`")
        found = runpy.run_path(name).get("source")  # the file is executed: trusted alone
        if not hasattr(found, "read_pairs"):
            raise UsageError(f"{name}: defines no `source`; see docs/sources.md")
        return found
    return known_source(name, known)


def _job(**fields: Any) -> Any:
    from pipelines.preprocess import Job

    try:
        return Job(**fields)
    except ValueError as error:
        raise UsageError(str(error)) from None


_HELP = """usage: pairstream preprocess SOURCE --input GLOB… --output DIR [options]
       pairstream preprocess --config MIXTURE --input DIR --output DIR [options]

SOURCE is a Python file that defines one (docs/sources.md), or one of:
{names}

pairstream preprocess SOURCE --help lists a source's options. For example:
  pairstream preprocess reddit --input 'RC_2019-*.zst' --output data/reddit
  pairstream preprocess docstrings --output data/docstrings
  pairstream preprocess csv --input faq.csv --anchor question --positive answer --dataset faq --output data/faq"""


def _parse(kind: type[Arguments], source: Any, argv: Sequence[str], command: str) -> tuple[Any, Any, list[str]]:
    """The arguments, the source with its options, and what neither knows."""
    import tyro

    plain = tyro.conf.arg(name="")  # no `--options.` before the options
    fields = [("arguments", Annotated[kind, plain]), ("options", Annotated[type(source.options), plain])]
    both = make_dataclass("Both", [fields[0], (*fields[1], field(default=source.options))])
    rows = source.datasets
    both.__doc__ = type(source).__doc__ if source.options is source or not rows else f"{rows[0].raw}: {rows[0].tuple}"
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
        print(f"\n{manifest.dataset}: {manifest.tuple}")
        table = Table("stage", "reason", "records", box=None)
        table.columns[2].justify = "right"
        table.add_row("read", "", f"{part.read:,}")
        for stage in part.funnel:
            for reason, records in stage.drops.items():
                table.add_row(stage.name, reason, f"-{records:,}")
        for name, split in sorted(part.splits.items(), reverse=True):
            table.add_row("written", name, f"{split.records:,}", style="bold")
        Console().print(table)
