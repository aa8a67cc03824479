"""Near-duplicates by MinHash: pairs are signed, bands of signatures meet in one more shuffle, and marks come out.

Two pairs are near when their anchors *and* their positives are: a question with another answer is no duplicate,
however long the question. So each side has a signature of its own, and each must pass the threshold. Pairs
with other negatives are never near, as in the exact rule.

A text is its shingles: runs of five characters of its words, every mark between words read as one space, so that
`Thanks!` and `thanks` are equal. Where a run begins with a Han, kana or Hangul character it has two: such scripts say
in two characters what takes a short word elsewhere. Characters are milder than words with the few words that a text
of a pair has: one typo in twelve words leaves a Jaccard similarity of 0.87, where pairs of words would leave 0.69.

A *band* is a few MinHash values of both sides, hashed; near pairs share some band with high probability and are then
compared by their *sketches*, one bit for each MinHash value (b-bit minwise hashing, Li and König 2010). The first
band is the whole sketch, so that pairs that differ in case, marks and spaces alone meet for certain. All members of a
band are compared with one leader, never with each other, so no bucket is too large for a worker.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from schemas.pair import Pair, normalise

BLOCK_CHARACTERS = 1 << 16  # signed at once, so that the arrays stay in a core's cache
BLOCK_MEMBERS = 1 << 16  # compared at once
SIDES = 2
SYLLABLE_RUN = 2

_NEWLINE, _SPACE = 10, 32
_SEPARATOR, _SYLLABLE = 0, 2  # 1: other letters, marks and digits
_SYLLABLES = ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


class Signatures(NamedTuple):
    """What is kept of n pairs."""

    bands: NDArray[np.uint64]
    """[n, bands]: equal where two pairs share the band."""
    sketches: NDArray[np.uint64]
    """[n, side, words]: a bit for each permutation."""


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


@dataclass(frozen=True)
class Signer:
    """How pairs are signed and what counts as near.

    With the defaults two pairs whose sides are both at a Jaccard similarity of 0.9 share a band with probability
    0.995, at 0.8 with 0.88, at 0.6 with 0.28; then their sketches decide, with a standard error of 0.05 at 0.8.
    """

    threshold: float = 0.8
    """Least estimated Jaccard similarity of each side."""
    bands: int = 8
    """The whole sketch, and others of a few rows: each costs a pair one row through the shuffle."""
    rows: int = 3
    """MinHash values that each side gives to a band."""
    permutations: int = 128
    """MinHash values of a side, a multiple of 64."""
    shingle: int = 5
    """Characters."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; expected more than 0, at most 1")
        if self.permutations < 64 or self.permutations % 64:
            raise ValueError(f"permutations is {self.permutations}; expected a multiple of 64")
        if self.bands < 2 or self.rows < 1 or (self.bands - 1) * self.rows > self.permutations:
            raise ValueError(
                f"{self.bands} bands, all but one of {self.rows} rows; expected two bands, one row, and "
                f"at most {self.permutations} rows in all, the permutations of a side"
            )
        if self.shingle < SYLLABLE_RUN:
            raise ValueError(f"shingle is {self.shingle} characters; expected at least {SYLLABLE_RUN}")

    @property
    def words(self) -> int:
        """64-bit words of a side's sketch."""
        return self.permutations // 64

    def sign(self, pairs: Sequence[Pair]) -> Signatures:
        """Signatures of n pairs, the same on every machine. Texts that are equal once normalised sign alike."""
        signed = [self._sign_block(block) for block in _blocks(pairs)]
        if not signed:
            return Signatures(np.empty((0, self.bands), np.uint64), np.empty((0, SIDES, self.words), np.uint64))
        return Signatures(*map(np.concatenate, zip(*signed, strict=True)))

    def near(self, first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of n sketches are near their partners. [n, side, words] twice → [n].

        Unequal MinHash values differ in their bit half of the time, so d differing bits of p estimate a
        similarity of 1 - 2d/p.
        """
        differing = np.bitwise_count(first ^ second).sum(axis=-1, dtype=np.int64)
        most = int((1 - self.threshold) * self.permutations / 2 + 1e-9)
        return (differing <= most).all(axis=-1)

    def candidate_probability(self, anchor: float, positive: float) -> float:
        """The S-curve: how likely two pairs share a band, given the Jaccard similarities of their sides."""
        return 1 - (1 - (anchor * positive) ** self.rows) ** (self.bands - 1)

    def _sign_block(self, pairs: Sequence[tuple[str, str, int]]) -> Signatures:
        hashes, starts = shingle_hashes([text for *sides, _ in pairs for text in sides], self.shingle)
        minima = _minima(hashes, starts, self.permutations)
        bits = np.packbits(_mix32(minima) & 1, axis=0, bitorder="little")
        sketches = np.ascontiguousarray(bits.T).view("<u8").astype(np.uint64, copy=False)
        sketches = sketches.reshape(-1, SIDES, self.words)
        others = np.array([others for *_, others in pairs], np.uint64)
        return Signatures(self._bands(minima, sketches, others), sketches)

    def _bands(
        self, minima: NDArray[np.uint32], sketches: NDArray[np.uint64], others: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """[permutations, 2n], [n, side, words], [n] → [n, bands].

        Each band has its own multipliers, which mixes its number in.
        """
        rows = minima[: (self.bands - 1) * self.rows].reshape(self.bands - 1, self.rows, -1, SIDES).astype(np.uint64)
        row_factors = _constants("rows", (self.bands - 1) * self.rows * SIDES).reshape(-1, self.rows, 1, SIDES)
        whole_factors = _constants("sketch", SIDES * self.words).reshape(SIDES, self.words)
        whole = (_mix64(sketches) * whole_factors).sum(axis=(1, 2), dtype=np.uint64)
        bands = np.vstack([whole, (rows * row_factors).sum(axis=(1, 3), dtype=np.uint64)])
        return np.ascontiguousarray(_mix64(bands + others).T)


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


def shingle_hashes(texts: Sequence[str], length: int) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Hashes of the shingles of n normalised texts, one after another, and where each text's begin: [total], [n].

    A text has at least one shingle: a short one is a shingle as a whole, and one without any letter or digit is
    taken with its marks. The start and the end of a text count as a character each.
    """
    codes = _words_alone(texts, length)
    count = len(codes) - length + 1  # the last newlines begin no run
    factors = _constants("shingle", length)
    hashes = np.zeros(count, np.uint64)
    for place, factor in enumerate(factors):
        if place == SYLLABLE_RUN:
            short = hashes.copy()
        hashes += codes[place : place + count] * factor
    begins = codes[:count]
    syllables = _kinds()[begins] == _SYLLABLE
    if length > SYLLABLE_RUN and syllables.any():
        hashes[syllables] = short[syllables]
    first = np.append(True, begins[:-1] == _NEWLINE)
    whole = syllables | (codes[length - 2 :][:count] != _NEWLINE)
    runs = (begins != _NEWLINE) & (whole | first)
    return (_mix64(hashes[runs]) >> np.uint64(32)).astype(np.uint32), np.flatnonzero(first[runs])


def _words_alone(texts: Sequence[str], length: int) -> NDArray[np.uint32]:
    """Code points of all texts: a space before each word, nothing else between words, `length - 1` newlines after
    each text, so that no run of `length` that begins in a text reaches the next one."""
    end = "\n" * (length - 1)
    joined = f" {(end + ' ').join(texts)}{end}"
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    words = _kinds()[codes] != _SEPARATOR
    sizes = np.array([len(text) + length for text in texts])
    starts = np.cumsum(sizes) - sizes
    for wordless in np.flatnonzero(~np.logical_or.reduceat(words, starts)).tolist():
        words[starts[wordless] :][: len(texts[wordless]) + 1] = True
    ends = codes == _NEWLINE
    before_word = np.append(words[1:], False)
    return np.where(words | ends, codes, np.uint32(_SPACE))[words | ends | before_word]


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """What each code point is: part of a word of letters, a syllable or ideograph, or between words."""
    kinds = np.array([unicodedata.category(chr(code))[0] in "LMN" for code in range(0x110000)], np.uint8)
    for first, last in _SYLLABLES:
        kinds[first : last + 1] *= _SYLLABLE
    return kinds


def _minima(hashes: NDArray[np.uint32], starts: NDArray[np.intp], permutations: int) -> NDArray[np.uint32]:
    """MinHash values, [permutations, texts]. A permutation is an odd factor and a shift, modulo 2³²: the hashes are
    random already, so it need not mix them."""
    minima = np.empty((permutations, len(starts)), np.uint32)
    permuted = np.empty_like(hashes)
    factors, shifts = _constants("permutation", SIDES * permutations).astype(np.uint32).reshape(SIDES, -1)
    for row, factor, shift in zip(minima, factors | np.uint32(1), shifts, strict=True):
        np.multiply(hashes, factor, out=permuted)
        np.add(permuted, shift, out=permuted)
        np.minimum.reduceat(permuted, starts, out=row)
    return minima


def _blocks(pairs: Iterable[Pair]) -> Iterator[list[tuple[str, str, int]]]:
    """Normalised anchors and positives with a hash of the negatives, some characters at a time."""
    block, characters = [], 0
    for pair in pairs:
        anchor, positive = normalise(pair.anchor), normalise(pair.positive)
        block.append((anchor, positive, _negatives_hash(pair.negatives)))
        characters += len(anchor) + len(positive)
        if characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _negatives_hash(negatives: tuple[str, ...]) -> int:
    if not negatives:
        return 0
    normalised = [normalise(text).encode("utf-8", "surrogatepass") for text in negatives]
    return xxhash.xxh3_64_intdigest(b"".join(struct.pack("<I", len(text)) + text for text in normalised))


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


@lru_cache
def _constants(purpose: str, count: int) -> NDArray[np.uint64]:
    """Random numbers that no library's version changes: SplitMix64 from a start of its own for each purpose."""
    start = np.uint64(xxhash.xxh3_64_intdigest(purpose.encode()))
    return _mix64(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start)


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The finaliser of MurmurHash3."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
