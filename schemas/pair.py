"""A pair of texts, what makes two pairs equal, and on which side of the split a pair falls."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

MASK64 = (1 << 64) - 1
SPLIT_BUCKETS = 4096
TRAIN, TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that belong together, with what the corpus knows of them.

    `group` decides the split and nothing else; it is globally named (a thread, a module,
    `islam.stackexchange.com/123`), so that one question's tuples stay on one side whatever
    dataset they are written to. Left empty it is the normalised anchor. `cluster` marks texts
    that mean the same within one dataset. `contexts` are earlier turns, the nearest first.
    """

    dataset: str
    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()
    group: str = ""
    cluster: str | None = None
    contexts: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Anchor, positive, negatives: the slots of a batch, in order."""
        return (self.anchor, self.positive, *self.negatives)


class Fingerprints(NamedTuple):
    """xxh3-64 of a pair and of each of its texts, as unsigned integers."""

    pair: int
    texts: tuple[int, ...]
    cluster: int
    """0 when the pair has no cluster."""


def normalise(text: str) -> str:
    """NFKC, casefold, white space folded to one space, stripped: the identity of a text."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    elif text.isprintable() and "  " not in text:  # most texts: their only white space is single spaces
        return text.casefold().strip()
    return " ".join(text.casefold().split())


def text_fingerprint(text: str) -> int:
    """xxh3-64 of the normalised text's UTF-8."""
    return xxhash.xxh3_64_intdigest(normalise(text).encode())


def text_hash(text: str) -> int:
    """xxh3-64 of the UTF-8 of a text as it stands, which may have half a surrogate pair."""
    try:
        return xxhash.xxh3_64_intdigest(text.encode())
    except UnicodeEncodeError:
        return xxhash.xxh3_64_intdigest(text.encode(errors="surrogatepass"))


def fingerprint(pair: Pair) -> Fingerprints:
    """Fingerprints of a pair; each text is normalised once."""
    framed, digests = zip(*map(_identity, pair.texts), strict=True)
    return Fingerprints(
        pair=xxhash.xxh3_64_intdigest(b"".join(framed)),
        texts=digests,
        cluster=0 if pair.cluster is None else _cluster_fingerprint(pair.dataset, pair.cluster),
    )


@lru_cache(
    maxsize=64
)  # a question or a comment comes back as the anchor of its next pair; more would leave the CPU's cache
def _identity(text: str) -> tuple[bytes, int]:
    """The normalised text's UTF-8 with its length before it, and its fingerprint."""
    normalised = normalise(text).encode()
    return len(normalised).to_bytes(4, "little") + normalised, xxhash.xxh3_64_intdigest(normalised)


def _cluster_fingerprint(dataset: str, cluster: str) -> int:
    named = dataset.encode()
    # Zero means "no cluster", so the one digest that collides with it gives way.
    return xxhash.xxh3_64_intdigest(len(named).to_bytes(4, "little") + named + cluster.encode()) or 1


def shuffle_key(pair_fingerprint: int, seed: int) -> int:
    """A bijection of 64-bit fingerprints, different for each seed.

    Sorting by it is the global shuffle. The finaliser of SplitMix64, applied to the seed and then
    to the fingerprint: being a bijection, it keeps equal fingerprints, and only those, together.
    """
    return _mix64(pair_fingerprint ^ _mix64((seed + _GOLDEN) & MASK64))


def shuffle_keys(pair_fingerprints: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """[n] → [n]: the shuffle key of each fingerprint."""
    with np.errstate(over="ignore"):
        return _mix64(pair_fingerprints ^ np.uint64(_mix64((seed + _GOLDEN) & MASK64)), np.uint64)


_GOLDEN = 0x9E3779B97F4A7C15


def _mix64(x: Any, integer: Any = int) -> Any:
    """Works on an integer, and with `integer=np.uint64` on an array, whose products wrap by themselves."""
    mask = integer(MASK64)
    x = ((x ^ (x >> integer(30))) * integer(0xBF58476D1CE4E5B9)) & mask
    x = ((x ^ (x >> integer(27))) * integer(0x94D049BB133111EB)) & mask
    return x ^ (x >> integer(31))


def split_of(pair: Pair, test_fraction: float) -> str:
    """`train` or `test`, by md5 of the group alone: (1 + md5 mod 4096) / 4096 < 1 - test_fraction is train.

    This is the published rule of the Reddit corpus, used for every source.
    """
    if test_fraction == 0:
        return TRAIN
    return TRAIN if (1 + _bucket(pair.group or normalise(pair.anchor))) / SPLIT_BUCKETS < 1 - test_fraction else TEST


@lru_cache(maxsize=64)  # the pairs of a group come one after the other
def _bucket(group: str) -> int:
    return int.from_bytes(hashlib.md5(group.encode(), usedforsecurity=False).digest(), "big") % SPLIT_BUCKETS
