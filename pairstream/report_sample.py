"""What a report learns from records: a fair sample of a dataset, and the pairs that its job set aside.

Shards hold the corpus in a shuffled order, so the first records of every shard, in proportion to the
shard's size, are a fair sample, and reading it costs the same for a thousand pairs as for a billion.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from schemas.example import decode_pair, reason_of
from schemas.manifest import HISTOGRAM_EDGES, LocatedShard
from schemas.pair import Fingerprints, Pair
from schemas.shards import read_shard

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EXAMPLES_KEPT, EXAMPLES_A_REASON, FREQUENT_TEXTS = 8, 4, 20
EXCERPT = 10_000
"""Characters of a text that a report keeps."""
WORD_EDGES = (0, *(1 << n for n in range(1, 12)))
"""Lower edges of the histograms in words and in tokens."""
_BATCH = 256


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a text."""

    role: str
    """anchor, positive, negative, context …"""
    text: str
    characters: int
    """Of the whole text."""


Example = tuple[Excerpt, ...]


@dataclass(frozen=True)
class Histogram:
    """Texts in bins of length; the last bin is open."""

    edges: tuple[int, ...]
    counts: dict[str, tuple[int, ...]]
    """role → texts in each bin."""


@dataclass(frozen=True)
class Quantiles:
    """Lengths of the sample's texts: half of them, 90% and 99% are no longer than this."""

    median: int
    p90: int
    p99: int
    longest: int


@dataclass(frozen=True)
class Lengths:
    """The sample's lengths in one unit, by role."""

    quantiles: dict[str, Quantiles]
    histogram: Histogram


@dataclass(frozen=True)
class FrequentText:
    """A text that stands more than once in the sample; texts that differ in case or white space count as one."""

    text: Excerpt
    count: int
    roles: dict[str, int]


@dataclass(frozen=True)
class Sample:
    """What some of a dataset's records show."""

    records: int = 0
    lengths: dict[str, Lengths] = field(default_factory=dict)
    """By unit: characters, words (between white space), and tokens where a tokenizer was given."""
    frequent: tuple[FrequentText, ...] = ()
    scripts: dict[str, int] = field(default_factory=dict)
    """Letters of each script, most first."""
    examples: tuple[Example, ...] = ()


Dropped = dict[str, dict[str, list[Example]]]
"""Stage → reason → examples."""


def measure(shards: Sequence[LocatedShard], limit: int, tokenizer: Tokenizer | None) -> Sample:
    """One walk over a sample of `limit` records, in memory of its lengths and the beginnings of its texts.

    Raises ValueError, naming shard and record, for damage on the way.
    """
    count = min(limit, sum(found.shard.records for found in shards))
    shown = {n * count // EXAMPLES_KEPT for n in range(EXAMPLES_KEPT)}
    lengths: dict[str, dict[str, list[int]]] = {"characters": {}, "words": {}} | ({"tokens": {}} if tokenizer else {})
    appearances: dict[int, tuple[Excerpt, Counter[str]]] = {}
    characters: Counter[str] = Counter()
    examples: list[Example] = []
    pairs = enumerate(_sampled(shards, count))
    while batch := list(islice(pairs, _BATCH)):
        by_role: dict[str, list[str]] = {}
        for number, (pair, prints) in batch:
            for role, text, print_ in zip(_roles(pair), pair.texts, prints.texts, strict=True):
                by_role.setdefault(role, []).append(text)
                if print_ not in appearances:
                    folded = " ".join(text.split())
                    appearances[print_] = (Excerpt("", folded[:400], len(folded)), Counter())
                appearances[print_][1][role] += 1
                characters.update(text)
            if number in shown:
                examples.append(_example_of(pair))
        for role, texts in by_role.items():
            lengths["characters"].setdefault(role, []).extend(map(len, texts))
            lengths["words"].setdefault(role, []).extend(len(text.split()) for text in texts)
            if tokenizer:
                encoded = tokenizer.encode_batch_fast(texts)
                lengths["tokens"].setdefault(role, []).extend(len(found.ids) for found in encoded)
    return Sample(
        records=count,
        lengths={
            unit: _lengths(by_role, HISTOGRAM_EDGES if unit == "characters" else WORD_EDGES)
            for unit, by_role in lengths.items()
        },
        frequent=_frequent(appearances.values()),
        scripts=_scripts(characters),
        examples=tuple(examples),
    )


def _sampled(shards: Sequence[LocatedShard], count: int) -> Iterator[tuple[Pair, Fingerprints]]:
    """`count` records, each shard giving its first in proportion to what it holds."""
    total = sum(found.shard.records for found in shards) or 1
    before = taken = 0
    for path, shard in shards:
        before += shard.records
        quota = before * count // total - taken
        taken += quota
        if not quota:
            continue
        number = -1
        for number, record in enumerate(islice(read_shard(path), quota)):
            yield _decode(record, path, number)
        if number + 1 < quota:
            raise ValueError(f"{path}: {number + 1} records; expected {shard.records}; make the dataset again")


def _decode(record: bytes, path: str | Path, number: int) -> tuple[Pair, Fingerprints]:
    try:
        return decode_pair(record)
    except ValueError as error:
        raise ValueError(f"{path}: record {number}: {error}; make the dataset again") from None


def _roles(pair: Pair) -> tuple[str, ...]:
    return ("anchor", "positive", *("negative" for _ in pair.negatives))


def _lengths(by_role: Mapping[str, list[int]], edges: tuple[int, ...]) -> Lengths:
    quantiles, counts = {}, {}
    for role, lengths in by_role.items():
        found = np.quantile(lengths, (0.5, 0.9, 0.99, 1), method="inverted_cdf")
        quantiles[role] = Quantiles(*(int(length) for length in found))
        counts[role] = tuple(np.histogram(lengths, [*edges, np.inf])[0].tolist())
    return Lengths(quantiles, Histogram(edges, counts))


def _frequent(appearances: Iterable[tuple[Excerpt, Counter[str]]]) -> tuple[FrequentText, ...]:
    several = ((roles.total(), text, roles) for text, roles in appearances if roles.total() > 1)
    most = sorted(several, key=lambda row: (-row[0], row[1].text))[:FREQUENT_TEXTS]
    return tuple(FrequentText(text, count, dict(roles)) for count, text, roles in most)


def most_first(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts in falling order; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _scripts(characters: Counter[str]) -> dict[str, int]:
    letters: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            letters[_script(character)] += count
    return most_first(letters)


_SCRIPT_NAMES = (
    "Latin Greek Cyrillic Armenian Hebrew Arabic Syriac Thaana Devanagari Bengali Gurmukhi Gujarati Oriya Tamil "
    "Telugu Kannada Malayalam Sinhala Thai Lao Tibetan Myanmar Georgian Hangul Ethiopic Khmer Mongolian Hiragana "
    "Katakana Bopomofo"
)
_SCRIPTS = {"CJK": "Han"} | {name.upper(): name for name in _SCRIPT_NAMES.split(" ")}
"""The first word of a letter's Unicode name → its script; all else is "other"."""


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The script, as the character's Unicode name tells it."""
    words = unicodedata.name(letter, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split(" ", 1)
    return _SCRIPTS.get(words[0], "other")


def read_rejects(folder: Path, limit: int) -> dict[str, Dropped]:
    """Dataset → examples of the pairs that a job set aside, from the first records of evenly spread shards.

    Raises FileNotFoundError where there is no shard, ValueError for a damaged record or one without a reason.
    """
    shards = sorted(folder.rglob("*.tfrecord"))
    if not shards:
        raise FileNotFoundError(f"{folder}: no shards here or below; expected what --keep-rejects DIR wrote")
    chosen = [shards[n * len(shards) // min(limit, len(shards))] for n in range(min(limit, len(shards)))]
    found: dict[str, Dropped] = {}
    for shard in chosen:
        for number, record in enumerate(islice(read_shard(shard), limit // len(chosen))):
            pair, _ = _decode(record, shard, number)
            stage, slash, reason = reason_of(record).partition("/")
            if not slash:
                raise ValueError(f"{shard}: record {number} has no reason; expected what --keep-rejects DIR wrote")
            examples = found.setdefault(pair.dataset, {}).setdefault(stage, {}).setdefault(reason, [])
            if len(examples) < EXAMPLES_A_REASON:
                examples.append(_example_of(pair))
    return found


def _example_of(pair: Pair) -> Example:
    texts = zip(_roles(pair), pair.texts, strict=True)
    return (*(excerpt(*found) for found in texts), *(excerpt("context", text) for text in pair.contexts))


def excerpt(role: str, text: str) -> Excerpt:
    """The part of a text that a report keeps."""
    return Excerpt(role, text[:EXCERPT], len(text))
