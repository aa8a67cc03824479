"""The mixture: which datasets, with what weights, batched how.

Two files are read. The original's `data_config.json` is a flat list of
`{"name": "….jsonl.gz", "lines": N, "weight": w}`. Ours is an object around the same list:

    {"seed": 0, "batch": {"size": 1024, "slots": 2, "policy": "homogeneous"}, "datasets": [{"name": …}]}
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schemas.manifest import is_relative_name

POLICIES = ("homogeneous",)
"""Batch policies: `homogeneous` gives every batch `slots` runs of distinct datasets."""


@dataclass(frozen=True)
class BatchPolicy:
    """How a global batch is filled."""

    size: int = 1024
    """Pairs a batch, unless the run says otherwise."""
    slots: int = 2
    """Homogeneous runs of rows a batch is made of."""
    policy: str = "homogeneous"

    def __post_init__(self) -> None:
        for name, value, least in (("size", self.size, 2), ("slots", self.slots, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"batch: {name} is {value!r}; expected a whole number of at least {least}")
        if self.policy not in POLICIES:
            raise ValueError(f"batch: policy is {self.policy!r}; expected one of {', '.join(POLICIES)}")


@dataclass(frozen=True)
class MixtureEntry:
    """One dataset of a mixture."""

    name: str
    """Folder below the data folder: the config's name without `.jsonl.gz`."""
    weight: float
    """Chance to be drawn, relative to the other weights; 0 leaves the dataset out."""
    lines: int | None = None
    """Pairs of the dataset, where the config says."""


@dataclass(frozen=True)
class Mixture:
    """Named datasets, weights, seed and batch policy."""

    datasets: tuple[MixtureEntry, ...]
    seed: int = 0
    batch: BatchPolicy = BatchPolicy()

    @property
    def total_weight(self) -> float:
        """Σ weight."""
        return math.fsum(entry.weight for entry in self.datasets)

    @classmethod
    def load(cls, path: str | Path) -> Mixture:
        """Read a config, gzipped or plain. Raises ValueError naming the entry that is wrong."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such mixture; expected a data_config.json")
        data = path.read_bytes()
        try:
            document = orjson.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        except (orjson.JSONDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path}: not JSON ({error}); expected a data_config.json") from None
        try:
            return cls.from_json(document)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, document: Any) -> Mixture:
        """A mixture from a parsed config: a list, or an object with `datasets`."""
        if isinstance(document, list):
            document = {"datasets": document}
        if not isinstance(document, dict) or not isinstance(document.get("datasets"), list):
            raise ValueError("expected a list of datasets or an object with the key 'datasets'")
        _refuse_unknown(document, {"datasets", "seed", "batch"}, "the mixture")
        batch = document.get("batch", {})
        if not isinstance(batch, dict):
            raise ValueError(f"batch is {batch!r}; expected an object")
        _refuse_unknown(batch, {"size", "slots", "policy"}, "batch")
        seed = document.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 63:
            raise ValueError(f"seed is {seed!r}; expected a whole number from 0 to 2^63 - 1")
        entries = tuple(_entry(number, entry) for number, entry in enumerate(document["datasets"]))
        _refuse_clashes([entry.name for entry in entries])
        if not any(entry.weight > 0 for entry in entries):
            raise ValueError("no dataset has a weight above 0")
        return cls(entries, seed, BatchPolicy(**batch))


def _entry(number: int, document: Any) -> MixtureEntry:
    where = f"dataset {number}"
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise ValueError(f"{where}: expected an object with a 'name', found {document!r}"[:200])
    where = f"dataset {number} ({document['name']!r})"
    _refuse_unknown(document, {"name", "weight", "lines"}, where)
    name = document["name"].removesuffix(".jsonl.gz")
    if not is_relative_name(name):
        raise ValueError(f"{where}: the name must stay below the data folder: relative, without '..' or empty parts")
    weight = document.get("weight")
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < math.inf:
        raise ValueError(f"{where}: weight is {weight!r}; expected a number of at least 0")
    lines = document.get("lines")
    if lines is not None and (not isinstance(lines, int) or isinstance(lines, bool) or lines < 0):
        raise ValueError(f"{where}: lines is {lines!r}; expected a whole number of at least 0")
    return MixtureEntry(name, weight, lines)


def _refuse_unknown(document: dict[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(document) - known):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(sorted(known))}")


def _refuse_clashes(names: list[str]) -> None:
    """No name twice, and none the folder of another: their files would mix."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"dataset {name!r} is named twice")
        seen.add(name)
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if (folder := "/".join(parts[:depth])) in seen:
                raise ValueError(f"dataset {name!r} lies inside the folder of dataset {folder!r}; rename one")
