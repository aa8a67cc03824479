"""Sets become pairs: captions of one image, questions that ask the same.

A set of k texts has k(k-1)/2 pairs. `set_pairs` says which of them are used; `GroupedSets` is the
source of corpora whose sets lie scattered over records, and gathers them in Beam.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import xxhash

from pipelines.funnel import Drop, Keyed, Read
from pipelines.sources.base import DatasetInfo, RecordOptions, Stage
from pipelines.sources.records import RecordSource, read_records
from schemas.pair import Pair, normalise

MAX_TEXTS = 512
"""Of a larger set only this many texts are looked at, so that its pairs can be ranked in a moment."""

Member = tuple[str, Any]
"""(set name, what the set's record says of itself), equal and ordered as JSON values are."""


@dataclass(frozen=True)
class SetOptions(RecordOptions):
    """What sources of sets take."""

    set_pairs: int | None = 10
    """How many pairs a set of k texts yields at most; None: all k(k-1)/2."""

    def __post_init__(self) -> None:
        if self.set_pairs is not None and self.set_pairs < 1:
            raise ValueError(f"set_pairs is {self.set_pairs}; expected at least 1, or None for all")


def set_pairs(
    texts: Iterable[str], *, dataset: str, group: str, cluster: str | None, most: int | None
) -> Iterator[Pair | str]:
    """At most `most` pairs of a set's texts, or `set_of_one`; None: all pairs.

    Texts that are equal once normalised count as one, empty ones do not count. The texts are ordered
    by a hash, and so are the pairs: the first `most` are taken, and the anchor is the text that comes
    first. The order in which the texts come never shows. Of a set of more than MAX_TEXTS texts the
    first MAX_TEXTS (or `most` + 1, if that is more) are looked at, unless all pairs are wanted.
    """
    ordered = ordered_texts(texts, None if most is None else max(MAX_TEXTS, most + 1))
    if len(ordered) < 2:
        yield "set_of_one"
        return
    pairs: Iterable[tuple[str, str]] = itertools.combinations(ordered, 2)
    if most is not None:
        pairs = heapq.nsmallest(most, pairs, key=lambda pair: (_rank("\0".join(pair)), pair))
    for anchor, positive in pairs:
        yield Pair(dataset, anchor, positive, group=group, cluster=cluster)


def ordered_texts(texts: Iterable[str], most: int | None = None) -> list[str]:
    """The first `most` texts by hash, stripped, none empty; of those equal once normalised the smallest stands."""
    distinct: dict[str, str] = {}
    for text in sorted(stripped for text in texts if (stripped := text.strip())):
        distinct.setdefault(normalise(text), text)
    ranked = ((_rank(normalised), text) for normalised, text in distinct.items())
    return [text for _, text in (sorted(ranked) if most is None else heapq.nsmallest(most, ranked))]


def _rank(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def same_meaning(record: tuple[str, list[str]], dataset: str, options: SetOptions) -> Iterator[Pair | str]:
    """The pairs of a (name, texts) whose texts all mean the same: the name is group and cluster."""
    name, texts = record
    return set_pairs(texts, dataset=dataset, group=name, cluster=name, most=options.set_pairs)


@dataclass(frozen=True)
class GroupedSets(RecordSource):
    """Records that each belong to a named set; a set's pairs are made of all its records.

    `member` gives a record's (set name, value), or the reason why it joins no set; `pairs` is given
    (set name, distinct values, sorted). A record without a set counts once, with its reason; a set
    counts once for each pair it gives, or once with its reason. A set's values must fit in memory.
    """

    member: Callable[[Any], Member | str] = dataclasses.field(kw_only=True)

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        # set name → value of a record; then set name → pairs.
        return partial(read_members, source=self, dataset=dataset), partial(pair_set, source=self, dataset=dataset)


def read_members(path: str, source: GroupedSets, dataset: str) -> Iterator[Any]:
    """set name → value, of each record of an input that joins a set."""
    reader: Any = dataclasses.replace(source, pairs=lambda record, *_: iter((source.member(record),)))
    outcomes: Iterator[Any] = read_records(path, reader, dataset)
    for outcome in outcomes:
        if isinstance(outcome, Drop):
            yield Read(dataset)
        if not isinstance(outcome, Read):  # members are counted as pairs of their set
            yield Keyed(*outcome) if type(outcome) is tuple else outcome


def pair_set(element: tuple[str, Iterable[Any]], source: GroupedSets, dataset: str) -> Iterator[Pair | Read | Drop]:
    """The pairs of one set, whatever the order of its values."""
    name, values = element
    distinct = {tuple(value) if isinstance(value, list) else value for value in values}
    for outcome in source.pairs((name, sorted(distinct)), dataset, source.settings):
        yield Read(dataset)
        yield Drop(dataset, "pair", outcome) if isinstance(outcome, str) else outcome
