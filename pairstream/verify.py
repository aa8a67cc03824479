"""`pairstream verify`: check every checksum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pairstream.arguments import Folder, parse, print_json


@dataclass(frozen=True)
class Arguments:
    """Read every file of every dataset and compare it with its manifest; exit 1 names what is damaged.

    For example: pairstream verify data/reddit
    """

    folder: Folder
    """Folder with a manifest at or below it."""
    json: bool = False
    """Print one JSON document instead of text."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "verify")
    from schemas.manifest import Manifest, find_manifests, verify

    rows = []
    for folder in find_manifests(arguments.folder):
        manifest = Manifest.load(folder)
        pairs = {split: manifest.records(split) for split in ("train", "test")}
        rows.append({"folder": str(folder), **pairs, "damaged": list(verify(manifest))})
        if not arguments.json and not rows[-1]["damaged"]:
            print(f"{folder}: whole, {pairs['train']:,} train and {pairs['test']:,} test pairs")
    if arguments.json:
        print_json(rows)
    if damaged := [found for row in rows for found in row["damaged"]]:
        raise ValueError("\n".join(damaged))
