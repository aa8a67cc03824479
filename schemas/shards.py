"""Shards on disk: TFRecords, a window index and a fingerprint file beside each. No framework.

A shard is written from *blocks*: runs of records that are framed already, so that the last stage
of a job moves bytes and computes nothing per record. `docs/format.md` gives the layout byte by byte.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, cast

import google_crc32c
import numpy as np
from numpy.typing import NDArray

INDEX_MAGIC = b"PSWINDEX"
INDEX_HEADER = struct.Struct("<8sIIQQ")  # magic, version, window, records, bytes
INDEX_VERSION = 1
RECORD_HEADER = struct.Struct("<QI")  # length, masked crc32c of the length's eight bytes
RECORD_OVERHEAD = RECORD_HEADER.size + 4
MAX_WINDOW, MIN_WINDOW = 128, 16

OpenForWriting = Callable[[str], AbstractContextManager[IO[bytes]]]


class Block(NamedTuple):
    """A run of framed records."""

    data: bytes
    """TFRecords, one after the other."""
    lengths: NDArray[np.uint32]
    """[n] bytes of each framed record."""
    fingerprints: NDArray[np.uint64]
    """[n] pair fingerprint of each record."""


@dataclass(frozen=True)
class Shard:
    """One shard as a manifest lists it. Checksums are sha256, in hex."""

    file: str
    records: int
    bytes: int
    sha256: str
    index_sha256: str
    fingerprints_sha256: str


class Index(NamedTuple):
    """A shard's window index."""

    window: int
    records: int
    offsets: NDArray[np.uint64]
    """Byte offset of records 0, window, 2 * window …, then the shard's length."""


def shard_name(split: str, number: int, count: int) -> str:
    """`train-00000-of-00012.tfrecord`."""
    return f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def index_name(shard: str) -> str:
    """The window index beside a shard."""
    return shard.removesuffix(".tfrecord") + ".idx"


def fingerprints_name(shard: str) -> str:
    """The sorted pair fingerprints beside a shard."""
    return shard.removesuffix(".tfrecord") + ".fp"


def window_for(records: int) -> int:
    """Records a window: 128, less for a split of under 65,536 records, at least 16.

    Small datasets get small windows, so that even they have some hundred windows to permute.
    """
    window = MAX_WINDOW
    while window > MIN_WINDOW and records < window * 512:
        window //= 2
    return window


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """A record as it stands in a TFRecord file."""
    return _frame_header(len(record)) + record + _CRC.pack(_masked_crc(record))


_CRC = struct.Struct("<I")


@lru_cache(maxsize=16384)  # a corpus has few lengths
def _frame_header(length: int) -> bytes:
    eight = length.to_bytes(8, "little")
    return eight + _CRC.pack(_masked_crc(eight))


def unframe(data: bytes, *, where: str, first: int = 0) -> list[bytes]:
    """The records in a run of whole frames, each checksum verified.

    `where` names the file in errors and `first` is the number of the run's first record.
    Raises ValueError naming the record that is damaged or cut short.
    """
    records: list[bytes] = []
    offset = 0
    while offset < len(data):
        number = first + len(records)
        if offset + RECORD_HEADER.size > len(data):
            raise ValueError(f"{where}: record {number} is cut short; make the dataset again")
        length, length_crc = RECORD_HEADER.unpack_from(data, offset)
        if _masked_crc(data[offset : offset + 8]) != length_crc:
            raise ValueError(f"{where}: record {number} has a damaged length; make the dataset again")
        start = offset + RECORD_HEADER.size
        offset = start + length + 4
        if offset > len(data):
            raise ValueError(f"{where}: record {number} is cut short; make the dataset again")
        record = data[start : start + length]
        if _masked_crc(record) != int.from_bytes(data[offset - 4 : offset], "little"):
            raise ValueError(f"{where}: record {number} is damaged; make the dataset again")
        records.append(record)
    return records


def read_shard(path: str | Path) -> Iterator[bytes]:
    """Every record of a local shard, in order, in memory of one record; damage raises ValueError."""
    with open(path, "rb") as file:
        yield from read_frames(file, where=str(path))


def read_frames(file: IO[bytes], *, where: str) -> Iterator[bytes]:
    """As `read_shard`, of an open file; `where` names it in errors."""
    number = 0
    while header := file.read(RECORD_HEADER.size):
        body = b""
        if len(header) == RECORD_HEADER.size:
            length, length_crc = RECORD_HEADER.unpack(header)
            # A damaged length must not become a huge read.
            if _masked_crc(header[:8]) == length_crc:
                body = file.read(length + 4)
        yield from unframe(header + body, where=where, first=number)
        number += 1


def write_shard(folder: str, name: str, blocks: Iterable[Block], *, window: int, open_file: OpenForWriting) -> Shard:
    """Write one shard and its sidecars from `blocks`, holding one block at a time.

    `folder` and `name` are joined by `/`; `open_file` opens a path for writing (a local file, an
    object in a bucket). Memory beyond a block: 16 bytes a record.
    """
    digest = hashlib.sha256()
    lengths: list[NDArray[np.uint32]] = []
    fingerprints: list[NDArray[np.uint64]] = []
    with open_file(f"{folder}/{name}") as file:
        for block in blocks:
            file.write(block.data)
            digest.update(block.data)
            lengths.append(block.lengths)
            fingerprints.append(block.fingerprints)
    ends = np.cumsum(np.concatenate([np.zeros(1, np.uint32), *lengths]), dtype=np.uint64)
    index = encode_index(ends, window)
    sorted_fingerprints = np.sort(np.concatenate([np.zeros(0, np.uint64), *fingerprints])).astype("<u8").tobytes()
    for sidecar, content in ((index_name(name), index), (fingerprints_name(name), sorted_fingerprints)):
        with open_file(f"{folder}/{sidecar}") as file:
            file.write(content)
    return Shard(
        file=name,
        records=len(ends) - 1,
        bytes=int(ends[-1]),
        sha256=digest.hexdigest(),
        index_sha256=hashlib.sha256(index).hexdigest(),
        fingerprints_sha256=hashlib.sha256(sorted_fingerprints).hexdigest(),
    )


def encode_index(ends: NDArray[np.uint64], window: int) -> bytes:
    """The bytes of a window index, from the offset of every record followed by the shard's length."""
    records = len(ends) - 1
    offsets = np.append(ends[:-1][::window], ends[-1])
    return (
        INDEX_HEADER.pack(INDEX_MAGIC, INDEX_VERSION, window, records, int(ends[-1])) + offsets.astype("<u8").tobytes()
    )


def decode_index(data: bytes, *, where: str) -> Index:
    """The reverse of `encode_index`. Raises ValueError, naming `where`, for anything else."""
    if len(data) < INDEX_HEADER.size:
        raise ValueError(f"{where}: not a window index; make the dataset again")
    magic, version, window, records, length = INDEX_HEADER.unpack_from(data)
    if magic != INDEX_MAGIC or version != INDEX_VERSION or not window:
        raise ValueError(f"{where}: not a window index of version {INDEX_VERSION}; make the dataset again")
    entries = -(-records // window) + 1
    if len(data) != INDEX_HEADER.size + 8 * entries:
        raise ValueError(f"{where}: the window index is cut short or damaged; make the dataset again")
    offsets = np.frombuffer(data, "<u8", offset=INDEX_HEADER.size).astype(np.uint64)
    if offsets[0] != 0 or int(offsets[-1]) != length or (offsets[1:] <= offsets[:-1]).any():
        raise ValueError(f"{where}: the window index is damaged; make the dataset again")
    return Index(window, records, offsets)


def checksum(path: str | Path) -> str:
    """sha256 of a local file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_local(path: str) -> AbstractContextManager[IO[bytes]]:
    """`write_shard`'s opener for local files: a temporary name, renamed when whole and on disk."""
    return cast("AbstractContextManager[IO[bytes]]", _AtomicFile(path))


class _AtomicFile:
    def __init__(self, path: str) -> None:
        self._path, self._temporary = path, f"{path}.{os.getpid()}.tmp"

    def __enter__(self) -> IO[bytes]:
        self._file = open(self._temporary, "wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                os.replace(self._temporary, self._path)
        finally:
            Path(self._temporary).unlink(missing_ok=True)  # renamed by now, unless something failed
