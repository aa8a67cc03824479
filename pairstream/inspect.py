"""`pairstream inspect`: look into a dataset or a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from pairstream.arguments import parse
from pairstream.cli import UsageError


@dataclass(frozen=True)
class Arguments:
    """A dataset's counts and its first pairs; of a shard its first pairs."""

    path: tyro.conf.Positional[Path]
    """Folder with a manifest at or below it, or a .tfrecord file."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 5
    """Pairs shown of each dataset."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "inspect")
    if arguments.n < 0:
        raise UsageError(f"-n is {arguments.n}; expected at least 0")
    if arguments.path.is_file():
        if arguments.path.suffix != ".tfrecord":
            raise UsageError(f"{arguments.path}: expected a .tfrecord file or a folder with a manifest")
        _show(islice(_records([str(arguments.path)]), arguments.n))
        return
    from pairstream.preprocess import print_funnel
    from schemas.manifest import Manifest, find_manifests

    for folder in find_manifests(arguments.path):
        manifest = Manifest.load(folder)
        print_funnel(manifest)
        shards = [path for split in ("train", "test", "rejects") for path, _ in manifest.shards(split)]
        print(f"shards: {len(shards)}   content hash: {manifest.content_hash[:16]}…   licence: {manifest.licence}\n")
        _show(islice(_records(shards), arguments.n))
    print(f"next: pairstream verify {arguments.path}")


def _records(shards: Sequence[str]) -> Iterator[bytes]:
    from schemas.shards import read_shard

    for shard in shards:
        yield from read_shard(shard)


def _show(records: Iterator[bytes]) -> None:
    from rich.console import Console
    from rich.text import Text

    from schemas.example import decode_pair, reason_of
    from schemas.token_records import is_token_record

    console = Console()
    for record in records:
        if is_token_record(record):
            _show_ids(console, record)
            continue
        pair, _ = decode_pair(record)
        rows = [("dropped", reason)] if (reason := reason_of(record)) else []
        rows += [("anchor", pair.anchor), ("positive", pair.positive)]
        rows += [("negative", text) for text in pair.negatives]
        rows += [("context", text) for text in pair.contexts]
        rows += [("group", pair.group)] if pair.group else []
        for label, text in rows:
            shown = text if len(text) <= 600 else f"{text[:600]} … ({len(text):,} characters)"
            console.print(
                Text(f"{label:>9}  ", style="bold").append(shown.replace("\n", "\n           "), style="none")
            )
        console.print()


def _show_ids(console: Any, record: bytes) -> None:
    """Of anchor and positive how many ids they have, and the first."""
    from schemas.token_records import decode_tokens, located

    table = decode_tokens(*located([record]), 2)
    begin = 0
    for label, length in zip(("anchor", "positive"), table.lengths[0].tolist(), strict=True):
        ids = " ".join(map(str, table.ids[begin : begin + min(length, 24)].tolist()))
        console.print(f"{label:>9}  {length} ids: {ids}{' …' if length > 24 else ''}", highlight=False)
        begin += length
    console.print()
