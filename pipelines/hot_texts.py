"""A cap on the pairs that hold one text: "thanks" answers a million comments.

Of the pairs with a text those of the smallest shuffle keys stay. Each piece of work sends on only that many
keys of a text, so no text is too frequent for one worker; what comes out is a limit for each text over the
cap, which the writer of a cell looks up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from pipelines.dedup import RANKS, REJECTS, Entries
from pipelines.shuffle import Blob, places_by_prefix
from schemas.example import decode_pair

TEXTS = "texts"
_REJECT = RANKS.index(REJECTS)


class Limits(NamedTuple):
    """Texts of one dataset that are over the cap."""

    dataset: str
    texts: NDArray[np.uint64]
    """[n] fingerprints, ascending."""
    keys: NDArray[np.uint64]
    """[n] the largest shuffle key that a pair with the text may have."""


def smallest_keys(entries: Entries, texts: list[tuple[int, ...]], most: int, bits: int) -> Iterator[Blob]:
    """The keys of each text's first `most` + 1 pairs, as blobs by a prefix of the text's fingerprint."""
    kept = np.flatnonzero(entries.ranks != _REJECT)
    distinct = [set(texts[number]) for number in kept.tolist()]
    of_text = np.array([text for several in distinct for text in several], np.uint64)
    keys = np.repeat(entries.keys[kept], np.array([len(several) for several in distinct], np.intp))
    of_text, keys = _first_of_each(of_text, keys, most + 1)
    for partition, places in places_by_prefix(of_text, bits):
        yield Blob(TEXTS, partition, _to_blob(entries.dataset, of_text[places], keys[places]))


def limits_of(blobs: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The `Limits` of one partition, as blobs: the texts with more than `most` pairs."""
    held: dict[str, tuple[NDArray[np.uint64], NDArray[np.uint64]]] = {}
    for blob in blobs:
        dataset, texts, keys = _from_blob(blob)
        known = held.get(dataset, (texts[:0], keys[:0]))
        held[dataset] = _first_of_each(np.r_[known[0], texts], np.r_[known[1], keys], most + 1)
    for dataset, (texts, keys) in sorted(held.items()):
        _, first, counts = np.unique(texts, return_index=True, return_counts=True)
        over = first[counts > most]
        if len(over):
            yield _to_blob(dataset, texts[over], keys[over + most - 1])


def over_the_cap(entries: Entries, blobs: Iterable[bytes]) -> Iterator[int]:
    """Places of the entries that hold a text over its limit."""
    limits = [found for found in map(_from_blob, blobs) if found.dataset == entries.dataset]
    if not limits:
        return
    texts = np.concatenate([found.texts for found in limits])
    order = np.argsort(texts)
    texts, most = texts[order], np.concatenate([found.keys for found in limits])[order]
    record = entries.records()
    for place, (key, rank) in enumerate(zip(entries.keys.tolist(), entries.ranks.tolist(), strict=True)):
        if rank != _REJECT:
            _, prints = decode_pair(record(place))
            mine = np.array(prints.texts, np.uint64)
            at = np.minimum(np.searchsorted(texts, mine), len(texts) - 1)
            if ((texts[at] == mine) & (most[at] < np.uint64(key))).any():
                yield place


def _first_of_each(
    texts: NDArray[np.uint64], keys: NDArray[np.uint64], most: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Sorted by (text, key), copies left out, at most `most` keys of each text."""
    order = np.lexsort((keys, texts))
    texts, keys = texts[order], keys[order]
    new = np.ones(len(texts), bool)
    new[1:] = (texts[1:] != texts[:-1]) | (keys[1:] != keys[:-1])
    texts, keys = texts[new], keys[new]
    _, first, counts = np.unique(texts, return_index=True, return_counts=True)
    kept = np.arange(len(texts)) - np.repeat(first, counts) < most
    return texts[kept], keys[kept]


def _to_blob(dataset: str, texts: NDArray[np.uint64], keys: NDArray[np.uint64]) -> bytes:
    return orjson.dumps(dataset) + b"\n" + texts.astype("<u8").tobytes() + keys.astype("<u8").tobytes()


def _from_blob(blob: bytes) -> Limits:
    end = blob.index(b"\n")
    both = np.frombuffer(blob, "<u8", offset=end + 1).astype(np.uint64)
    return Limits(orjson.loads(blob[:end]), both[: len(both) // 2], both[len(both) // 2 :])
