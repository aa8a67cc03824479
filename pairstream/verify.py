"""`pairstream verify`: check every checksum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from pairstream.arguments import parse


@dataclass(frozen=True)
class Arguments:
    """Read every file of every dataset and compare it with its manifest; exit 1 names what is damaged."""

    folder: tyro.conf.Positional[Path]
    """Folder with a manifest at or below it."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "verify")
    from schemas.manifest import Manifest, find_manifests, verify

    damaged: list[str] = []
    for folder in find_manifests(arguments.folder):
        manifest = Manifest.load(folder)
        found = list(verify(manifest))
        damaged += found
        if not found:
            print(f"{folder}: whole, {manifest.records('train'):,} train and {manifest.records('test'):,} test pairs")
    if damaged:
        raise ValueError("\n".join(damaged))
