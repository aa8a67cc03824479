"""What a stage's generator yields, and counting as data.

A record becomes a pair, a value for a later stage, or a `Drop` with its reason; the counts that a
manifest states travel through the pipeline and are summed by key. Beam's own counters over-count when
a bundle is retried, so they are for looking.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from schemas.manifest import Stage
from schemas.pair import Pair, text_hash

STAGES = ("read", "pair", "filter", "decontaminate", "dedup", "cap", "split")
"""The funnel's stages, in order."""
ORIGIN = "origin"
SAMPLES = 3
SAMPLE_CHARACTERS = 400


class Read(NamedTuple):
    """Raw records taken in for a dataset."""

    dataset: str
    records: int = 1


class Drop(NamedTuple):
    """Records that end here, and why."""

    dataset: str
    stage: str
    reason: str
    records: int = 1
    texts: tuple[str, ...] = ()
    """What can be shown and kept aside: anchor, positive and negatives of the pair that was not to be, or a raw
    record."""
    group: str = ""


class Origin(NamedTuple):
    """Where pairs of a dataset come from, for its statistics: a subreddit, a site."""

    dataset: str
    kind: str
    name: str
    pairs: int = 1


class Keyed(NamedTuple):
    """A value for a later stage, which is given all values of a key at once."""

    key: str
    value: Any
    """Made of what JSON has; tuples arrive as lists."""
    stage: int | None = None
    """Number of the stage among the source's; None: the next."""


class KeyedBlock(NamedTuple):
    """Many values for the next stage."""

    values: list[tuple[str, Any]]
    bytes: int
    """About how much memory they take, as text."""


class BadFile(NamedTuple):
    """An input that cannot be read to its end. It fails the job once all inputs were tried."""

    message: str


Outcome = Pair | Keyed | KeyedBlock | Read | Drop | Origin | BadFile
Tally = tuple[tuple[str, str, str], int]
"""((dataset, stage, reason), records); the raw records read have the stage and reason ''."""
Sample = tuple[tuple[str, str, str], list[tuple[int, tuple[str, ...]]]]
"""((dataset, stage, reason), [(rank, texts)]): a few of the dropped texts, those of the lowest ranks."""


class Tallies:
    """The counts and samples of one piece of work."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._samples: dict[tuple[str, str, str], list[tuple[int, tuple[str, ...]]]] = {}

    def read(self, read: Read) -> None:
        self.counts[read.dataset, "", ""] += read.records

    def come_from(self, origin: Origin) -> None:
        self.counts[origin.dataset, f"{ORIGIN}/{origin.kind}", origin.name] += origin.pairs

    def drop(self, drop: Drop) -> None:
        dataset, stage, reason, records, texts, _ = drop
        key = (dataset, stage, reason)
        self.counts[key] += records
        if texts:
            # By a hash of the text: the same samples whatever the order of the work.
            rank = text_hash(texts[-1])
            kept = self._samples.get(key)
            if kept is None or len(kept) < SAMPLES or rank <= kept[-1][0]:
                self._samples[key] = smallest_samples([kept or [], [(rank, shown(texts))]])

    def to_data(self) -> tuple[list[Tally], list[Sample]]:
        return sorted(self.counts.items()), sorted(self._samples.items())


def shown(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts as a sample shows them: cut, and without what UTF-8 cannot write."""
    return tuple(text[:SAMPLE_CHARACTERS].encode(errors="replace").decode() for text in texts)


def smallest_samples(several: Iterable[Iterable[Any]]) -> list[tuple[int, tuple[str, ...]]]:
    """The SAMPLES distinct samples of the lowest ranks."""
    distinct = {(rank, tuple(texts)) for samples in several for rank, texts in samples}
    return heapq.nsmallest(SAMPLES, distinct)


def build_funnel(dataset: str, tallies: Mapping[tuple[str, str, str], int]) -> tuple[int, tuple[Stage, ...]]:
    """(records read, the stages in order) of one dataset."""
    read = left = tallies.get((dataset, "", ""), 0)
    drops: dict[str, dict[str, int]] = {name: {} for name in STAGES}
    for (of, stage, reason), records in sorted(tallies.items()):
        if of == dataset and stage in drops:
            drops[stage][reason] = records
    stages = []
    for name in STAGES:
        left -= sum(drops[name].values())
        stages.append(Stage(name, left, drops[name]))
    return read, tuple(stages)


def origins_of(dataset: str, tallies: Mapping[tuple[str, str, str], int], most: int = 300) -> dict[str, dict[str, int]]:
    """Pairs by where they come from: kind → name → pairs, the most frequent first, the others together under ''."""
    kinds: dict[str, list[tuple[int, str]]] = {}
    for (of, stage, name), pairs in tallies.items():
        if of == dataset and stage.startswith(f"{ORIGIN}/"):
            kinds.setdefault(stage.removeprefix(f"{ORIGIN}/"), []).append((-pairs, name))
    return {
        kind: {
            **{name: -negative for negative, name in sorted(found)[:most]},
            **({"": -sum(negative for negative, _ in sorted(found)[most:])} if len(found) > most else {}),
        }
        for kind, found in sorted(kinds.items())
    }
