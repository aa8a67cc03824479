"""Joined sources: texts stand in one file, what belongs together in another, and Beam brings them together.

A row of the catalogue is a set of parts, each with a reader and a function from a record to

- `Text`: an id's text;
- `Wanted`: a tuple of ids whose texts make a pair;
- `Grouped`: something that must first meet all else of its key (`JoinedSource.choose`);
- `str`: the reason why the record gives no pair.

The stages: parts are read, groups choose, ids answer with their texts, tuples of texts become pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest

from pipelines.files import InputFile
from pipelines.filters.degenerate import empty_text, same_text
from pipelines.filters.rule import Filter
from pipelines.funnel import BadFile, Drop, Keyed, Read
from pipelines.sources.base import DatasetInfo, RowSource, Stage
from pipelines.sources.records import Reader, RecordSource, read_records
from schemas.pair import Pair, normalise

_ARCHIVE = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2?|zip|7z)$")
_COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst)$")


class Text(NamedTuple):
    """The text of an id. An empty text says that the id is known and has none."""

    id: str
    text: str


class Wanted(NamedTuple):
    """Ids whose texts make one pair; together they are its identity."""

    ids: tuple[str, ...]
    texts: tuple[str | None, ...] = ()
    """Texts that are known already, by place; None or nothing: to be looked up."""


class Grouped(NamedTuple):
    """A value for `JoinedSource.choose`, with the key it is grouped by."""

    key: str
    value: Any


Joinable = Text | Wanted | Grouped | str
Choose = Callable[[str, Iterable[Any], Any], Iterator[Joinable]]
"""(key, values, options) → texts and wanted tuples, or reasons; the values may be walked again."""
Make = Callable[[tuple[str, ...], tuple[str | None, ...], str, Any], Pair | str]
"""(ids, their texts or None, dataset, options) → the pair, or the reason why there is none."""


class Part(NamedTuple):
    """One of the files that a joined source reads, known by its name."""

    role: str
    name: str
    """Pattern of its name, compression left aside: `*collection*.tsv`."""
    read: Reader
    records: Callable[[Any, str, Any], Iterator[Joinable]]
    """(record, dataset, options) → what it gives to the join."""


@dataclass(frozen=True)
class JoinedSource(RowSource):
    """A row of the catalogue whose pairs stand in several files."""

    parts: tuple[Part, ...]
    """The first whose name fits a file reads it."""
    make: Make
    needs: tuple[str, ...]
    """Roles without which there is no pair."""
    choose: Choose | None = None

    @property
    def filters(self) -> tuple[Filter, ...]:
        return empty_text, same_text, false_negative

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        """The raw files. Raises FileNotFoundError where a file's part cannot be told, or a part is not given."""
        files = self.match_inputs(inputs)
        names = ", ".join(part.name for part in self.parts)
        if unknown := [file.path for file in files if not self.parts_of(file.path)]:
            raise FileNotFoundError(
                f"{unknown[0]}: what it is to {self.info.name} is told by its name; expected {names}"
            )
        given = {self.parts[number].role for file in files for number in self.parts_of(file.path)}
        if missing := [role for role in self.needs if role not in given]:
            raise FileNotFoundError(f"{self.info.name} also needs its {' and '.join(missing)}; expected files {names}")
        return files

    def parts_of(self, path: str) -> list[int]:
        """Numbers of the parts that a file holds: one by its name; of an archive, whose members tell, all."""
        if _ARCHIVE.search(path):
            return list(range(len(self.parts)))
        name = _COMPRESSED.sub("", re.split(r"[/\\]", path)[-1])
        return [number for number, part in enumerate(self.parts) if fnmatchcase(name, part.name)][:1]

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        return (
            partial(read_parts, source=self, dataset=dataset),
            partial(choose_in_group, source=self, dataset=dataset),
            answer,
            partial(make_pair, source=self, dataset=dataset),
        )


_CHOOSE, _ANSWER, _MAKE = 1, 2, 3
"""Numbers of the stages that values go to."""


def false_negative(pair: Pair) -> str | None:
    """A negative that equals anchor or positive once normalised."""
    taken = {normalise(pair.anchor), normalise(pair.positive)} if pair.negatives else ()
    return "negative_is_positive" if any(normalise(text) in taken for text in pair.negatives) else None


def read_parts(path: str, source: JoinedSource, dataset: str) -> Iterator[Any]:
    """What each part that a file holds gives to the join."""
    for number in source.parts_of(path):
        for outcome in read_part((path, number), source, dataset):
            yield from route(outcome)


def route(outcome: Any) -> Iterator[Any]:
    """Texts and wanted tuples as values for the stages where they meet; anything else as it is."""
    match outcome:
        case Grouped(key, value):
            yield Keyed(key, value, _CHOOSE)
        case Text(id_, text):
            yield Keyed(id_, (-1, text, ""), _ANSWER)
        case Wanted():
            yield from ask(outcome)
        case _:
            yield outcome


def read_part(element: tuple[str, int], source: JoinedSource, dataset: str) -> Iterator[Any]:
    """What one part of one file gives. Tuples and reasons count as read; texts and choices do not yet."""
    path, number = element
    part = source.parts[number]
    members = part.name if _ARCHIVE.search(path) else "*"
    records: Any = part.records  # what it gives passes through as a pair would
    row = RecordSource(source.info, part.read, records, settings=source.settings, members=members)
    outcomes: Iterator[Any] = read_records(path, row, dataset)
    for read in outcomes:
        if isinstance(read, BadFile):
            yield read
            continue
        outcome = next(outcomes)  # each Read announces one
        if not isinstance(outcome, Text | Grouped):
            yield read
        yield outcome


def choose_in_group(element: tuple[str, Iterable[Any]], source: JoinedSource, dataset: str) -> Iterator[Any]:
    """The source's choice among all values of a key, counted as read."""
    key, values = element
    values = [tuple(value) if isinstance(value, list) else value for value in values]
    for outcome in source.choose(key, values, source.settings) if source.choose else ():
        if not isinstance(outcome, Text):
            yield Read(dataset)
        if isinstance(outcome, str):
            yield Drop(dataset, "pair", outcome)
        else:
            yield from route(outcome)


def _places(wanted: Wanted) -> Iterator[tuple[int, str, str | None]]:
    ids, texts = wanted
    for place, id_ in enumerate(ids):
        yield place, id_, texts[place] if place < len(texts) else None


def ask(wanted: Wanted) -> Iterator[Keyed]:
    """A question for each place without a text, and the texts that are there."""
    key = json.dumps(wanted.ids)
    for place, id_, text in _places(wanted):
        yield Keyed(id_, (place, "", key), _ANSWER) if text is None else Keyed(key, (place, text), _MAKE)


def answer(element: tuple[str, Iterable[tuple[int, str, str]]]) -> Iterator[Keyed]:
    """Each question about one id with the id's text; of several texts the one that no order decides."""
    _, values = element
    found: str | None = None
    for place, text, _ in values:
        if place < 0:
            found = _better(found, text)
    for place, _, key in values:
        if place >= 0:
            yield Keyed(key, (place, found), _MAKE)


def _better(text: str | None, other: str | None) -> str | None:
    """A text beats an empty one, an empty one beats none; of two texts the smaller."""
    return min(text, other, key=lambda one: (one is None, not one, one or ""))


def make_pair(
    element: tuple[str, Iterable[tuple[int, str | None]]], source: JoinedSource, dataset: str
) -> Iterator[Pair | Drop]:
    """The pair of one tuple of ids, however often it was wanted."""
    key, answers = element
    ids = tuple(json.loads(key))
    texts: list[str | None] = [None] * len(ids)
    copies = 0
    for place, text in answers:
        copies += place == 0
        texts[place] = _better(texts[place], text)
    if copies > 1:
        yield Drop(dataset, "pair", "repeated_tuple", copies - 1)
    outcome = source.make(ids, tuple(texts), dataset, source.settings)
    yield Drop(dataset, "pair", outcome) if isinstance(outcome, str) else outcome


def smallest_distinct(items: Iterable[str], most: int, salt: str) -> list[str]:
    """At most `most` of the items, spread by a hash: one choice, whatever order or copies they come in."""
    kept: dict[str, tuple[int, str]] = {}
    for item in items:
        if item in kept or not most:
            continue
        rank = xxh3_64_intdigest(f"{salt}\0{item}".encode()), item
        if len(kept) < most:
            kept[item] = rank
        elif rank < (worst := max(kept.values())):
            del kept[worst[1]]
            kept[item] = rank
    return sorted(kept, key=kept.__getitem__)
