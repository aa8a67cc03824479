"""Runs of words: texts of any script cut into words, so that any run of them hashes in one step.

Normalised texts (`schemas.pair.normalise`) are cut into *units*. A unit is a longest run of letters, digits and
marks (Unicode L, N, M); whatever lies between is ignored, and so are invisible format characters and variation
selectors. Scripts written without spaces have a unit for each character: one of Han, kana, bopomofo or Yi counts
as half a word, one of Thai, Lao, Burmese or Khmer as a quarter; any other unit is one word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.hash_arrays import Keys, Places, mix64

BLOCK_CHARACTERS = 1 << 16  # the arrays of a block stay in the processor's cache
PIECE_CHARACTERS = 1 << 18  # longer texts, which are rare, are cut, so that memory stays bounded
OVERLAP_CHARACTERS = 1 << 13

WORD = 4  # weights are in quarters of a word
_IGNORED = 255
_UNSPACED = (  # first and last code point, weight of a character
    (0x0E00, 0x0EFF, 1),  # Thai, Lao
    (0x1000, 0x109F, 1),  # Burmese
    (0x1780, 0x17FF, 1),  # Khmer
    (0x3005, 0x3007, 2),  # ideographic marks
    (0x3040, 0x312F, 2),  # kana, bopomofo
    (0x31A0, 0x31FF, 2),  # bopomofo and kana, extended
    (0x3400, 0x4DBF, 2),  # Han
    (0x4E00, 0xA4CF, 2),  # Han, Yi
    (0xA9E0, 0xA9FF, 1),  # Burmese, extended
    (0xAA60, 0xAA7F, 1),
    (0xF900, 0xFAFF, 2),  # Han, compatibility
    (0x1AFF0, 0x1B16F, 2),  # kana, rare
    (0x20000, 0x3FFFD, 2),  # Han, rare
)
_VARIATION_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
# Of the polynomials. Odd, so that it has an inverse modulo 2^64; otherwise any number does.
_BASE = 0x9E6C63D0876A9A45


class WordRuns(NamedTuple):
    """The units of several texts, one after the other, so that any run of them hashes in one step."""

    sums: Keys
    """uint64[units + 1]: sums of the polynomial in _BASE whose coefficients are the units' hashes."""
    weights: Places
    """int64[units + 1]: quarters of a word before each unit."""
    first: Places
    """int64[texts + 1]: the first unit of each text."""

    @property
    def text_weights(self) -> Places:
        """int64[texts], in quarters of a word."""
        return np.diff(self.weights[self.first])

    @property
    def text_of(self) -> Places:
        """int64[units]: the number of the text that each unit stands in."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def windows(self, words: int) -> tuple[Places, Places]:
        """(starts, ends) of the shortest runs within one text of at least so many words, one for each start."""
        units = len(self.weights) - 1
        if self.weights[-1] == units * WORD:  # nothing but words: most blocks
            ends = np.arange(words, units + words + 1)[:-1]
        else:
            ends = np.searchsorted(self.weights, self.weights[:-1] + words * WORD)
        starts = np.flatnonzero(ends <= np.repeat(self.first[1:], np.diff(self.first)))
        return starts, ends[starts]

    def whole(self, *, below: int) -> tuple[Places, Places]:
        """(starts, ends) of the texts that have units, but fewer than so many words."""
        weights = self.text_weights
        short = np.flatnonzero((weights > 0) & (weights < below * WORD))
        return self.first[short], self.first[short + 1]

    def hashes(self, starts: Places, ends: Places) -> Keys:
        """uint64 of each run."""
        _, inverse = _powers(len(self.sums))
        return mix64((self.sums[ends] - self.sums[starts]) * inverse[starts])


def cut_units(texts: Sequence[str]) -> WordRuns:
    """The units of normalised texts."""
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    weights = _weight_table()[codes]
    if (ignored := weights == _IGNORED).any():
        codes, weights = codes[~ignored], weights[~ignored]
    in_word = weights == WORD
    starts = weights > 0
    starts[1:] &= ~(in_word[1:] & in_word[:-1])
    # A unit ends where the next begins or a separator stands; the last character is a separator.
    edges = np.flatnonzero(starts | (weights == 0))
    opens = np.flatnonzero(starts[edges])
    begins, ends = edges[opens], edges[opens + 1]
    powers, inverse = _powers(len(codes) + 1)
    sums = _sums(codes * powers[: len(codes)])
    values = mix64((sums[ends] - sums[begins]) * inverse[begins])
    return WordRuns(
        sums=_sums(values * powers[: len(values)]),
        weights=np.concatenate(([0], np.cumsum(weights[begins], dtype=np.int64))),
        first=np.concatenate(([0], np.searchsorted(begins, np.flatnonzero(codes == ord("\n"))))),
    )


def _sums(terms: Keys) -> Keys:
    sums = np.zeros(len(terms) + 1, np.uint64)
    np.cumsum(terms, out=sums[1:])
    return sums


def _powers(count: int) -> tuple[Keys, Keys]:
    """_BASE ** i and _BASE ** -i modulo 2^64, for i below `count` and more."""
    return _power_tables(max(count, BLOCK_CHARACTERS * 2).bit_length())


@lru_cache(maxsize=2)
def _power_tables(bits: int) -> tuple[Keys, Keys]:
    def powers(base: int) -> Keys:
        factors = np.full(1 << bits, base, np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    return powers(_BASE), powers(pow(_BASE, -1, 1 << 64))


@lru_cache(maxsize=1)
def _weight_table() -> NDArray[np.uint8]:
    """For each code point: the weight of its unit in quarters of a word, 0 (a separator) or _IGNORED."""
    kinds = [unicodedata.category(chr(code)) for code in range(0x110000)]
    by_kind = {kind: WORD if kind[0] in "LNM" else _IGNORED if kind == "Cf" else 0 for kind in set(kinds)}
    table = np.array([by_kind[kind] for kind in kinds], np.uint8)
    for first, last, weight in _UNSPACED:
        span = table[first : last + 1]
        span[span == WORD] = weight
    for first, last in _VARIATION_SELECTORS:
        table[first : last + 1] = _IGNORED
    return table


def text_blocks(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[list[int], list[str]]]:
    """Numbered texts in blocks of about BLOCK_CHARACTERS.

    Of a very long text there are several overlapping pieces, on the evaluation's side as on the
    corpus's; so what they share is found piece by piece.
    """
    numbers: list[int] = []
    block: list[str] = []
    size = 0
    for number, text in texts:
        for piece in (text,) if len(text) <= PIECE_CHARACTERS else _pieces(text):
            numbers.append(number)
            block.append(piece)
            size += len(piece) + 1
            if size >= BLOCK_CHARACTERS:
                yield numbers, block
                numbers, block, size = [], [], 0
    if block:
        yield numbers, block


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text) - OVERLAP_CHARACTERS, PIECE_CHARACTERS - OVERLAP_CHARACTERS):
        yield text[start : start + PIECE_CHARACTERS]
