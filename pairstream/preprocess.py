"""`pairstream preprocess`: raw files → shards and a manifest."""

from __future__ import annotations

import runpy
import shlex
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pairstream.arguments import print_json
from pairstream.beam_options import parse_with_beam
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
    dedup: Literal["exact", "near", "none"] = "exact"
    """exact: equal pairs once; near: also without pairs that differ from an earlier one by little."""
    max_per_text: int | None = None
    """Pairs that this job writes of one text at most, so that "thanks" does not answer a million comments."""
    keep_rejects: str | None = None
    """Folder for dropped pairs and unreadable records, in the same format, each with its reason."""
    overwrite: bool = False
    """Replace a complete output; without it the command refuses."""
    append: bool = False
    """Add a part to a dataset that is there, without the pairs that it holds; its files stay as they are."""
    skip_bad_files: bool = False
    """Go on without files that cannot be read to their end; the manifest lists them."""
    workers: int = 1
    """Processes of a local run; the bytes are the same."""
    memory: str | None = None
    """What the processes of a local run may take together, such as 4G; by default they take about 0.5G each."""
    passes: int | None = None
    """Partitions of a local run, each finished on its own: a power of two; by default as many as memory asks for."""
    json: bool = False
    """Print the manifests as one JSON document instead of tables."""


@dataclass(frozen=True)
class FolderArguments(Arguments):
    """Convert a folder of published NAME.jsonl.gz files, as a mixture file names them, in one job.

    For example: pairstream preprocess --config data_config.json --input downloads --output data
    """

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
        arguments, source, beam_options, more = _parse(kind, source, argv, name)
        if len(arguments.input) != 1:
            raise UsageError("preprocess --config: expected one --input, the folder of the *.jsonl.gz files")
        source = replace(source, mixture=Mixture.load(arguments.config), folder=arguments.input[0])
    else:
        name, *rest = argv
        found = _find_source(name, SOURCES)
        arguments, source, beam_options, more = _parse(Arguments, found, rest, f"preprocess {name}")
    _run(name, arguments, source, argv, {"beam_options": tuple(beam_options), **more})


def _run(name: str, arguments: Arguments, source: Any, argv: Sequence[str], more: Mapping[str, Any]) -> None:
    import orjson

    from pipelines.preprocess import run

    if source.needs_input and not arguments.input:
        row = source.datasets[0]
        whence = f", from {row.url}" if row.url else ""
        raise UsageError(f"{name} needs --input: {row.raw}{whence}; for example: {example_of(name, source)}")
    given = {field.name: getattr(arguments, field.name) for field in fields(Arguments) if field.name != "json"}
    given["inputs"] = given.pop("input")
    job = _job(source=source, command=("pairstream", "preprocess", *argv), **given, **more)
    with show_progress(name) as tell:
        manifests = run(job, tell)
    if arguments.json:
        print_json([orjson.loads(manifest.to_bytes()) | {"folder": manifest.folder} for manifest in manifests])
        return
    for manifest in manifests:
        print_funnel(manifest)
    for bad in manifests[0].parts[-1].inputs["bad"]:
        print(f"skipped: {bad}")
    print(f"next: pairstream inspect {shlex.quote(arguments.output)}")
    print(f"      pairstream report {shlex.quote(arguments.output)}")


@contextmanager
def show_progress(name: str) -> Iterator[Callable[[Any], None]]:
    """A line on stderr that tells how far the job is; nothing where stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status(f"{name}: starting …") as status:

        def tell(state: Any) -> None:
            status.update(f"{name}: {state}")

        yield tell


def _find_source(name: str, known: Mapping[str, Any]) -> Any:
    """A source of the catalogue, or the one that a Python file defines."""
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UsageError(f"{name}: no such file; expected a Python file that defines `source`")
        found = runpy.run_path(name).get("source")  # the file is executed: trusted alone
        if not hasattr(found, "stages"):
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


def _parse(
    kind: type[Arguments], source: Any, argv: Sequence[str], command: str
) -> tuple[Any, Any, list[str], dict[str, Any]]:
    """The arguments, the source with its options, what neither knows, and the options of filters and evaluation."""
    import tyro

    from pipelines.decontaminate import EvalOptions
    from pipelines.filters.options import FilterOptions

    plain = tyro.conf.arg(name="")  # no `--options.` before the options
    groups = [
        ("arguments", Annotated[kind, plain]),
        ("options", Annotated[type(source.options), plain], field(default=source.options)),
        ("filters", Annotated[FilterOptions, plain], field(default=FilterOptions())),
        ("evaluation", Annotated[EvalOptions, plain], field(default=EvalOptions())),
    ]
    both = make_dataclass("Both", groups)
    if kind is FolderArguments:
        both.__doc__ = kind.__doc__
    else:
        row = next(iter(source.datasets), None)
        what = type(source).__doc__ if source.options is source or row is None else f"{row.raw}: {row.tuple}"
        both.__doc__ = f"{what}\n\nFor example: {example_of(command.split()[-1], source)}"
    parsed, unknown = parse_with_beam(both, argv, command)
    more = {"filters": parsed.filters, "evaluation": parsed.evaluation}
    return parsed.arguments, source.with_options(parsed.options), unknown, more


def example_of(name: str, source: Any) -> str:
    """A call that reads this source, with names that a user would replace by his own."""
    sides = getattr(source, "aligned", 1)
    one = "OWNER/NAME" if name == "hub" else "'downloads/*'"
    files = [f"downloads/{side}" for side in "abcde"[:sides]] if sides > 1 else [one]
    words = ["pairstream", "preprocess", name, *(["--input", *files] if source.needs_input else [])]
    if hasattr(source.options, "anchor"):
        words += ["--anchor", "question", "--positive", "answer"]
    return " ".join([*words, "--output", f"data/{Path(name).stem}"])


def print_funnel(manifest: Manifest) -> None:
    """A dataset's funnel: what came in, what each stage dropped and why, what was written."""
    from rich.console import Console
    from rich.table import Table

    for number, part in enumerate(manifest.parts):
        which = f", part {number + 1} of {len(manifest.parts)}" if len(manifest.parts) > 1 else ""
        print(f"\n{manifest.dataset}{which}: {manifest.tuple}")
        table = Table("stage", "reason", "records", box=None)
        table.columns[2].justify = "right"
        table.add_row("read", "", f"{part.read:,}")
        for stage in part.funnel:
            for reason, records in stage.drops.items():
                table.add_row(stage.name, reason, f"-{records:,}")
        for name, split in sorted(part.splits.items(), reverse=True):
            table.add_row("written", name, f"{split.records:,}", style="bold")
        Console().print(table)
