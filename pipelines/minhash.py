"""MinHash signatures of pairs: whether two pairs are near is seen in a few hundred bits of each.

Two pairs are near when their anchors *and* their positives are: a question with another answer is no duplicate,
however long the question. So each side has a signature of its own, and each must pass the threshold. Pairs
with other negatives are never near, as in the exact rule.

A text is its shingles: runs of five characters of its words, every mark between words read as one space, so that
`Thanks!` and `thanks` are equal. Where a run begins with a Han, kana or Hangul character it has two: such scripts say
in two characters what takes a short word elsewhere. Characters are milder than words with the few words that a text
of a pair has: one typo in twelve words leaves a Jaccard similarity of 0.87, where pairs of words would leave 0.69.

A *band* is a few MinHash values of both sides, hashed; near pairs share some band with high probability and are then
compared by their *sketches*, one bit for each MinHash value (b-bit minwise hashing, Li and König 2010). The first
band is the whole sketch, so that pairs that differ in case, marks and spaces alone meet for certain.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipelines.hash_arrays import mix64
from schemas.pair import Pair, normalise

BLOCK_CHARACTERS = 1 << 16  # signed at once, so that the arrays stay in a core's cache
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
        whole = (mix64(sketches) * whole_factors).sum(axis=(1, 2), dtype=np.uint64)
        bands = np.vstack([whole, (rows * row_factors).sum(axis=(1, 3), dtype=np.uint64)])
        return np.ascontiguousarray(mix64(bands + others).T)


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
    return (mix64(hashes[runs]) >> np.uint64(32)).astype(np.uint32), np.flatnonzero(first[runs])


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


@lru_cache
def _constants(purpose: str, count: int) -> NDArray[np.uint64]:
    """Random numbers that no library's version changes: SplitMix64 from a start of its own for each purpose."""
    start = np.uint64(xxhash.xxh3_64_intdigest(purpose.encode()))
    return mix64(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start)


def _mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The finaliser of MurmurHash3."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
