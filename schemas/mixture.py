"""The mixture: which datasets, with what weights, batched how.

Two files are read. The original's `data_config.json` is a flat list of
`{"name": "….jsonl.gz", "lines": N, "weight": w}`. Ours is an object around the same list:

    {"seed": 0, "batch": {"size": 1024, "slots": 2, "policy": "homogeneous"}, "datasets": [{"name": …}]}

and may say more. `weights` replaces the weights of the list: a rule (`schemas/weights.py`), an object
of weights by name, in which a dataset that is not named has none, or a list of these by step:

    "weights": {"rule": "temperature", "temperature": 2, "cap": 1000000}
    "weights": [{"from_step": 0, "weights": {"rule": "equal"}}, {"from_step": 50000, "weights": {"a": 3, "b": 1}}]

Under a rule, an entry of weight 0 stays out. `max_epochs`, of an entry or of the whole mixture, is
how often a dataset is read before it leaves.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schemas.manifest import is_relative_name
from schemas.weights import WeightRule

EXAMPLE = '[{"name": "reddit", "weight": 1}]'
"""The least that a mixture can be, for what is said to the user."""
POLICIES = ("homogeneous", "v1-half", "v2-block", "flax-75-25")
"""Batch policies: `homogeneous` gives every batch `slots` runs of distinct datasets; the others are
published behaviours, and have no use for `slots` (`reader/policies.py`)."""


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
    max_epochs: float | None = None
    """How often the dataset is read before it leaves; None: as often as its weight says."""


@dataclass(frozen=True)
class WeightSegment:
    """The weights from a step on."""

    from_step: int
    weights: tuple[float, ...] | WeightRule
    """In the mixture's order, or the rule that gives them."""


@dataclass(frozen=True)
class Mixture:
    """Named datasets, weights, seed and batch policy."""

    datasets: tuple[MixtureEntry, ...]
    seed: int = 0
    batch: BatchPolicy = BatchPolicy()
    segments: tuple[WeightSegment, ...] = ()
    """The weights by step, the first from step 0; empty: the entries' own, at every step."""

    @property
    def total_weight(self) -> float:
        """Σ weight."""
        return math.fsum(entry.weight for entry in self.datasets)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the datasets that may be drawn at some step."""
        chances = [segment.weights for segment in self.segments if isinstance(segment.weights, tuple)]
        if not self.segments or len(chances) < len(self.segments):  # rules leave out what has no weight of its own
            chances.append(tuple(entry.weight for entry in self.datasets))
        return tuple(entry.name for n, entry in enumerate(self.datasets) if any(of_one[n] > 0 for of_one in chances))

    def weigh(self, lines: Mapping[str, int | None]) -> tuple[tuple[int, tuple[float, ...]], ...]:
        """(first step, weights in the mixture's order) of each segment, given the datasets' lines.

        Raises ValueError naming a dataset whose lines a rule needs and nobody knows.
        """
        if not self.segments:
            return ((0, tuple(entry.weight for entry in self.datasets)),)
        return tuple(
            (segment.from_step, self._by_rule(segment.weights, lines))
            if isinstance(segment.weights, WeightRule)
            else (segment.from_step, segment.weights)
            for segment in self.segments
        )

    def _by_rule(self, rule: WeightRule, lines: Mapping[str, int | None]) -> tuple[float, ...]:
        wanted = [entry.name for entry in self.datasets if entry.weight > 0]
        if rule.needs_lines and (unknown := [name for name in wanted if lines.get(name) is None]):
            raise ValueError(
                f"the rule {rule.rule} needs the lines of {unknown[0]!r}; give its 'lines' or its manifest's folder"
            )
        weights = tuple(rule.weight(lines.get(e.name) or 0) if e.weight > 0 else 0 for e in self.datasets)
        if not any(weights):
            raise ValueError(f"the rule {rule.rule} gives no dataset a weight above 0: all are empty")
        return weights

    @classmethod
    def load(cls, path: str | Path) -> Mixture:
        """Read a config, gzipped or plain. Raises ValueError naming the entry that is wrong."""
        path = Path(path)
        if not path.is_file():
            what = "a folder, and no such mixture" if path.is_dir() else "no such mixture"
            raise FileNotFoundError(f"{path}: {what}; expected a data_config.json, such as {EXAMPLE}")
        data = path.read_bytes()
        try:
            document = orjson.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        except (orjson.JSONDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path}: not JSON ({error}); expected a data_config.json, such as {EXAMPLE}") from None
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
            what = _recognised(document) if isinstance(document, dict) else ""
            raise ValueError(
                f"{what}expected a list of datasets, such as {EXAMPLE}, or an object with the key 'datasets'"
            )
        _refuse_unknown(document, {"datasets", "seed", "batch", "weights", "max_epochs"}, "the mixture")
        batch = document.get("batch", {})
        if not isinstance(batch, dict):
            raise ValueError(f"batch is {batch!r}; expected an object")
        _refuse_unknown(batch, {"size", "slots", "policy"}, "batch")
        seed = document.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 63:
            raise ValueError(f"seed is {seed!r}; expected a whole number from 0 to 2^63 - 1")
        limit = _max_epochs(document.get("max_epochs"), "the mixture")
        weighed = "weights" in document
        entries = tuple(_entry(n, entry, weighed, limit) for n, entry in enumerate(document["datasets"]))
        _refuse_clashes([entry.name for entry in entries])
        if not weighed and not any(entry.weight > 0 for entry in entries):
            raise ValueError("no dataset has a weight above 0")
        segments = _segments(document["weights"], [entry.name for entry in entries]) if weighed else ()
        return cls(entries, seed, BatchPolicy(**batch), segments)


def _recognised(document: dict[str, Any]) -> str:
    """What a file of ours is that is no mixture."""
    if isinstance(document.get("mixture"), str):
        return f"this is a run's config, whose mixture is {document['mixture']}; "
    return "this is a dataset's manifest; " if "parts" in document and "content_hash" in document else ""


def _entry(number: int, document: Any, weighed: bool, limit: float | None) -> MixtureEntry:
    """`weighed`: the mixture has weights beside the list, so that the entry may have none."""
    where = f"dataset {number}"
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise ValueError(f"{where}: expected an object with a 'name', found {document!r}"[:200])
    where = f"dataset {number} ({document['name']!r})"
    _refuse_unknown(document, {"name", "weight", "lines", "max_epochs"}, where)
    name = document["name"].removesuffix(".jsonl.gz")
    if not is_relative_name(name):
        raise ValueError(f"{where}: the name must stay below the data folder: relative, without '..' or empty parts")
    weight = _weight(document.get("weight", 1 if weighed else None), where)
    lines = document.get("lines")
    if lines is not None and (not isinstance(lines, int) or isinstance(lines, bool) or lines < 0):
        raise ValueError(f"{where}: lines is {lines!r}; expected a whole number of at least 0")
    own_limit = _max_epochs(document.get("max_epochs"), where)
    return MixtureEntry(name, weight, lines, limit if own_limit is None else own_limit)


def _weight(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{where}: weight is {value!r}; expected a number of at least 0")
    return value


def _max_epochs(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"{where}: max_epochs is {value!r}; expected a number above 0")
    return value


def _segments(document: Any, names: list[str]) -> tuple[WeightSegment, ...]:
    """The key `weights`: one for all steps, or a list by step."""
    if not isinstance(document, list):
        document = [{"from_step": 0, "weights": document}]
    segments: list[WeightSegment] = []
    for number, one in enumerate(document):
        where = f"weights, segment {number}"
        if not isinstance(one, dict) or not {"from_step", "weights"} <= set(one):
            raise ValueError(f"{where}: expected an object with 'from_step' and 'weights', found {one!r}"[:200])
        _refuse_unknown(one, {"from_step", "weights"}, where)
        step, least = one["from_step"], segments[-1].from_step + 1 if segments else 0
        if not isinstance(step, int) or isinstance(step, bool) or step < least or (not segments and step):
            expected = f"a whole number of at least {least}" if segments else "0, where the first begins"
            raise ValueError(f"{where}: from_step is {step!r}; expected {expected}")
        segments.append(WeightSegment(step, _weights(one["weights"], names, where)))
    if not segments:
        raise ValueError("weights is an empty list; expected a segment from step 0 on")
    return tuple(segments)


def _weights(document: Any, names: list[str], where: str) -> tuple[float, ...] | WeightRule:
    if not isinstance(document, dict):
        raise ValueError(f"{where}: weights is {document!r}; expected a rule or weights by name"[:200])
    if isinstance(document.get("rule"), str):
        try:
            return WeightRule.from_json(document)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    given = {name.removesuffix(".jsonl.gz"): _weight(weight, f"{where}: {name!r}") for name, weight in document.items()}
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"{where}: {unknown[0]!r} is none of the mixture's datasets")
    weights = tuple(given.get(name, 0) for name in names)
    if not any(weights):
        raise ValueError(f"{where}: no dataset has a weight above 0")
    return weights


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
