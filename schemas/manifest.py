"""The manifest: one dataset on disk, whole and immutable.

It is written last and renamed into place, so it exists only when every file it lists does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import orjson

from schemas.shards import Shard, checksum, fingerprints_name, index_name

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
HISTOGRAM_EDGES = (0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Lower edges of the length histograms' bins, in characters or in tokens; the last bin is open."""


class LocatedShard(NamedTuple):
    """A shard and where it lies."""

    path: str
    shard: Shard


@dataclass(frozen=True)
class Stage:
    """One line of the funnel: what came in is `kept` plus the drops."""

    name: str
    kept: int
    drops: dict[str, int] = field(default_factory=dict)
    """reason → records."""


@dataclass(frozen=True)
class Split:
    """The shards of one split of one part."""

    records: int
    bytes: int
    window: int
    """Records between two entries of the window indexes."""
    shards: tuple[Shard, ...]

    def __post_init__(self) -> None:
        # The content hash covers the shards' own counts, so the sums must be theirs.
        for name, found in (("records", self.records), ("bytes", self.bytes)):
            if found != (expected := sum(getattr(shard, name) for shard in self.shards)):
                raise ValueError(f"a split of {found} {name}, whose shards hold {expected}")


@dataclass(frozen=True)
class Part:
    """What one job wrote. A corpus grows by parts; older ones stay as they are."""

    path: str
    """Folder of the part's files below the manifest's; empty for the first part."""
    command: tuple[str, ...]
    options: dict[str, Any]
    """All that decides the bytes, seed included."""
    inputs: dict[str, Any]
    read: int
    """Raw records read."""
    funnel: tuple[Stage, ...]
    splits: dict[str, Split]
    statistics: dict[str, Any]

    def __post_init__(self) -> None:
        left = self.read
        for stage in self.funnel:
            if left != stage.kept + sum(stage.drops.values()):
                raise ValueError(
                    f"funnel stage {stage.name!r}: {left} came in, {stage.kept} kept and "
                    f"{sum(stage.drops.values())} dropped do not add up"
                )
            left = stage.kept
        written = sum(split.records for split in self.splits.values())
        if left != written:
            raise ValueError(f"the funnel ends with {left} pairs, the shards hold {written}")


@dataclass(frozen=True)
class Manifest:
    """One dataset. `load` reads it, `to_bytes` is what is written."""

    dataset: str
    tuple: str
    """What anchor and positive are: `comment → reply`."""
    licence: str
    citation: str
    url: str
    parts: tuple[Part, ...]
    kind: str = "text"
    """`text`, or `tokens`: ids that `pairstream tokenize` made of a dataset of texts."""
    parent: str = ""
    """Content hash of the dataset of texts that ids were made from."""
    folder: str = field(default="", compare=False)
    """Where the manifest was read from; not written."""

    @property
    def content_hash(self) -> str:
        """sha256 over format, tag, counts and checksums; never over paths, times or commands."""
        content = {
            "format": FORMAT_VERSION,
            "kind": self.kind,
            "dataset": self.dataset,
            "splits": [
                {
                    name: {"window": split.window, "shards": [dataclasses.asdict(s) for s in split.shards]}
                    for name, split in sorted(part.splits.items())
                }
                for part in self.parts
            ],
        }
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @property
    def pairs_hash(self) -> str:
        """The content hash of the texts: equal for a dataset and its token ids, which hold the same pairs."""
        return self.parent or self.content_hash

    def records(self, split: str) -> int:
        """Records of a split over all parts; 0 for one that is not there."""
        return sum(part.splits[split].records for part in self.parts if split in part.splits)

    def shards(self, split: str) -> Iterator[LocatedShard]:
        """The shards of a split, part after part."""
        for part in self.parts:
            if split in part.splits:
                for shard in part.splits[split].shards:
                    yield LocatedShard("/".join(filter(None, (self.folder, part.path, shard.file))), shard)

    def to_bytes(self) -> bytes:
        """The manifest's JSON, indented for people, with its content hash."""
        document = dataclasses.asdict(self)
        del document["folder"]
        document = {"format": FORMAT_VERSION, "content_hash": self.content_hash, **document}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, folder: str) -> Manifest:
        """Raises ValueError, naming the file, for anything that is not a whole manifest."""
        where = f"{folder}/{MANIFEST_NAME}"
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{where}: not JSON ({error}); make the dataset again") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT_VERSION:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"{where}: format {found!r}; expected {FORMAT_VERSION}; make the dataset again")
        try:
            manifest = cls(
                **{name: document[name] for name in ("dataset", "tuple", "licence", "citation", "url", "kind")},
                parent=document.get("parent", ""),
                parts=tuple(_part(part) for part in document["parts"]),
                folder=folder,
            )
            found_hash = document["content_hash"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{where}: damaged ({error}); make the dataset again") from None
        if manifest.content_hash != found_hash:
            raise ValueError(f"{where}: the content hash does not match what it lists; make the dataset again")
        return manifest

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """The manifest of a local dataset folder."""
        path = Path(folder) / MANIFEST_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such manifest; expected a dataset that `pairstream preprocess` finished"
            )
        return cls.from_bytes(path.read_bytes(), folder=str(folder))


def _part(document: dict[str, Any]) -> Part:
    splits = {
        name: Split(**{**split, "shards": tuple(Shard(**shard) for shard in split["shards"])})
        for name, split in document["splits"].items()
    }
    for name in [document["path"], *(shard.file for split in splits.values() for shard in split.shards)]:
        if name and not is_relative_name(name):
            raise ValueError(f"{name!r} leaves the dataset's folder")
    return Part(
        **{
            **document,
            "command": tuple(document["command"]),
            "funnel": tuple(Stage(**stage) for stage in document["funnel"]),
            "splits": splits,
        }
    )


def is_relative_name(name: str) -> bool:
    """Whether a name stays below the folder it is joined to: relative, plain, without `..`."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and "/".join(parts) == name
        and not name.startswith("/")
        and all(part not in (".", "..") and re.fullmatch(r"[^\x00-\x1f\\]+", part) for part in parts)
    )


def find_manifests(root: str | Path) -> list[Path]:
    """Folders with a manifest at or below `root`, sorted.

    Raises FileNotFoundError when there is none.
    """
    root = Path(root)
    found = [Path(folder) for folder, _, files in os.walk(root) if MANIFEST_NAME in files]
    if not found:
        why = "" if root.is_dir() else ", for it is a file" if root.exists() else ", for there is no such folder"
        raise FileNotFoundError(f"{root}: no manifest here or below{why}; expected what `pairstream preprocess` wrote")
    return sorted(found)


def verify(manifest: Manifest) -> Iterator[str]:
    """Read every file of a dataset; yield a line for each that is missing or damaged."""
    for split in sorted({name for part in manifest.parts for name in part.splits}):
        for path, shard in manifest.shards(split):
            yield from _verify_shard(Path(path), shard)


def _verify_shard(path: Path, shard: Shard) -> Iterator[str]:
    expected = {
        path: shard.sha256,
        path.with_name(index_name(path.name)): shard.index_sha256,
        path.with_name(fingerprints_name(path.name)): shard.fingerprints_sha256,
    }
    for file, digest in expected.items():
        if not file.is_file():
            yield f"{file}: missing; make the dataset again"
        elif (found := checksum(file)) != digest:
            yield f"{file}: damaged (sha256 {found[:12]}…, expected {digest[:12]}…); make the dataset again"
