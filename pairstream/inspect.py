"""`pairstream inspect`: look into a dataset or a shard."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pairstream.arguments import parse, print_json
from pairstream.cli import UsageError

if TYPE_CHECKING:
    from schemas.manifest import Manifest


@dataclass(frozen=True)
class Arguments:
    """A dataset's counts and its first pairs; of a shard its first pairs.

    For example: pairstream inspect data/reddit -n 2
    """

    path: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="PATH")]]
    """Folder with a manifest at or below it, or a .tfrecord file."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 5
    """Pairs shown of each dataset."""
    json: bool = False
    """Print one JSON document instead of tables: of each dataset its manifest and first pairs."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "inspect")
    if arguments.n < 0:
        raise UsageError(f"-n is {arguments.n}; expected at least 0")
    if arguments.path.is_file():
        if arguments.path.suffix != ".tfrecord":
            raise UsageError(f"{arguments.path}: expected a .tfrecord file or a folder with a manifest")
        _print([(None, _first([str(arguments.path)], arguments.n))], as_json=arguments.json)
        return
    from schemas.manifest import Manifest, find_manifests

    manifests = [Manifest.load(folder) for folder in find_manifests(arguments.path)]
    _print([(manifest, _first(_shards(manifest), arguments.n)) for manifest in manifests], as_json=arguments.json)
    if not arguments.json:
        print(f"next: pairstream verify {shlex.quote(str(arguments.path))}")


def _print(found: Sequence[tuple[Manifest | None, Iterator[bytes]]], *, as_json: bool) -> None:
    if as_json:
        import orjson

        heads = [
            {"folder": manifest.folder, **orjson.loads(manifest.to_bytes())} if manifest else {}
            for manifest, _ in found
        ]
        pairs = [[_as_json(record) for record in records] for _, records in found]
        print_json([head | {"pairs": shown} for head, shown in zip(heads, pairs, strict=True)])
        return
    for manifest, records in found:
        if manifest:
            _print_head(manifest)
        _show(records)


def _print_head(manifest: Manifest) -> None:
    from pairstream.preprocess import print_funnel

    print_funnel(manifest)
    shards, hash_ = len(_shards(manifest)), manifest.content_hash[:16]
    print(f"shards: {shards}   content hash: {hash_}…   licence: {manifest.licence}\n")


def _shards(manifest: Manifest) -> list[str]:
    return [path for split in ("train", "test", "rejects") for path, _ in manifest.shards(split)]


def _first(shards: Sequence[str], n: int) -> Iterator[bytes]:
    return islice(_records(shards), n)


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


def _as_json(record: bytes) -> dict[str, Any]:
    """A pair by the names of its fields, or its ids."""
    from schemas.example import decode_pair, reason_of
    from schemas.token_records import is_token_record

    if is_token_record(record):
        return dict(_ids(record))
    pair, _ = decode_pair(record)
    reason = reason_of(record)
    return asdict(pair) | ({"dropped": reason} if reason else {})


def _show_ids(console: Any, record: bytes) -> None:
    """Of anchor and positive how many ids they have, and the first."""
    for label, ids in _ids(record):
        shown = " ".join(map(str, ids[:24]))
        console.print(f"{label:>9}  {len(ids)} ids: {shown}{' …' if len(ids) > 24 else ''}", highlight=False)
    console.print()


def _ids(record: bytes) -> Iterator[tuple[str, list[int]]]:
    from schemas.token_records import decode_tokens, located

    table = decode_tokens(*located([record]), 2)
    begin = 0
    for label, length in zip(("anchor", "positive"), table.lengths[0].tolist(), strict=True):
        yield label, table.ids[begin : begin + length].tolist()
        begin += length
