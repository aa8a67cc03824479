"""Decontamination: evaluation texts as sorted hashes, and which training pairs hold one of them.

**What counts as the same.** Texts are normalised (`schemas.pair.normalise`) and cut into *units*. A
unit is a longest run of letters, digits and marks (Unicode L, N, M); whatever lies between is ignored,
and so are invisible format characters and variation selectors. Scripts written without spaces have a
unit for each character: one of Han, kana, bopomofo or Yi counts as half a word, one of Thai, Lao,
Burmese or Khmer as a quarter; any other unit is one word.

**What is found.** A training text matches an evaluation text when

- their normalised texts are equal; or
- the two share a run of `ngram` words (13), whatever surrounds it on either side; or
- the evaluation text is shorter than that, has at least `MIN_WORDS` (8), and stands whole in the
  training text; or
- it has fewer, and both texts have the same units and no others (the punctuation may differ).

So case, white space, Unicode form and punctuation do not hide a text, and a changed, added or missing
word hides only the runs that it stands in. Not found: paraphrases and translations, a short text within
a longer one, and two texts that share fewer words in a row. Runs are compared by 64-bit hashes:
among a billion of them a clean text of 100 words matches by chance once in a hundred million texts.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from pipelines.eval_sets import find_eval_sets
from pipelines.files import open_raw
from schemas.pair import Pair, normalise

NGRAM = 13
MIN_WORDS = 8
"""An evaluation text of fewer words is too common to be looked for within longer texts."""
FORMAT = 1
"""Of the saved file, and of the rules by which texts become hashes."""
BLOCK_CHARACTERS = 1 << 16  # the arrays of a block stay in the processor's cache
PIECE_CHARACTERS = 1 << 18  # longer texts, which are rare, are cut, so that memory stays bounded
OVERLAP_CHARACTERS = 1 << 13

Keys = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class EvalOptions:
    """What the corpus must not hold."""

    eval_texts: tuple[str, ...] = ()
    """Evaluation sets whose texts no pair may hold: BEIR folders, STS files, JSON lines, plain lists."""
    eval_corpus: bool = False
    """Match the documents of BEIR folders as well as their queries."""
    eval_ngram: int = NGRAM
    """Words in a row that two texts may not share. 0: equal texts alone."""

    def __post_init__(self) -> None:
        _check_ngram(self.eval_ngram)
        if self.eval_corpus and not self.eval_texts:
            raise ValueError("eval corpus without eval texts; expected the evaluation sets as well")


def _check_ngram(ngram: int) -> None:
    if ngram != 0 and not 4 <= ngram <= 100:
        raise ValueError(f"eval ngram is {ngram}; expected 0 (equal texts alone) or 4 to 100 words")


# ── Words and their hashes ────────────────────────────────────────────────────────────────────────

_WORD = 4  # weights are in quarters of a word
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
# Odd, so that it has an inverse modulo 2^64; otherwise any number does.
_BASE = 0x9E6C63D0876A9A45


class _Runs(NamedTuple):
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
        if self.weights[-1] == units * _WORD:  # nothing but words: most blocks
            ends = np.arange(words, units + words + 1)[:-1]
        else:
            ends = np.searchsorted(self.weights, self.weights[:-1] + words * _WORD)
        starts = np.flatnonzero(ends <= np.repeat(self.first[1:], np.diff(self.first)))
        return starts, ends[starts]

    def hashes(self, starts: Places, ends: Places) -> Keys:
        """uint64 of each run."""
        _, inverse = _powers(len(self.sums))
        return _mix64((self.sums[ends] - self.sums[starts]) * inverse[starts])


def cut_units(texts: Sequence[str]) -> _Runs:
    """The units of normalised texts."""
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    weights = _weight_table()[codes]
    if (ignored := weights == _IGNORED).any():
        codes, weights = codes[~ignored], weights[~ignored]
    in_word = weights == _WORD
    starts = weights > 0
    starts[1:] &= ~(in_word[1:] & in_word[:-1])
    # A unit ends where the next begins or a separator stands; the last character is a separator.
    edges = np.flatnonzero(starts | (weights == 0))
    opens = np.flatnonzero(starts[edges])
    begins, ends = edges[opens], edges[opens + 1]
    powers, inverse = _powers(len(codes) + 1)
    sums = _sums(codes * powers[: len(codes)])
    values = _mix64((sums[ends] - sums[begins]) * inverse[begins])
    return _Runs(
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


def _mix64(values: Keys) -> Keys:
    """The finaliser of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=1)
def _weight_table() -> NDArray[np.uint8]:
    """For each code point: the weight of its unit in quarters of a word, 0 (a separator) or _IGNORED."""
    kinds = [unicodedata.category(chr(code)) for code in range(0x110000)]
    by_kind = {kind: _WORD if kind[0] in "LNM" else _IGNORED if kind == "Cf" else 0 for kind in set(kinds)}
    table = np.array([by_kind[kind] for kind in kinds], np.uint8)
    for first, last, weight in _UNSPACED:
        span = table[first : last + 1]
        span[span == _WORD] = weight
    for first, last in _VARIATION_SELECTORS:
        table[first : last + 1] = _IGNORED
    return table


def _fingerprints(texts: Sequence[str]) -> Keys:
    """uint64[texts]: `schemas.pair.text_fingerprint` of texts that are normalised already."""
    hashes = (xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.fromiter(hashes, np.uint64, len(texts))


# ── The evaluation texts ──────────────────────────────────────────────────────────────────────────


class _KeySet:
    """Sorted hashes with a bit map over their leading bits, which answers most look-ups.

    1 to 2 bytes a hash besides the hashes.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        bits = max(3, (8 * len(keys)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._map = np.zeros(1 << (bits - 3), np.uint8)
        span = 1 << min(bits, 24)
        for begin in range(0, 1 << bits, span):  # in slices: a byte for each bit while they are set
            low, high = begin << (64 - bits), ((begin + span) << (64 - bits)) - 1
            among = keys[np.searchsorted(keys, np.uint64(low)) : np.searchsorted(keys, np.uint64(high), "right")]
            flags = np.zeros(span, np.bool_)
            flags[(among >> self._shift) - np.uint64(begin)] = True
            self._map[begin >> 3 : (begin + span) >> 3] = np.packbits(flags, bitorder="little")

    def find(self, wanted: Keys) -> tuple[Places, Places]:
        """(which of `wanted` are here, where the first of each stands)."""
        bit = wanted >> self._shift
        maybe = np.flatnonzero((self._map[bit >> np.uint64(3)] >> (bit & np.uint64(7)).astype(np.uint8)) & 1)
        places = np.searchsorted(self.keys, wanted[maybe])
        here = places < len(self.keys)
        here[here] = self.keys[places[here]] == wanted[maybe[here]]
        return maybe[here], places[here]


@dataclass(frozen=True, eq=False)
class EvalTexts:
    """Evaluation sets, as the hashes that their texts have in common with contaminated pairs.

    12 bytes or less for each distinct hash of a set. Made by `load_eval_texts`.
    """

    names: tuple[str, ...]
    """Of the sets, sorted."""
    counts: tuple[int, ...]
    """Texts of each set."""
    ngram: int
    """Words of the runs that are looked for; 0: equal texts alone."""
    keys: Keys
    """uint64, sorted: fingerprints of texts and hashes of runs; twice where two sets hold one."""
    owners: NDArray[np.uint16]
    """The number of the set that each key is from."""
    openings: Keys
    """uint64, sorted: the first MIN_WORDS words of texts that are looked for whole."""

    @property
    def sets(self) -> dict[str, int]:
        """Name → number of texts."""
        return dict(zip(self.names, self.counts, strict=True))

    @cached_property
    def content_hash(self) -> str:
        """sha256 over hashes, sets and rules: equal when the same pairs would be dropped for the same reasons."""
        digest = hashlib.sha256(self._header())
        for array in (self.keys, self.owners, self.openings):
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
        return digest.hexdigest()

    def hits(self, pair: Pair) -> tuple[str, ...]:
        """The names of the sets that the pair's texts match, sorted; () when it is clean. `hits_many` is faster."""
        return self.hits_many([pair])[0]

    def hits_many(self, pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
        """For each pair the names of the sets that its anchor, positive or negatives match; () when it is clean.

        Contexts are not looked at. Hundreds of pairs a call make the best use of NumPy.
        """
        owners: dict[int, set[int]] = {}
        texts = ((number, normalise(text)) for number, pair in enumerate(pairs) for text in pair.texts)
        for numbers, block in _blocks(texts):
            for text, owner in self._matches(block):
                owners.setdefault(numbers[text], set()).add(owner)
        found: list[tuple[str, ...]] = [()] * len(pairs)
        for number, hit in owners.items():
            found[number] = tuple(self.names[owner] for owner in sorted(hit))
        return found

    def _matches(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """(number of a text, number of a set that it matches); the texts are normalised."""
        wanted, of_text = [_fingerprints(texts)], [np.arange(len(texts))]
        if self.ngram:
            runs = cut_units(texts)
            for starts, ends in (
                runs.windows(self.ngram),
                _whole(runs, below=min(MIN_WORDS, self.ngram)),
                self._opened(runs),
            ):
                wanted.append(runs.hashes(starts, ends))
                of_text.append(runs.text_of[starts])
        which, places = self._index.find(np.concatenate(wanted))
        for text, place in zip(np.concatenate(of_text)[which].tolist(), places.tolist(), strict=True):
            key = self.keys[place]
            while place < len(self.keys) and self.keys[place] == key:
                yield text, int(self.owners[place])
                place += 1

    def _opened(self, runs: _Runs) -> tuple[Places, Places]:
        """Runs of MIN_WORDS to ngram words that begin as a text does which is looked for whole."""
        if not len(self.openings):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        starts, ends = runs.windows(MIN_WORDS)
        opened, _ = self._opening_index.find(runs.hashes(starts, ends))
        starts, ends = starts[opened], ends[opened]
        last = runs.first[runs.text_of[starts] + 1] if len(starts) else starts
        found = [(starts[:0], ends[:0])]
        while len(starts):
            found.append((starts, ends))
            longer = ends < last
            starts, ends, last = starts[longer], ends[longer] + 1, last[longer]
            short = runs.weights[ends] - runs.weights[starts] < self.ngram * _WORD
            starts, ends, last = starts[short], ends[short], last[short]
        return np.concatenate([begin for begin, _ in found]), np.concatenate([end for _, end in found])

    @cached_property
    def _index(self) -> _KeySet:
        return _KeySet(self.keys)

    @cached_property
    def _opening_index(self) -> _KeySet:
        return _KeySet(self.openings)

    def __getstate__(self) -> dict[str, Any]:
        """For workers: without what is quickly made again."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _header(self) -> bytes:
        rules = {"format": FORMAT, "ngram": self.ngram, "min_words": MIN_WORDS}
        return orjson.dumps(rules | {"names": self.names, "counts": self.counts})

    def save(self, path: str) -> None:
        """Write a .npz that `load` reads; nothing in it is pickled."""
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            header = np.frombuffer(self._header(), np.uint8)
            digest = np.frombuffer(self.content_hash.encode(), np.uint8)
            arrays = {"keys": self.keys, "owners": self.owners, "openings": self.openings}
            np.savez(file, header=header, digest=digest, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str) -> EvalTexts:
        """What `save` wrote. Raises ValueError for any other file, and for a damaged one."""
        try:
            with open_raw(path) as file, np.load(file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in ("header", "digest", "keys", "owners", "openings")}
            header = orjson.loads(arrays["header"].tobytes())
            loaded = cls(
                tuple(header["names"]),
                tuple(header["counts"]),
                header["ngram"],
                *(arrays[name] for name in ("keys", "owners", "openings")),
            )
            whole = loaded.content_hash.encode() == arrays["digest"].tobytes()
        except OSError:
            raise
        except Exception:  # the zip, NumPy, JSON or a field: whichever is damaged, with an error of its own
            whole = False
        if not whole:
            raise ValueError(f"{path}: not evaluation texts as this version saves them, or damaged; make it again")
        return loaded


def _whole(runs: _Runs, *, below: int) -> tuple[Places, Places]:
    """(starts, ends) of the texts that have units, but fewer than so many words."""
    weights = runs.text_weights
    short = np.flatnonzero((weights > 0) & (weights < below * _WORD))
    return runs.first[short], runs.first[short + 1]


def load_eval_texts(paths: tuple[str, ...], *, corpus: bool = False, ngram: int = NGRAM) -> EvalTexts:
    """Read evaluation sets: each path is a folder in BEIR's layout, or a file or glob, on any Beam filesystem.

    A folder is one set, named after itself: its queries, with `corpus` its documents too. A file is one
    set, named after itself without endings; `read_texts` says which forms are known. Sets that would
    share a name are told apart by more of their paths. They are read in bounded memory; at the peak
    there are about 25 bytes for each distinct hash.

    Raises FileNotFoundError for a path that matches nothing; ValueError for a form that is not
    recognised, and for a set without texts.
    """
    _check_ngram(ngram)
    sets = find_eval_sets(paths)
    if not sets:
        raise ValueError("no evaluation sets; expected at least one path")
    if len(sets) > 1 << 16:
        raise ValueError(f"{len(sets):,} evaluation sets; expected at most 65,536: put lists together")
    keys, owners, openings = np.empty(0, np.uint64), np.empty(0, np.uint16), np.empty(0, np.uint64)
    counts: list[int] = []
    for number, one in enumerate(sets):
        count, of_set, opening = _hash_set(one.texts(corpus=corpus), ngram)
        if not count:
            raise ValueError(f"{one.path}: no texts in it; expected at least one: leave it out or fetch it again")
        keys, owners = _merge(keys, owners, of_set, number)
        openings = np.union1d(openings, opening)
        counts.append(count)
    return EvalTexts(tuple(one.name for one in sets), tuple(counts), ngram, keys, owners, openings)


def _merge(keys: Keys, owners: NDArray[np.uint16], of_set: Keys, owner: int) -> tuple[Keys, NDArray[np.uint16]]:
    """Sorted keys and their owners with those of one more set; of equal keys the newcomer stands last."""
    places = np.searchsorted(keys, of_set, "right")
    places += np.arange(len(of_set))
    old = np.ones(len(keys) + len(of_set), np.bool_)
    old[places] = False
    merged, merged_owners = np.empty(len(old), np.uint64), np.full(len(old), owner, np.uint16)
    merged[places] = of_set
    merged[old] = keys
    merged_owners[old] = owners
    return merged, merged_owners


def _hash_set(texts: Iterable[str], ngram: int) -> tuple[int, Keys, Keys]:
    """(number of texts, sorted distinct keys, sorted distinct openings) of a set."""
    count = 0
    keys, openings = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for numbers, block in _blocks(enumerate(filter(None, map(normalise, texts)), 1)):
        made, opened = _eval_keys(block, ngram)
        keys.append(made)
        openings.append(opened)
        count = numbers[-1]
    return count, _distinct(keys), _distinct(openings)


def _eval_keys(texts: Sequence[str], ngram: int) -> tuple[Keys, Keys]:
    """(keys, openings) of normalised evaluation texts, in any order."""
    fingerprints = _fingerprints(texts)
    if not ngram:
        return fingerprints, fingerprints[:0]
    runs = cut_units(texts)
    whole = _whole(runs, below=ngram)
    keys = (fingerprints, runs.hashes(*runs.windows(ngram)), runs.hashes(*whole))
    starts, ends = runs.windows(min(MIN_WORDS, ngram))
    opening = np.isin(starts, whole[0])
    return np.concatenate(keys), runs.hashes(starts[opening], ends[opening])


def _blocks(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[list[int], list[str]]]:
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


def _distinct(arrays: list[Keys]) -> Keys:
    """All values, sorted, each once. Empties the list."""
    values = np.concatenate(arrays)
    arrays.clear()
    values.sort()
    first = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values if first.all() else values[first]
