"""Near-duplicates: pairs that share a band of their MinHash signatures meet in one more shuffle, and marks come out.

All members of a band are compared with one leader, never with each other, so no bucket is too large for a worker.
What is near, and what a band is, `minhash` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.minhash import SIDES, Signatures, Signer

BLOCK_MEMBERS = 1 << 16  # compared at once


class Members(NamedTuple):
    """Pairs as members of bands, on their way to the worker that holds a band: each pair once for each of its bands."""

    bands: NDArray[np.uint64]
    """[n]: hash of the band, its number mixed in."""
    keys: NDArray[np.uint64]
    """[n]: shuffle key of the pair."""
    ranks: NDArray[np.uint8]
    """[n]: 0 test, 1 train."""
    sketches: NDArray[np.uint64]
    """[n, side, words]."""

    @classmethod
    def of(cls, signatures: Signatures, keys: NDArray[np.uint64], ranks: NDArray[np.uint8]) -> Members:
        """Each of n pairs in each of its bands; `keys` and `ranks` are [n]."""
        bands = signatures.bands.shape[1]
        return cls(
            signatures.bands.reshape(-1),
            np.repeat(keys, bands),
            np.repeat(ranks, bands),
            np.repeat(signatures.sketches, bands, axis=0),
        )

    def take(self, rows: NDArray[np.integer]) -> Members:
        return Members(self.bands[rows], self.keys[rows], self.ranks[rows], self.sketches[rows])

    def to_bytes(self) -> bytes:
        """Rows of fixed length, little-endian: blobs of one width may be joined end to end."""
        rows = np.empty(len(self.bands), _row(self.sketches.shape[2]))
        for name, column in zip(self._fields, self, strict=True):
            rows[name] = column
        return rows.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, words: int) -> Members:
        """Rows whose sketches have so many 64-bit words a side."""
        row = _row(words)
        if len(data) % row.itemsize:
            raise ValueError(f"members are {row.itemsize} bytes each, found {len(data)} bytes: another sketch's width?")
        rows = np.frombuffer(data, row)
        return cls(*(np.ascontiguousarray(rows[name]) for name in cls._fields))

    def partitions(self, bits: int) -> Iterator[tuple[int, bytes]]:
        """The members of each partition, in bytes. A partition's number is the first `bits` bits of its bands."""
        prefixes = self.bands >> np.uint64(64 - bits) if bits else np.zeros_like(self.bands)
        order = np.argsort(prefixes, kind="stable")
        numbers, starts = np.unique(prefixes[order], return_index=True)
        ordered = self.take(order)
        for number, rows in zip(numbers.tolist(), np.split(np.arange(len(order)), starts[1:]), strict=False):
            yield number, ordered.take(rows).to_bytes()


def near_duplicates(blobs: Callable[[], Iterable[bytes]], signer: Signer) -> NDArray[np.uint64]:
    """The shuffle keys of pairs to drop, sorted and unique, from all members of one partition of the bands.

    `blobs` is called twice and gives the same members each time, in any order and grouping. The leader of a band is
    its member of the smallest (rank, key); a member goes when it is near the leader and its key is another
    one (equal keys are exact duplicates, which the cell sees to). Memory: some 175 bytes for each distinct
    band, a block of members and 8 bytes for each mark, however many members a band has.

    Guaranteed: a dropped pair is near, by its sketch, to one of smaller (rank, key). That one may go too, because of
    another band; but (rank, key) falls at each step and cannot fall for ever, so the chain ends at a pair that
    stays: of pairs linked by nearness the smallest always survives, and a test pair is never dropped for
    a train pair. (Copies of a pair share all bands, so the smallest of their ranks counts in each.) Not
    guaranteed: that the last of a chain is itself near the first, or that a pair goes whose near pairs lead none
    of its bands, as happens among many pairs of one template.
    """
    leaders = _leaders(_blocks_of_members(blobs(), signer.words), signer.words)
    marks = [np.empty(0, np.uint64)]
    for members in _blocks_of_members(blobs(), signer.words):
        order = np.argsort(members.bands)  # sorted probes walk through the leaders once
        leader = np.searchsorted(leaders.bands, members.bands[order])
        others = leaders.keys[leader] != members.keys[order]
        order, leader = order[others], leader[others]
        near = signer.near(members.sketches[order], leaders.sketches[leader])
        marks.append(np.unique(members.keys[order[near]]))
    return np.unique(np.concatenate(marks))


def _leaders(blocks: Iterable[Members], words: int) -> Members:
    """The first member of each band, sorted by band."""
    leaders = Members.from_bytes(b"", words)
    waiting: list[Members] = []
    for block in blocks:
        waiting.append(_first_of_each_band([block]))
        # Merged when they are as many as the leaders: each row is then sorted a logarithmic number of times.
        if sum(len(some.bands) for some in waiting) >= len(leaders.bands):
            leaders, waiting = _first_of_each_band([leaders, *waiting]), []
    return _first_of_each_band([leaders, *waiting])


def _first_of_each_band(blocks: Sequence[Members]) -> Members:
    members = Members(*map(np.concatenate, zip(*blocks, strict=True)))
    order = np.argsort(members.bands)
    bands = members.bands[order]
    begins = np.ones(len(order) + 1, bool)
    begins[1:-1] = bands[1:] != bands[:-1]
    shared = np.flatnonzero(~(begins[1:] & begins[:-1]))  # most bands have one member, and need no finer order
    rows = order[shared]
    order[shared] = rows[np.lexsort((members.keys[rows], members.ranks[rows], members.bands[rows]))]
    return members.take(order[begins[:-1]])


def _blocks_of_members(blobs: Iterable[bytes], words: int) -> Iterator[Members]:
    """Small blobs joined, so that the work is in arrays however small they come."""
    waiting, size = [], 0
    for blob in blobs:
        waiting.append(blob)
        size += len(blob)
        if size >= BLOCK_MEMBERS * _row(words).itemsize:
            yield Members.from_bytes(b"".join(waiting), words)
            waiting, size = [], 0
    if waiting:
        yield Members.from_bytes(b"".join(waiting), words)


def _row(words: int) -> np.dtype:
    return np.dtype([("bands", "<u8"), ("keys", "<u8"), ("ranks", "u1"), ("sketches", "<u8", (SIDES, words))])
