"""Scientific papers: title with abstract, and papers with what they cite (S2ORC, SPECTER).

S2ORC's metadata shards hold each paper with the ids it cites; the Semantic Scholar API and its datasets
give the same under other names, with citations in files of their own. A record says itself which it is.
SPECTER's triples are ids against `metadata.json`, or texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import DatasetInfo
from pipelines.sources.joins import JoinedSource, Part, Text, Wanted, smallest_distinct
from pipelines.sources.records import Delimited, JsonMembers, RecordSource, json_lines
from schemas.pair import Pair, text_fingerprint

_PAPER_ID = ("paper_id", "corpusid", "corpusId", "paperId", "corpus_id")
_CITATION_LISTS = ("outbound_citations", "references")
_ID = re.compile(r"[0-9a-f]{40}|[0-9]+")
"""A Semantic Scholar id; every other text is a title."""
_DIRECT, _INDIRECT = 5, 1
"""What SPECTER's co-citation graph counts for a paper that is cited, and for one cited by a cited paper."""


def title_abstract(record: Any, dataset: str, options: Any) -> Iterator[Pair | str]:
    """title → abstract of one paper."""
    paper = paper_id(record)
    if not paper:
        yield "no_paper_id"
    elif not (title := _text(record, "title")):
        yield "no_title"
    elif not (abstract := _text(record, "abstract")):
        yield "no_abstract"
    else:
        yield Pair(dataset, title, abstract, group=f"s2orc/{paper}")


def paper_id(record: Any) -> str:
    """The id under any of its names; '' where there is none."""
    if not isinstance(record, dict):
        return ""
    return next((name for key in _PAPER_ID if (name := _plain_id(record.get(key)))), "")


def _plain_id(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _text(record: dict[str, Any], field: str) -> str:
    value = record.get(field)
    return value.strip() if isinstance(value, str) else ""


@dataclass(frozen=True)
class _Citations:
    """The citation pairs of one field of the papers."""

    field: str

    def records(self, record: Any, dataset: str, options: Any) -> Iterator[Text | Wanted | str]:
        """A paper's text and the papers it cites; or one citation."""
        if isinstance(record, dict) and "citingcorpusid" in record:
            citing, cited = _plain_id(record["citingcorpusid"]), _plain_id(record.get("citedcorpusid"))
            # Where the dump could not resolve the cited paper, its id is null.
            yield Wanted((citing, cited)) if citing and cited else "no_paper_id"
            return
        if not (paper := paper_id(record)):
            yield "no_paper_id"
            return
        text = _text(record, self.field)
        yield Text(paper, text)
        # Abstracts of their own (the datasets' `abstracts` files) may come later, so a field that is absent
        # is looked up, one that is empty is not.
        known = text if self.field in record else None
        for cited in next((found for key in _CITATION_LISTS if isinstance(found := record.get(key), list)), ()):
            cited_id = paper_id(cited) or _plain_id(cited)
            if not cited_id:
                yield "no_paper_id"
            elif known == "":
                yield f"no_{self.field}"
            else:
                yield Wanted((paper, cited_id), (known,))

    def make(self, ids: tuple[str, ...], texts: tuple[str | None, ...], dataset: str, options: Any) -> Pair | str:
        """citing → cited."""
        for side, text in zip(("citing", "cited"), texts, strict=True):
            if text is None:
                return f"{side}_paper_missing"
            if not text:
                return f"no_{self.field}"
        citing, cited = texts
        return Pair(dataset, citing or "", cited or "", group=f"s2orc/{ids[0]}")


def _triple(record: Any, dataset: str, options: Any) -> Iterator[Wanted | str]:
    """A SPECTER triple: three columns, a list, or an object, each of ids, titles or papers."""
    sides = record
    if isinstance(record, dict):
        names = (("query", "anchor"), ("pos", "positive"), ("neg", "negative"))
        sides = [
            next((record[key] for name in either for key in (name, f"{name}_id") if key in record), None)
            for either in names
        ]
    if not isinstance(sides, list) or len(sides) != 3:
        yield "wrong_number_of_columns"
    elif None in (places := [_side(side) for side in sides]):
        yield "missing_field"
    else:
        yield Wanted(*(tuple(column) for column in zip(*filter(None, places), strict=True)))


def _side(value: Any) -> tuple[str, str | None] | None:
    """(id, title or None) of one side; None where there is neither."""
    if isinstance(value, dict):
        title = _text(value, "title")
        name = paper_id(value) or (f"{text_fingerprint(title):016x}" if title else "")
        return (name, title or None) if name else None
    text = _plain_id(value)
    if not text:
        return None
    return (text, None) if _ID.fullmatch(text) else (f"title {text_fingerprint(text):016x}", text)


def _neighbours(record: Any, dataset: str, options: Any) -> Iterator[Wanted | str]:
    """A paper of SPECTER's co-citation graph: each paper it cites, against one that only those cite."""
    paper, others = record
    if not isinstance(others, dict):
        yield "not_an_object"
        return
    counts = {other: entry.get("count") if isinstance(entry, dict) else entry for other, entry in others.items()}
    cited = [other for other, count in counts.items() if count == _DIRECT]
    far = [other for other, count in counts.items() if count == _INDIRECT]
    if not cited or not far:
        yield "no_negative" if cited else "no_citation"
    for other in cited if far else ():
        yield Wanted((paper, other, *smallest_distinct(far, 1, f"{paper} {other}")))


def _metadata(record: Any, dataset: str, options: Any) -> Iterator[Text | str]:
    """A paper of `metadata.json`, which names it by its key, or of metadata lines."""
    key, paper = record if isinstance(record, tuple) else (paper_id(record), record)
    if not key or not isinstance(paper, dict):
        yield "no_paper_id"
    else:
        yield Text(key, _text(paper, "title"))


def _make_triple(ids: tuple[str, ...], texts: tuple[str | None, ...], dataset: str, options: Any) -> Pair | str:
    for side, text in zip(("paper", "cited_paper", "negative_paper"), texts, strict=True):
        if text is None:
            return f"{side}_missing"
        if not text:
            return "no_title"
    title, cited, other = (text or "" for text in texts)
    return Pair(dataset, title, cited, negatives=(other,), group=f"specter/{ids[0]}")


def _s2orc(name: str, tuple_: str, published: int) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        tuple=tuple_,
        licence="ODC-By 1.0",
        citation="Lo et al., S2ORC: The Semantic Scholar Open Research Corpus, 2020",
        url="https://github.com/allenai/s2orc",
        raw="S2ORC metadata as JSON lines (metadata_0.jsonl.gz …), or Semantic Scholar's papers and citations",
        published=published,
        weight=123,
    )


def _citations(name: str, tuple_: str, field: str, published: int) -> JoinedSource:
    rule = _Citations(field)
    part = Part("papers", "*", json_lines, rule.records)
    return JoinedSource(_s2orc(name, tuple_, published), (part,), rule.make, needs=("papers",))


ROWS: tuple[RecordSource | JoinedSource, ...] = (
    RecordSource(_s2orc("S2ORC_title_abstract", "title → abstract", 41_769_185), json_lines, title_abstract),
    _citations("S2ORC_citation_pairs", "title → title of a cited paper", "title", 52_603_982),
    _citations("S2ORC_citation_pairs_abstract", "abstract → abstract of a cited paper", "abstract", 116_288_806),
    JoinedSource(
        DatasetInfo(
            name="specter_train_triples",
            tuple="title → title of a cited paper, title of a paper not cited",
            licence="ODC-By 1.0",
            citation="Cohan et al., SPECTER: Document-level Representation Learning using Citation-informed "
            "Transformers, 2020",
            url="https://github.com/allenai/specter",
            raw="SPECTER triples (*triples*.tsv or .jsonl) of titles, or with metadata.json of ids; or data.json",
            published=684_100,
            weight=84,
        ),
        parts=(
            Part("triples", "*triple*.tsv", Delimited(), _triple),
            Part("triples", "*triple*.jsonl", json_lines, _triple),
            Part("triples", "data.json", JsonMembers(), _neighbours),
            Part("metadata", "*metadata*.json", JsonMembers(), _metadata),
            Part("metadata", "*metadata*.jsonl", json_lines, _metadata),
        ),
        make=_make_triple,
        needs=("triples",),
    ),
)
