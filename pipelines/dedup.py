"""Entries: pairs on their way to shards; and what becomes of those that are there twice.

An entry's cell is a prefix of its shuffle key, which is a bijection of the pair's fingerprint; so sorting a
cell both shuffles the corpus and puts equal pairs side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.example import decode_pair
from schemas.pair import TEST, TRAIN, normalise
from schemas.shards import RECORD_HEADER

REJECTS = "rejects"
RANKS = (TEST, TRAIN, REJECTS)
"""Splits by rank. Of two copies the one in test survives; rejects are kept aside and have no copies."""
_REJECT = RANKS.index(REJECTS)


class Entries(NamedTuple):
    """Pairs of one dataset, as columns."""

    dataset: str
    keys: NDArray[np.uint64]
    """[n] shuffle key: where in the corpus a pair stands."""
    fingerprints: NDArray[np.uint64]
    """[n] of the pairs."""
    ranks: NDArray[np.uint8]
    """[n] number of the split in RANKS."""
    characters: NDArray[np.uint32]
    """[n, 2] of anchor and positive."""
    lengths: NDArray[np.uint32]
    """[n] bytes of each framed record."""
    data: bytes
    """The framed records."""

    def take(self, order: NDArray[np.intp] | slice) -> Entries:
        """The entries at these places, in this order."""
        ends = np.cumsum(self.lengths, dtype=np.int64)
        begins = (ends - self.lengths)[order].tolist()
        data = self.data
        pieces = [data[begin:end] for begin, end in zip(begins, ends[order].tolist(), strict=True)]
        columns = (column[order] for column in self[1:6])
        return Entries(self.dataset, *columns, b"".join(pieces))  # type: ignore[arg-type]

    def records(self) -> Callable[[int], bytes]:
        """Place → its record, without the frame."""
        ends = np.cumsum(self.lengths, dtype=np.int64)
        begins = ends - self.lengths + RECORD_HEADER.size
        return lambda place: self.data[begins[place] : ends[place] - 4]


class Keys(NamedTuple):
    """Shuffle keys of pairs that must go: an older part holds them, or they are near-duplicates."""

    dataset: str
    reason: str
    keys: NDArray[np.uint64]


_COLUMNS = ("<u8", "<u8", "u1", "<u4", "<u4")


def to_blob(item: Entries | Keys) -> bytes:
    """Compact bytes for the shuffle: a line of JSON, then the columns."""
    if isinstance(item, Keys):
        return orjson.dumps([item.dataset, item.reason]) + b"\n" + item.keys.astype("<u8").tobytes()
    columns = [column.astype(kind).tobytes() for column, kind in zip(item[1:6], _COLUMNS, strict=True)]
    return orjson.dumps([item.dataset, len(item.keys)]) + b"\n" + b"".join(columns) + item.data


def from_blob(blob: bytes) -> Entries | Keys:
    """The reverse of `to_blob`."""
    end = blob.index(b"\n")
    dataset, count = orjson.loads(blob[:end])
    if isinstance(count, str):
        return Keys(dataset, count, np.frombuffer(blob, "<u8", offset=end + 1).astype(np.uint64))
    offset = end + 1
    columns: list[Any] = [dataset]
    for kind, width in zip(_COLUMNS, (1, 1, 1, 2, 1), strict=True):
        column = np.frombuffer(blob, kind, count * width, offset)
        offset += column.nbytes
        columns.append(column.reshape(count, 2) if width == 2 else column)
    return Entries._make([*columns, blob[offset:]])


def join(several: Sequence[Entries]) -> Entries:
    """The entries of several blobs of one dataset."""
    columns = (np.concatenate([entries[number] for entries in several]) for number in range(1, 6))
    return Entries(several[0].dataset, *columns, b"".join([entries.data for entries in several]))  # type: ignore[arg-type]


class Deduplicated(NamedTuple):
    """A cell's entries of one dataset in global order, and which of them go."""

    entries: Entries
    reasons: dict[int, str]
    """Place → why it goes."""


def deduplicate(entries: Entries, gone: Iterable[Keys], *, exact: bool) -> Deduplicated:
    """Put entries into global order and say which are there already.

    Of equal pairs the smallest of (test before train, serialised bytes) stays. Pairs whose fingerprints
    are equal by chance both stay: their texts decide. Pairs with a key in `gone` go, whatever their texts.
    """
    entries = entries.take(np.argsort(entries.keys, kind="stable"))
    keys = entries.keys
    reasons: dict[int, str] = {}
    order = np.arange(len(keys))
    equal = np.flatnonzero(keys[1:] == keys[:-1])
    record = entries.records()
    for first, end in _runs(equal):
        places = sorted(range(first, end), key=lambda place: (entries.ranks[place], record(place)))
        order[first:end] = places
        if exact:
            reasons |= {first + number: "duplicate" for number in _copies(entries, record, places)}
    if len(equal):
        entries = entries.take(order)
    counts = entries.ranks != _REJECT
    for marked in sorted(gone, key=lambda marked: marked.reason):  # they come in any order
        for place in np.flatnonzero(np.isin(keys, marked.keys) & counts).tolist():
            reasons.setdefault(place, marked.reason)
    return Deduplicated(entries, reasons)


def _runs(equal: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """(first, end) of the runs of equal keys, given the places that equal the next."""
    if len(equal):
        breaks = np.flatnonzero(np.diff(equal) > 1)
        for first, last in zip(equal[np.r_[0, breaks + 1]], equal[np.r_[breaks, len(equal) - 1]], strict=True):
            yield int(first), int(last) + 2


def _copies(entries: Entries, record: Callable[[int], bytes], places: list[int]) -> Iterator[int]:
    """Numbers, in `places`, of the pairs whose texts an earlier one has."""
    seen = set()
    for number, place in enumerate(places):
        if entries.ranks[place] == _REJECT:
            continue
        pair, _ = decode_pair(record(place))
        identity = tuple(normalise(text) for text in pair.texts)
        if identity in seen:
            yield number
        seen.add(identity)
