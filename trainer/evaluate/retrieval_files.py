"""Retrieval collections as they are published: documents, queries and judgements, told apart by what is in them.

Formats of documents and queries: BEIR's JSON lines, tables of (id, text), TREC's `<doc>` and `<top>`, and the
SMART files of CISI and Cranfield (`.I`, `.T`, `.W`). Of judgements: TREC's four columns, BEIR's three under a
header, CISI's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trainer.evaluate.files import json_lines, lines, read_text, stem

Part = Literal["documents", "queries", "judgements"]
Texts = dict[str, str]
Judgements = dict[str, dict[str, int]]
"""Query's id → document's id → grade, relevant from 1 up."""


@dataclass(frozen=True)
class Collection:
    """Queries, documents and which belong together."""

    name: str
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    relevant: tuple[Mapping[int, int], ...]
    """For each query its judged documents and their grades; negative numbers for documents that are missing."""
    missing: int = 0
    """Judgements left out because their query is missing, or lost because their document is: no ranking finds it."""
    same: tuple[int | None, ...] = ()
    """For each query the document that is the query itself, which a ranking leaves out."""

    @property
    def itself(self) -> tuple[int | None, ...]:
        return self.same or (None,) * len(self.queries)


def read_collection(folder: Path) -> Collection:
    """The collection in a folder: files of documents, of queries and of judgements.

    A folder `qrels` is looked into as well, where `test` is taken before other splits. Raises OSError or
    ValueError, in one line, when a part is not there or twice, or nothing fits together.
    """
    parts = _find_parts(folder)
    documents = dict(text for path in parts["documents"] for text in _read_texts(path))
    queries = dict(text for path in parts["queries"] for text in _read_texts(path))
    judgements = _read_judgements(parts["judgements"][0])
    smart = any(_first_lines(path).lstrip().startswith((".I", ".X", "<")) for path in parts["queries"])
    if smart:
        queries = _by_place(queries, judgements)
    beir = parts["documents"][0].name.startswith("corpus.jsonl")
    return join(folder, queries, documents, judgements, leave_out_itself=beir)


def join(
    folder: Path, queries: Texts, documents: Texts, judgements: Judgements, *, leave_out_itself: bool = False
) -> Collection:
    """A collection of the queries that have a relevant document, missing ones among them."""
    number = {name: n for n, name in enumerate(documents)}
    asked = [name for name, grades in judgements.items() if name in queries and max(grades.values(), default=0) > 0]
    relevant, missing = [], 0
    for name in asked:
        absent = [document for document in judgements[name] if document not in number]
        missing += len(absent)
        places = {document: -1 - n for n, document in enumerate(absent)} | number
        relevant.append({places[document]: grade for document, grade in judgements[name].items()})
    if not any(document >= 0 and grade > 0 for grades in relevant for document, grade in grades.items()):
        raise ValueError(
            f"{folder}: no judgement joins a query and a document ({len(queries):,} queries, {len(documents):,} "
            f"documents, {len(judgements):,} judged queries); expected the same ids in all files"
        )
    missing += sum(len(grades) for name, grades in judgements.items() if name not in queries)
    same = tuple(number.get(name) for name in asked) if leave_out_itself else ()
    return Collection(
        name=stem(folder.resolve()),
        queries=tuple(queries[name] for name in asked),
        documents=tuple(documents.values()),
        relevant=tuple(relevant),
        missing=missing,
        same=same if any(own is not None for own in same) else (),
    )


def _find_parts(folder: Path) -> dict[Part, list[Path]]:
    found: dict[Part, list[Path]] = {"documents": [], "queries": [], "judgements": []}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        if part := _part_of(path):
            found[part].append(path)
    if not found["judgements"] and (folder / "qrels").is_dir():
        found["judgements"] = sorted(path for path in (folder / "qrels").iterdir() if path.is_file())
    tested = [path for path in found["judgements"] if re.search(r"(^|\W)test(\W|$)", path.name)]
    found["judgements"] = tested or found["judgements"]
    for part, paths in found.items():
        if not paths or (part == "judgements" and len(paths) > 1):
            said = ", ".join(path.name for path in paths) or "none"
            raise ValueError(
                f"{folder}: files of {part}: {said}; expected one, as in BEIR (corpus.jsonl, queries.jsonl, "
                "qrels/test.tsv), TREC (documents, topics, qrels) or SMART (.ALL, .QRY, .REL)"
            )
    return found


def _part_of(path: Path) -> Part | None:
    """What a file holds, by its first lines, and where they leave it open by its name; None for none of these."""
    name, begin = path.name.lower(), _first_lines(path)
    if re.search(r"<doc>", begin, re.IGNORECASE):
        return "documents"
    if re.search(r"<top>", begin, re.IGNORECASE):
        return "queries"
    asks = re.search(r"quer|topic|qry|question", name) is not None
    if re.search(r"^\.I\s+\d", begin, re.MULTILINE):
        return "queries" if asks else "documents"
    if re.search(r"qrel|judg|\.rel\b", name):
        return "judgements"
    if asks or re.search(r"corpus|collection|docs|documents|passages", name):
        return "queries" if asks else "documents"
    return None


def _first_lines(path: Path) -> str:
    some = []
    for line in lines(path):
        some.append(line)
        if len(some) == 20:
            break
    return "".join(some)


def _read_texts(path: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of documents or queries, in the file's order."""
    begin = _first_lines(path)
    if begin.lstrip().startswith("{"):
        return _read_json(path)
    if re.search(r"<(doc|top)>", begin, re.IGNORECASE):
        return _read_trec(path)
    if re.search(r"^\.I\s+\d", begin, re.MULTILINE):
        return _read_smart(path)
    return _read_id_table(path)


def _read_json(path: Path) -> Iterator[tuple[str, str]]:
    for number, document in json_lines(path):
        name = document.get("_id", document.get("id", document.get("query_id", document.get("doc_id"))))
        if name is None or not isinstance(document.get("text"), str):
            raise ValueError(f"{path}: line {number} lacks _id or text; expected both, as in BEIR")
        yield str(name), f"{document.get('title') or ''} {document['text']}".strip()


def _read_id_table(path: Path) -> Iterator[tuple[str, str]]:
    """Lines of id, tab, text; of three fields the second is a title."""
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.rstrip("\n").partition("\t")
        if not tab:
            raise ValueError(f"{path}: line {number} has no tab; expected id, tab, text")
        if number == 1 and re.fullmatch(r"_?(q|query|doc|document|corpus|p|passage)?[-_ ]?id", name.strip(), re.I):
            continue
        yield name.strip(), " ".join(text.split("\t")).strip()


def _read_trec(path: Path) -> Iterator[tuple[str, str]]:
    """TREC's markup, which is no XML: there may be no root, tags may stay open, and letters vary in case."""
    for kind, body in re.findall(r"<(doc|top)>(.*?)</\1>", read_text(path), re.IGNORECASE | re.DOTALL):
        document = kind.lower() == "doc"
        name = _field(body, "docno" if document else "num")
        if name is None:
            raise ValueError(f"{path}: a <{kind}> without {'<docno>' if document else '<num>'}; expected an id in each")
        name = name.removeprefix("Number:").strip()
        title = (_field(body, "title") or _field(body, "headline") or "").removeprefix("Topic:").strip()
        text = (_field(body, "text") or "") if document else ""
        # Cranfield's texts begin with their titles.
        yield (name, text) if text.startswith(title) and text else (name, f"{title} {text}".strip())


def _field(body: str, tag: str) -> str | None:
    found = re.search(
        rf"<{tag}>(.*?)(?=</{tag}>|<(?:num|title|desc|narr|top|doc)>|\Z)", body, re.IGNORECASE | re.DOTALL
    )
    return None if found is None else " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[1])).split())


def _read_smart(path: Path) -> Iterator[tuple[str, str]]:
    """SMART's fields: `.I` the id, `.T` the title, `.W` the words. A query of CISI is its words alone."""
    documents = _part_of(path) == "documents"
    name, field, texts = None, "", {"T": [], "W": []}

    def finished() -> Iterable[tuple[str, str]]:
        if name is None:
            return ()
        title, words = (" ".join(" ".join(texts[part]).split()) for part in "TW")
        whole = words if words.startswith(title) or not documents else f"{title} {words}"
        return ((name, (whole or title).strip()),)

    for line in lines(path):
        if begin := re.match(r"\.I\s+(\S+)", line):
            yield from finished()
            name, field, texts = begin[1], "", {"T": [], "W": []}
        elif re.fullmatch(r"\.[A-Z]\s*", line):
            field = line[1]
        elif field in texts:
            texts[field].append(line)
    yield from finished()


def _read_judgements(path: Path) -> Judgements:
    """Lines of (query, anything, document, grade), or of (query, document, grade) in BEIR's way.

    CISI's lines have nought for both numbers: each of them is a relevant document.
    """
    judgements: Judgements = {}
    for number, line in enumerate(lines(path), start=1):
        fields = line.split()
        if not fields or (number == 1 and re.search(r"[a-z]-?_?id\b", line, re.IGNORECASE)):
            continue
        try:
            if len(fields) == 4 and re.fullmatch(r"0\.0+", fields[3]):
                query, document, grade = fields[0], fields[1], 1
            elif len(fields) == 4:
                query, document, grade = fields[0], fields[2], int(float(fields[3]))
            elif len(fields) == 3:
                query, document, grade = fields[0], fields[1], int(float(fields[2]))
            else:
                raise ValueError
        except ValueError:
            raise ValueError(f"{path}: line {number} is {line.strip()!r}; expected query, 0, document, grade") from None
        grades = judgements.setdefault(query, {})
        grades[document] = max(grade, grades.get(document, grade))
    return judgements


def _by_place(queries: Texts, judgements: Judgements) -> Texts:
    """The queries under their places from 1 where the judgements count so, as Cranfield's do: its ids have gaps."""
    places = {str(n): text for n, text in enumerate(queries.values(), start=1)}
    plain = {name.lstrip("0") or name: text for name, text in queries.items()}
    best = max((queries, plain, places), key=lambda named: sum(name in named for name in judgements))
    return best


def named(collection: Collection, name: str) -> Collection:
    """The collection under another name."""
    return replace(collection, name=name)
