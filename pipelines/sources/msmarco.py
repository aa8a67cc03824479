"""MS MARCO passage ranking: ids of queries and passages against their texts.

What belongs together comes as triples of ids, as judgements, as lists of hard negatives, or several of
these: all that is known of one query is brought together before negatives are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import DatasetInfo, RecordOptions, RowSource
from pipelines.sources.joins import Grouped, JoinedSource, Part, Text, Wanted, smallest_distinct
from pipelines.sources.records import RecordSource, json_lines, text_lines
from schemas.pair import Pair

_QUERY, _PASSAGE = "query/", "passage/"  # both are numbered from zero


@dataclass(frozen=True)
class NegativesOptions(RecordOptions):
    """What the MS MARCO row takes."""

    negatives: int = 1
    """Most negatives of one (query, positive), chosen by a hash of their ids; 0: pairs alone."""

    def __post_init__(self) -> None:
        if self.negatives < 0:
            raise ValueError(f"negatives is {self.negatives}; expected 0 or more")


def _passage_line(line: Any, dataset: str, options: Any) -> Iterator[Text | str]:
    return _id_and_text(line, _PASSAGE)


def _query_line(line: Any, dataset: str, options: Any) -> Iterator[Text | str]:
    return _id_and_text(line, _QUERY)


def _id_and_text(line: str, kind: str) -> Iterator[Text | str]:
    id_, tab, text = line.partition("\t")
    if tab and id_.strip():
        yield Text(kind + id_.strip(), text.strip())
    elif line.strip():
        yield "wrong_number_of_columns"


def _passage_object(record: Any, dataset: str, options: Any) -> Iterator[Text | str]:
    """A passage as Vespa is fed ({"put", "fields": {"id", "text"}}), as in version 2, or as Anserini has it."""
    fields = record.get("fields", record) if isinstance(record, dict) else None
    if not isinstance(fields, dict):
        yield "not_an_object"
        return
    id_ = next((name for key in ("id", "pid", "_id", "docid") if (name := _id(fields.get(key)))), "")
    text = next((text for key in ("text", "passage", "contents") if isinstance(text := fields.get(key), str)), None)
    if id_ and text is not None:
        yield Text(_PASSAGE + id_, text.strip())
    else:
        yield "missing_field"


def _id(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


# What belongs together: (positive, negative) of a query. Either may be '': a judgement has no negative,
# a negative of a list stands against every positive.


def _id_triple(line: Any, dataset: str, options: Any) -> Iterator[Grouped | str]:
    columns = line.split()
    if len(columns) == 3:
        yield Grouped(columns[0], (columns[1], columns[2]))
    elif columns:
        yield "wrong_number_of_columns"


def _judgement(line: Any, dataset: str, options: Any) -> Iterator[Grouped | str]:
    """query, iteration, passage, relevance."""
    columns = line.split()
    if len(columns) != 4:
        if columns:
            yield "wrong_number_of_columns"
    elif columns[3].isdecimal() and int(columns[3]) > 0:
        yield Grouped(columns[0], (columns[2], ""))
    else:
        yield "not_relevant"


def _negative_line(line: Any, dataset: str, options: Any) -> Iterator[Grouped | str]:
    """query TAB passage passage …, between which there are blanks, tabs or commas."""
    query, *passages = line.replace(",", " ").split() or [""]
    if query and not passages:
        yield "no_negative"
    for passage in passages:
        yield Grouped(query, ("", passage))


def _negative_object(record: Any, dataset: str, options: Any) -> Iterator[Grouped | str]:
    """{"qid", "pos": [ids], "neg": [ids] or {system: [ids]}}; an id may be {"pid": …}."""
    query = _id(record.get("qid")) if isinstance(record, dict) else ""
    if not query:
        yield "missing_field"
        return
    systems = record.get("neg")
    positives = list(_ids(record.get("pos")))
    negatives = [
        id_ for system in (systems.values() if isinstance(systems, dict) else [systems]) for id_ in _ids(system)
    ]
    if not positives and not negatives:
        yield "missing_field"
    for positive in positives:
        yield Grouped(query, (positive, ""))
    for negative in negatives:
        yield Grouped(query, ("", negative))


def _ids(values: Any) -> Iterator[str]:
    for value in values if isinstance(values, list) else ():
        if id_ := _id(value.get("pid") if isinstance(value, dict) else value):
            yield id_


def choose_negatives(query: str, known: Iterable[tuple[str, str]], options: Any) -> Iterator[Wanted | str]:
    """One tuple for each positive of a query, with as many negatives as asked; a positive is never one."""
    positives = {positive for positive, _ in known if positive}
    if not positives:
        yield "no_positive"
    for positive in sorted(positives):
        candidates = (bad for of, bad in known if bad and of in ("", positive) and bad not in positives)
        negatives = smallest_distinct(candidates, options.negatives, f"{query} {positive}")
        yield Wanted((_QUERY + query, *(_PASSAGE + id_ for id_ in (positive, *negatives))))


def make_triple(ids: tuple[str, ...], texts: tuple[str | None, ...], dataset: str, options: Any) -> Pair | str:
    """query → passage, with the negatives whose texts were found."""
    query, positive, *others = texts
    if query is None:
        return "query_missing"
    if positive is None:
        return "passage_missing"
    negatives = tuple(text for text in others if text)
    if options.negatives and not negatives:
        return "negative_missing" if others else "no_negative"
    return Pair(dataset, query, positive, negatives, group=f"msmarco/{ids[0].removeprefix(_QUERY)}")


def text_triple(line: str, dataset: str, options: Any) -> Iterator[Pair | str]:
    """query TAB passage TAB passage that does not answer."""
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) == 3:
        yield Pair(dataset, columns[0], columns[1], (columns[2],))
    elif line.strip():
        yield "wrong_number_of_columns"


_PASSAGES = DatasetInfo(
    name="msmarco-query_passage_negative",
    tuple="query → passage, passage that does not answer",
    licence="MS MARCO terms: non-commercial research",
    citation="Nguyen et al., MS MARCO: A Human Generated MAchine Reading COmprehension Dataset, 2016",
    url="https://microsoft.github.io/msmarco/Datasets.html#passage-ranking-dataset",
    raw="MS MARCO passage files: collection.tsv, queries.train.tsv and qidpidtriples.train.full.2.tsv, or "
    "qrels.train.tsv with *negatives*.jsonl or .tsv",
    published=9_144_553,
    weight=247,
)

ROWS: tuple[RowSource, ...] = (
    JoinedSource(
        _PASSAGES,
        parts=(
            Part("passages", "*collection*.tsv", text_lines, _passage_line),
            Part("passages", "*passages*.json*", json_lines, _passage_object),
            Part("queries", "*queries*.tsv", text_lines, _query_line),
            Part("triples", "*qidpidtriples*", text_lines, _id_triple),
            Part("triples", "*qrels*", text_lines, _judgement),
            Part("triples", "*negatives*.tsv", text_lines, _negative_line),
            Part("triples", "*negatives*.json*", json_lines, _negative_object),
        ),
        make=make_triple,
        needs=("passages", "queries", "triples"),
        choose=choose_negatives,
        settings=NegativesOptions(),
    ),
    RecordSource(
        _PASSAGES._replace(
            name="msmarco_text_triples",
            raw="MS MARCO triples as text (triples.train.small.tsv, or its tar)",
            published=None,
            weight=None,
        ),
        text_lines,
        text_triple,
        members="*triples*.tsv",
    ),
)
