"""The shuffle between two stages: values gathered into blobs, blobs into partitions of a 64-bit hash.

A runner has a price for each element, so few cross it: a stage gathers what it yields by partition and
hands on blobs of many values. On a cluster a GroupByKey brings a partition's blobs together. On one
machine they are spilled to files, and the runner carries nothing but the files' names: its memory no
longer grows with the input, and what was spilled survives a kill.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import google_crc32c
import numpy as np
import orjson
from apache_beam.pvalue import AsIter
from numpy.typing import NDArray

from schemas.pair import text_hash

SPILLS = "spills"
OUTBOX_BYTES = 32 << 20
_LEAST_OUTBOX_BYTES, _BLOB_BYTES = 8 << 20, 128 << 10
"""Where partitions are few, an outbox is full while much of it is still in the CPU's cache; where they are many,
blobs should not become small."""
_VALUE_BYTES = 64
_SEGMENT = np.dtype([("offset", "<u8"), ("length", "<u8"), ("crc", "<u4")])
_TRAILER = struct.Struct("<QI8s")  # bytes of the index, its crc32c
_MAGIC = b"PSSPILL1"


class Blob(NamedTuple):
    """Values of one partition on their way to a stage."""

    stage: str
    partition: int
    data: bytes


class Outbox:
    """Keyed values on their way to later stages, gathered until there is enough for blobs."""

    def __init__(self, bits: int) -> None:
        self._shift = 64 - bits
        self._full_bytes = min(OUTBOX_BYTES, max(_LEAST_OUTBOX_BYTES, _BLOB_BYTES << bits))
        self._stages: defaultdict[str, defaultdict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        self._bytes = 0

    def put(self, stage: str, key: str, value: Any) -> None:
        self._stages[stage][key].append(value)
        texts = value if isinstance(value, (list, tuple)) else (value,)
        self._bytes += _VALUE_BYTES + len(key) + sum(len(text) for text in texts if isinstance(text, str))

    def put_block(self, stage: str, values: Iterable[tuple[str, Any]], size: int) -> None:
        groups = self._stages[stage]
        for key, value in values:
            groups[key].append(value)
        self._bytes += size

    @property
    def is_full(self) -> bool:
        return self._bytes >= self._full_bytes

    def flush(self) -> Iterator[Blob]:
        """All that was put in, a blob for each stage and partition."""
        for stage, groups in self._stages.items():
            partitions: defaultdict[int, dict[str, list[Any]]] = defaultdict(dict)
            for key, values in groups.items():
                partitions[partition_of(key, self._shift)][key] = values
            for partition, of_partition in partitions.items():
                yield Blob(stage, partition, _dump(of_partition))
        self._stages.clear()
        self._bytes = 0


def partition_of(key: str, shift: int) -> int:
    """The first 64 - `shift` bits of a hash of the key."""
    return text_hash(key) >> shift


def places_by_prefix(keys: NDArray[np.uint64], bits: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """(prefix of `bits` bits, places of the keys that have it), for each prefix there is."""
    prefixes = keys >> np.uint64(64 - bits)
    order = np.argsort(prefixes, kind="stable")
    found, first = np.unique(prefixes[order], return_index=True)
    for prefix, begin, end in zip(found.tolist(), first, [*first[1:], len(order)], strict=False):
        yield prefix, order[begin:end]


class Cap(NamedTuple):
    """How many values of one key a stage is given: those of the lowest ranks."""

    most: int
    rank: Callable[[Any], Any]
    outcome: Callable[[Any], Any]
    """What a value that is left out counts as: a Drop, or None."""

    def cut(self, values: list[Any]) -> list[Any]:
        """Keep the first in place; return the others."""
        values.sort(key=self.rank)
        beyond = values[self.most :]
        del values[self.most :]
        return beyond

    def outcomes(self, beyond: Iterable[Any]) -> Iterator[Any]:
        """What values beyond the cap count as."""
        return (outcome for outcome in map(self.outcome, beyond) if outcome is not None)


def gather(blobs: Iterable[bytes], groups: dict[str, list[Any]], cap: Cap | None = None) -> Iterator[Any]:
    """Fill `groups`, key → values of all blobs of a partition; yield what the values beyond the cap count as.

    Between two blobs no key has more than twice as many values as the cap.
    """
    for blob in blobs:
        for key, values in _load(blob).items():
            if (known := groups.get(key)) is None:
                groups[key] = known = values
            else:
                known += values
            if cap and len(known) > 2 * cap.most:
                yield from cap.outcomes(cap.cut(known))
    if cap:
        for values in groups.values():
            if len(values) > cap.most:
                yield from cap.outcomes(cap.cut(values))


def _dump(groups: dict[str, list[Any]]) -> bytes:
    try:
        return orjson.dumps(groups)
    except TypeError:  # half a surrogate pair, or an integer of over 64 bits
        return _PLAIN + json.dumps(groups).encode()


def _load(data: bytes) -> dict[str, list[Any]]:
    return json.loads(data[len(_PLAIN) :]) if data.startswith(_PLAIN) else orjson.loads(data)


_PLAIN = b"json\n"
"""Before a blob that Python's own JSON wrote."""


# Files of blobs


class Spill:
    """A file of blobs, written once. Leaving the context without an error gives it its name, whole."""

    def __init__(self, folder: str, bits: int) -> None:
        self.name = f"spill-{uuid.uuid4().hex}"
        self._path, self._partitions = f"{folder}/{self.name}", 1 << bits
        self._segments: defaultdict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
        self._offset = 0

    def __enter__(self) -> Spill:
        self._file = open(f"{self._path}.part", "wb")  # closed on leaving
        return self

    def write(self, blob: Blob) -> None:
        crc = google_crc32c.value(blob.data)
        self._segments[blob.stage].append((blob.partition, self._offset, len(blob.data), crc))
        self._file.write(blob.data)
        self._offset += len(blob.data)

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            with self._file:
                if kind is None:
                    self._write_index()
            if kind is None:
                os.rename(f"{self._path}.part", self._path)
        finally:
            Path(f"{self._path}.part").unlink(missing_ok=True)  # renamed by now, unless something failed

    def _write_index(self) -> None:
        """For each stage the number of segments before each partition, then the segments; then where these lie, and
        in how many bytes that is said."""
        places, index = {}, b""
        for stage, segments in self._segments.items():
            segments.sort()
            partitions = np.array([partition for partition, *_ in segments], np.uint64)
            before = np.searchsorted(partitions, np.arange(self._partitions + 1, dtype=np.uint64)).astype("<u4")
            places[stage] = [self._offset + len(index), self._offset + len(index) + before.nbytes]
            index += before.tobytes() + np.array([tuple(where) for _, *where in segments], _SEGMENT).tobytes()
        directory = orjson.dumps(places)
        index += directory + len(directory).to_bytes(8, "little")
        self._file.write(index)
        self._file.write(_TRAILER.pack(len(index), google_crc32c.value(index), _MAGIC))


@dataclass(frozen=True)
class SpilledBlobs:
    """The blobs of one partition in a job's spills; they can be walked again and again, one in memory at a time."""

    folder: str
    names: Sequence[str]
    stage: str
    partition: int

    def __iter__(self) -> Iterator[bytes]:
        for name in self.names:
            path = f"{self.folder}/{name}"
            if place := _directory(path).get(self.stage):
                with open(path, "rb") as file:
                    yield from self._read(file.fileno(), place, path)

    def _read(self, file: int, place: list[int], path: str) -> Iterator[bytes]:
        first, end = np.frombuffer(_pread(file, 8, place[0] + 4 * self.partition, path), "<u4").tolist()
        if first < end:
            table = _pread(file, _SEGMENT.itemsize * (end - first), place[1] + _SEGMENT.itemsize * first, path)
            for offset, length, crc in np.frombuffer(table, _SEGMENT).tolist():
                data = _pread(file, length, offset, path)
                if google_crc32c.value(data) != crc:
                    raise _damaged(path)
                yield data


@lru_cache(maxsize=4096)
def _directory(path: str) -> dict[str, list[int]]:
    with open(path, "rb") as file:
        end = os.path.getsize(path) - _TRAILER.size
        if end < 0:
            raise _damaged(path)
        size, crc, magic = _TRAILER.unpack(_pread(file.fileno(), _TRAILER.size, end, path))
        if magic != _MAGIC or size > end:
            raise _damaged(path)
        index = _pread(file.fileno(), size, end - size, path)
        if google_crc32c.value(index) != crc:
            raise _damaged(path)
        return orjson.loads(index[-8 - int.from_bytes(index[-8:], "little") : -8])


def _pread(file: int, size: int, offset: int, path: str) -> bytes:
    data = os.pread(file, size, offset)
    if len(data) != size:  # more than 2 GB come in pieces
        while len(data) < size and (more := os.pread(file, size - len(data), offset + len(data))):
            data += more
        if len(data) != size:
            raise _damaged(path)
    return data


def _damaged(path: str) -> OSError:
    return OSError(f"{path}: damaged or cut short; run the job again")


class Shuffle(beam.PTransform):
    """(partition, blob) of several stages → (partition, its blobs); where blobs are spilled, from names of spills."""

    def __init__(self, stage: str, bits: int, spills: str | None, *, spread: bool = True) -> None:
        super().__init__()
        self._stage, self._bits, self._spills, self._spread = stage, bits, spills, spread

    def chosen_from(self, outputs: Iterable[Any]) -> tuple[Any, ...]:
        """What the shuffle takes of the outputs of stages."""
        return tuple(output[self._stage if self._spills is None else SPILLS] for output in outputs)

    def expand(self, chosen: Sequence[Any]) -> Any:  # type: ignore[override]
        flat: Any = chosen | beam.Flatten()
        if self._spills is None:
            return flat | beam.GroupByKey()
        partitions = flat.pipeline | beam.Create([1 << self._bits]) | "Partitions" >> beam.FlatMap(_count_up)
        if self._spread:
            partitions |= beam.Reshuffle()
        return partitions | "Open" >> beam.Map(spilled_partition, self._spills, AsIter(flat), self._stage)


def _count_up(end: int) -> Iterator[int]:
    yield from range(end)


def spilled_partition(partition: int, folder: str, names: Iterable[str], stage: str) -> tuple[int, SpilledBlobs]:
    """(partition, its blobs in the spills)."""
    return partition, SpilledBlobs(folder, list(names), stage, partition)
