"""Decontamination: evaluation texts as sorted hashes, and which training pairs hold one of them.

**What counts as the same.** Texts are normalised (`schemas.pair.normalise`) and cut into words; what lies between
words is ignored. `word_runs` says what a word is, in scripts with and without spaces.

**What is found.** A training text matches an evaluation text when

- their normalised texts are equal; or
- the two share a run of `ngram` words (13), whatever surrounds it on either side; or
- the evaluation text is shorter than that, has at least `MIN_WORDS` (8), and stands whole in the
  training text; or
- it has fewer, and both texts have the same words and no others (the punctuation may differ).

So case, white space, Unicode form and punctuation do not hide a text, and a changed, added or missing
word hides only the runs that it stands in. Not found: paraphrases and translations, a short text within
a longer one, and two texts that share fewer words in a row. Runs are compared by 64-bit hashes:
among a billion of them a clean text of 100 words matches by chance once in a hundred million texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from pipelines.eval_sets import find_eval_sets
from pipelines.files import open_raw
from pipelines.hash_arrays import HashSet, Keys, Places, distinct_keys, merge_owned
from pipelines.word_runs import WORD, WordRuns, cut_units, text_blocks
from schemas.pair import Pair, normalise

NGRAM = 13
MIN_WORDS = 8
"""An evaluation text of fewer words is too common to be looked for within longer texts."""
FORMAT = 1
"""Of the saved file, and of the rules by which texts become hashes."""


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
        for numbers, block in text_blocks(texts):
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
                runs.whole(below=min(MIN_WORDS, self.ngram)),
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

    def _opened(self, runs: WordRuns) -> tuple[Places, Places]:
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
            short = runs.weights[ends] - runs.weights[starts] < self.ngram * WORD
            starts, ends, last = starts[short], ends[short], last[short]
        return np.concatenate([begin for begin, _ in found]), np.concatenate([end for _, end in found])

    @cached_property
    def _index(self) -> HashSet:
        return HashSet(self.keys)

    @cached_property
    def _opening_index(self) -> HashSet:
        return HashSet(self.openings)

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
        keys, owners = merge_owned(keys, owners, of_set, number)
        openings = np.union1d(openings, opening)
        counts.append(count)
    return EvalTexts(tuple(one.name for one in sets), tuple(counts), ngram, keys, owners, openings)


def _hash_set(texts: Iterable[str], ngram: int) -> tuple[int, Keys, Keys]:
    """(number of texts, sorted distinct keys, sorted distinct openings) of a set."""
    count = 0
    keys, openings = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for numbers, block in text_blocks(enumerate(filter(None, map(normalise, texts)), 1)):
        made, opened = _eval_keys(block, ngram)
        keys.append(made)
        openings.append(opened)
        count = numbers[-1]
    return count, distinct_keys(keys), distinct_keys(openings)


def _eval_keys(texts: Sequence[str], ngram: int) -> tuple[Keys, Keys]:
    """(keys, openings) of normalised evaluation texts, in any order."""
    fingerprints = _fingerprints(texts)
    if not ngram:
        return fingerprints, fingerprints[:0]
    runs = cut_units(texts)
    whole = runs.whole(below=ngram)
    keys = (fingerprints, runs.hashes(*runs.windows(ngram)), runs.hashes(*whole))
    starts, ends = runs.windows(min(MIN_WORDS, ngram))
    opening = np.isin(starts, whole[0])
    return np.concatenate(keys), runs.hashes(starts[opening], ends[opening])


def _fingerprints(texts: Sequence[str]) -> Keys:
    """uint64[texts]: `schemas.pair.text_fingerprint` of texts that are normalised already."""
    hashes = (xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.fromiter(hashes, np.uint64, len(texts))
