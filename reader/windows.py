"""Records of a run, read as whole windows and checked; damage is named, or passed over and counted."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from reader.files import FilePool
from reader.plan import Run
from schemas.shards import INDEX_HEADER, INDEX_MAGIC, INDEX_VERSION, RECORD_HEADER, RECORD_OVERHEAD, index_name, unframe
from schemas.token_records import located

TRIED = 16
"""Windows after a damaged one among which a whole one is looked for."""
COMPRESSED = {
    ".gz": (b"\x1f\x8b", "gzip"),
    ".zst": (b"\x28\xb5\x2f\xfd", "zstd"),
    ".bz2": (b"BZh", "bzip2"),
    ".xz": (b"\xfd7zXZ", "xz"),
    ".zz": (b"\x78", "zlib"),
}
REWRITE = "make the dataset again with `pairstream preprocess`, which writes plain TFRecords"


_crc = google_crc32c.value
_LENGTH = struct.Struct("<Q").unpack_from


class DamageError(ValueError):
    """A window that cannot be read, named by shard and record."""


class Damage(NamedTuple):
    """A damaged window in whose stead another was read."""

    error: str
    """Shard, record, and what is wrong."""
    records: int
    """Records of the batch that were replaced."""


class _Layout(NamedTuple):
    """What a shard's index says."""

    window: int
    records: int
    bytes: int


class Records(NamedTuple):
    """n records where they lie in one buffer."""

    data: bytes
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def to_list(self) -> list[bytes]:
        """Each record by itself."""
        return [self.data[begin:end] for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True)]


class _Windows(NamedTuple):
    """Windows `first` … `last - 1` of a shard."""

    path: str
    layout: _Layout
    first: int
    last: int

    @property
    def first_record(self) -> int:
        return self.first * self.layout.window

    @property
    def records(self) -> int:
        return min(self.last * self.layout.window, self.layout.records) - self.first_record


class Fetched(NamedTuple):
    """What `fetch` read."""

    windows: list[_Windows]
    """Of each run."""
    chunks: dict[_Windows, bytes]


def fetch(files: FilePool, runs: Sequence[Run]) -> Fetched:
    """The bytes of the windows that hold the runs, each read once.

    Raises ValueError for a damaged index or a compressed shard, FileNotFoundError for a missing file.
    """
    windows = [_windows_of(files, run) for run in runs]
    return Fetched(windows, {each: _read_bytes(files, each) for each in dict.fromkeys(windows)})


def read_runs(files: FilePool, runs: Sequence[Run], fetched: Fetched, damages: list[Damage] | None = None) -> Records:
    """The records of all runs, in order, from what `fetch` read.

    Raises DamageError naming shard and record when the bytes are damaged. With a list `damages`, a
    damaged window's records are replaced instead by those at the same places of the next whole
    window of its shard, and the list is added to. Which these are depends on the shard alone, so
    every host replaces a record by the same one.
    """
    windows, chunks = fetched
    bounds = {each: _frame_bounds(chunk) for each, chunk in chunks.items()}
    if all(len(found) == each.records + 1 for each, found in bounds.items()):
        data, before = b"".join(chunks.values()), 0
        for each, found in bounds.items():
            found += before
            before += len(chunks[each])
        if _is_whole(data, *_concatenate([_inside(found) for found in bounds.values()])):
            firsts = [run.first - each.first_record for run, each in zip(runs, windows, strict=True)]
            parts = [
                _inside(bounds[each][first : first + run.count + 1])
                for run, each, first in zip(runs, windows, firsts, strict=True)
            ]
            return Records(data, *_concatenate(parts))
    pairs = zip(runs, windows, strict=True)
    return Records(*located([record for run, each in pairs for record in _read_slowly(files, run, each, damages)]))


def _concatenate(parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Iterator[NDArray[np.int64]]:
    return (np.concatenate(side) for side in zip(*parts, strict=True))


def _windows_of(files: FilePool, run: Run) -> _Windows:
    layout = _read_layout(files, run)
    return _Windows(run.path, layout, run.first // layout.window, -(-(run.first + run.count) // layout.window))


def _frame_bounds(data: bytes) -> NDArray[np.int64]:
    """Where each TFRecord frame begins, then the end; fewer when a length is wrong."""
    bounds, at, last = [0], 0, len(data) - RECORD_OVERHEAD
    while at <= last:
        (length,) = _LENGTH(data, at)
        at += length + RECORD_OVERHEAD
        bounds.append(at)
    return np.array(bounds if at == len(data) else [0], np.int64)


def _inside(bounds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First byte of each frame's record, and the byte after it."""
    return bounds[:-1] + RECORD_HEADER.size, bounds[1:] - 4


def _is_whole(data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> bool:
    """Whether the checksums of all records and of their lengths are right."""
    octets = np.frombuffer(data, np.uint8)
    crcs = [_crc(data[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    for found, at in ((crcs, ends), ([_length_crc(length) for length in (ends - begins).tolist()], begins - 4)):
        if not np.array_equal(_mask(found), octets[at[:, None] + np.arange(4)].view("<u4").ravel()):
            return False
    return True


def _read_slowly(files: FilePool, run: Run, windows: _Windows, damages: list[Damage] | None) -> list[bytes]:
    """The records of a run, one by one: the damaged is named, or replaced."""
    records: list[bytes] = []
    for number in range(windows.first, windows.last):
        window = windows._replace(first=number, last=number + 1)
        wanted = range(
            max(run.first - window.first_record, 0), min(run.first + run.count - window.first_record, window.records)
        )
        try:
            found = _read_records(files, window)
        except DamageError as error:
            if damages is None:
                raise
            found = _next_whole(files, window, error)
            damages.append(Damage(str(error), len(wanted)))
        records += [found[place % len(found)] for place in wanted]
    return records


def _next_whole(files: FilePool, window: _Windows, error: DamageError) -> list[bytes]:
    windows = -(-window.layout.records // window.layout.window)
    for further in range(1, min(windows, TRIED + 1)):
        other = (window.first + further) % windows
        try:
            return _read_records(files, window._replace(first=other, last=other + 1))
        except DamageError:
            continue
    raise error


def _read_records(files: FilePool, windows: _Windows) -> list[bytes]:
    try:
        records = unframe(_read_bytes(files, windows), where=windows.path, first=windows.first_record)
    except ValueError as error:
        _refuse_compressed(files, windows.path)
        raise DamageError(str(error)) from None
    if len(records) != windows.records:
        raise DamageError(
            f"{index_name(windows.path)}: {len(records)} records lie where it says {windows.records}; "
            "make the dataset again"
        )
    return records


def _read_bytes(files: FilePool, windows: _Windows) -> bytes:
    begin, end = _byte_range(files, windows)
    try:
        return files.read(windows.path, begin, end)
    except FileNotFoundError:
        _refuse_compressed(files, windows.path)
        raise FileNotFoundError(f"{windows.path}: no such file; expected a shard that its manifest lists") from None


def _byte_range(files: FilePool, windows: _Windows) -> tuple[int, int]:
    index, entries = index_name(windows.path), windows.last + 1 - windows.first
    place = INDEX_HEADER.size + 8 * windows.first
    data = files.read(index, place, place + 8 * entries)
    if len(data) == 8 * entries:
        offsets = struct.unpack(f"<{entries}Q", data)
        if offsets[0] < offsets[-1] <= windows.layout.bytes:
            return offsets[0], offsets[-1]
    raise ValueError(f"{index}: the window index is cut short or damaged; make the dataset again")


def _read_layout(files: FilePool, run: Run) -> _Layout:
    path = index_name(run.path)
    try:
        header = files.read(path, 0, INDEX_HEADER.size)
    except FileNotFoundError:
        _refuse_compressed(files, run.path)
        raise FileNotFoundError(f"{path}: no such file; expected the window index of a shard; {REWRITE}") from None
    if len(header) < INDEX_HEADER.size:
        raise ValueError(f"{path}: not a window index; make the dataset again")
    magic, version, window, records, size = INDEX_HEADER.unpack(header)
    if magic != INDEX_MAGIC or version != INDEX_VERSION or not window:
        raise ValueError(f"{path}: not a window index of version {INDEX_VERSION}; make the dataset again")
    if run.first + run.count > records:
        raise ValueError(f"{path}: ends before record {run.first + run.count - 1}; make the dataset again")
    return _Layout(window, records, size)


@functools.lru_cache(maxsize=4096)
def _length_crc(length: int) -> int:
    return _crc(length.to_bytes(8, "little"))


def _mask(crcs: list[int]) -> NDArray[np.uint32]:
    crc = np.array(crcs, np.uint32)
    return (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(0xA282EAD8)


def _refuse_compressed(files: FilePool, path: str) -> None:
    """Raise ValueError if a shard that cannot be read lies there compressed."""
    for suffix, (magic, name) in COMPRESSED.items():
        for candidate in (path, path + suffix):
            try:
                head = files.read(candidate, 0, RECORD_HEADER.size)
            except OSError:
                continue
            plain = len(head) == RECORD_HEADER.size and _is_header(head)
            if head.startswith(magic) and not plain:
                raise ValueError(
                    f"{candidate}: compressed with {name}, so no record can be read by its place; {REWRITE}"
                )


def _is_header(head: bytes) -> bool:
    length, check = RECORD_HEADER.unpack(head)
    return int(_mask([_length_crc(length)])[0]) == check
