"""Exact duplicates: found inside a cell, because the shuffle brings all copies of a pair together.

A cell is keyed by a prefix of the shuffle key, which is a bijection of the pair's fingerprint; so
sorting a cell both shuffles the corpus and puts equal pairs side by side.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from schemas.example import decode_pair, encode_pair
from schemas.pair import TEST, TRAIN, Pair, fingerprint, normalise, shuffle_key, split_of

_HEADER = struct.Struct("<QQBII")
_SPLITS = (TEST, TRAIN)  # in the order in which copies survive


class Entry(NamedTuple):
    """A pair on its way to its shard. The tuple's own order is the global order."""

    key: int
    """Shuffle key: where in the corpus the pair stands."""
    split_rank: int
    """0 test, 1 train: of two copies, the one in test survives."""
    record: bytes
    fingerprint: int
    characters: tuple[int, int]
    """Of anchor and positive."""

    @property
    def split(self) -> str:
        return _SPLITS[self.split_rank]

    def to_bytes(self) -> bytes:
        """Compact bytes for the shuffle."""
        return _HEADER.pack(self.key, self.fingerprint, self.split_rank, *self.characters) + self.record

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry:
        key, pair_fingerprint, rank, anchor, positive = _HEADER.unpack_from(data)
        return cls(key, rank, data[_HEADER.size :], pair_fingerprint, (anchor, positive))


def make_entry(pair: Pair, *, test_fraction: float, seed: int) -> Entry:
    """A pair with its split, its place in the global order and its record."""
    prints = fingerprint(pair)
    return Entry(
        shuffle_key(prints.pair, seed),
        _SPLITS.index(split_of(pair, test_fraction)),
        encode_pair(pair, prints),
        prints.pair,
        (len(pair.anchor), len(pair.positive)),
    )


def unique_entries(blobs: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of a cell in global order, one of each set of equal pairs.

    Of equals the smallest of (test before train, serialised bytes) stays. Pairs whose fingerprints
    are equal by chance both stay: their texts decide.
    """
    for _, same_key in groupby(sorted(map(Entry.from_bytes, blobs)), key=lambda entry: entry.key):
        first, *others = same_key
        yield first
        if others:
            seen = {_identity(first)}
            for entry in others:
                if (identity := _identity(entry)) not in seen:
                    seen.add(identity)
                    yield entry


def _identity(entry: Entry) -> tuple[str, ...]:
    pair, _ = decode_pair(entry.record)
    return tuple(normalise(text) for text in pair.texts)
