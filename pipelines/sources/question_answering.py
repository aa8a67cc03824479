"""Questions and what people answered: ELI5, Yahoo Answers, Amazon, GOOAQ, NQ-open, MedQuAD.

Corpora whose positive is a passage of a document are in `question_passages`.
"""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO, Any, NamedTuple

import ijson
import orjson
from defusedxml.ElementTree import parse

from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import (
    BadRecord,
    Delimited,
    RecordSource,
    XmlElements,
    json_lines,
    text_lines,
)
from schemas.pair import Pair

_SURROGATE = re.compile("[\ud800-\udfff]")


# What the functions from record to pairs share.


def as_text(value: Any) -> str:
    """The stripped text; empty for whatever is none. Halves of characters, which escapes can spell, are replaced."""
    return _SURROGATE.sub("\ufffd", value).strip() if isinstance(value, str) else ""


def field(record: Any, *names: str) -> Any:
    """What stands under the first of the names that the record has; None where it is no object."""
    if isinstance(record, dict):
        return next((record[name] for name in names if name in record), None)
    return None


def as_list(value: Any) -> list[Any]:
    """The list itself; empty for whatever is none."""
    return value if isinstance(value, list) else []


def rows_of(table: Any, *names: str) -> Iterator[tuple[Any, ...]]:
    """The named values of each row of a list of objects, or of an object of lists, as column stores write it."""
    if isinstance(table, dict):
        yield from zip(*(as_list(table.get(name)) for name in names), strict=False)
    for row in as_list(table):
        yield tuple(field(row, name) for name in names)


def answered(dataset: str, question: Any, answers: Iterable[Any], group: str = "") -> Iterator[Pair | str]:
    """A pair for each answer that is text, or the reason why there is none."""
    question = as_text(question)
    answers = [text for answer in answers if (text := as_text(answer))]
    if not question:
        yield "no_question"
    elif not answers:
        yield "no_answer"
    else:
        yield from (Pair(dataset, question, answer, group=group) for answer in answers)


# Readers of formats that come in several layouts; the first bytes tell which.


def peeked(stream: IO[bytes]) -> tuple[bytes, io.BufferedReader]:
    """(first bytes after white space, the stream from its start); a byte order mark is skipped."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[arg-type]
    if buffered.peek(3).startswith(b"\xef\xbb\xbf"):
        buffered.read(3)
    return buffered.peek(4096).lstrip(), buffered


def json_records(stream: IO[bytes]) -> Iterator[Any]:
    """The elements of one JSON array, or objects laid out over many lines, or a JSON value a line."""
    head, stream = peeked(stream)
    if head.startswith(b"["):
        yield from ijson.items(stream, "item", use_float=True)
    elif head.split(b"\n", 1)[0].strip() == b"{":
        yield from ijson.items(stream, "", use_float=True, multiple_values=True)
    else:
        yield from json_lines(stream)


def _json_or_python_lines(stream: IO[bytes]) -> Iterator[Any]:
    """A JSON value or a Python literal a line; neither is ever run."""
    for line in text_lines(stream):
        if isinstance(line, BadRecord):
            yield line
        elif line.strip():
            yield _json_or_python(line)


def _json_or_python(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return python_literal(line)


def python_literal(text: str) -> Any:
    """What a Python literal spells, or a BadRecord."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # TypeError: a list as a key
        return BadRecord("not_a_literal")


# Web questions


def open_pairs(record: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """The first answer of a list, which the others only spell differently."""
    return answered(dataset, field(record, "question"), as_list(field(record, "answer"))[:1])


def gooaq_pairs(record: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """The long answer, or the short one where there is no other."""
    answer = as_text(field(record, "answer")) or field(record, "short_answer")
    return answered(dataset, field(record, "question"), [answer])


def eli5_pairs(record: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """The answer with the highest score; of equal ones the first."""
    answers = [row for row in rows_of(field(record, "answers"), "text", "score") if as_text(row[0])]
    best = max(answers, key=lambda row: _score(row[1]), default=(None, None))
    # A Reddit thread, named as the reddit source names it.
    return answered(dataset, field(record, "title"), best[:1], group=as_text(field(record, "q_id")))


def _score(value: Any) -> float:
    # Only NaN differs from itself; `isnan` would not take an integer beyond the floats.
    return value if isinstance(value, int | float) and value == value else -math.inf


def amazon_pairs(record: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """Every answer of every question of a line."""
    if not isinstance(questions := field(record, "questions"), list):
        questions = [record]  # one question a line: of the answered-once files, or of AmazonQA
    if not questions:
        yield "no_question"
    for question in questions:
        answers = [text for (text,) in rows_of(field(question, "answers"), "answerText")]
        title = as_text(field(question, "question", "questionText"))
        yield from answered(dataset, title, [field(question, "answer"), *answers])


# Yahoo Answers


class YahooQuestion(NamedTuple):
    """A question's three texts."""

    title: str
    question: str
    """What the asker wrote below the title."""
    answer: str
    """The best answer."""


_ESCAPES = re.compile(r"\\n|<br\s*/?>", re.IGNORECASE)


def yahoo_records(stream: IO[bytes]) -> Iterator[YahooQuestion | BadRecord]:
    """Rows of the topics CSV (class, title, question, best answer), or documents of the L6 XML."""
    head, stream = peeked(stream)
    if head.startswith(b"<"):
        for document in XmlElements("document")(stream):
            yield _yahoo(document.findtext(tag) for tag in ("subject", "content", "bestanswer"))
        return
    for row in Delimited(",", quoted=True)(stream):
        if isinstance(row, BadRecord):
            yield row
        else:
            yield _yahoo(row[1:]) if len(row) == 4 else BadRecord("wrong_number_of_columns")


def _yahoo(texts: Iterable[str | None]) -> YahooQuestion:
    return YahooQuestion(*(as_text(_ESCAPES.sub("\n", text or "")) for text in texts))


def yahoo_pairs(record: Any, dataset: str, _: Any, *, anchor: str, positive: str) -> Iterator[Pair | str]:
    """Two of a question's three texts."""
    texts = {name: getattr(record, name) for name in (anchor, positive)}
    if missing := next((name for name, text in texts.items() if not text), None):
        yield f"no_{missing}"
    else:
        yield Pair(dataset, *texts.values(), group=f"yahoo_answers/{record.title or record.question}")


# MedQuAD


def xml_document(stream: IO[bytes]) -> Iterator[Any]:
    """The one root element of a small file; entity tricks are refused."""
    yield parse(stream).getroot()


def medquad_pairs(document: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """The questions of one article. A few files spell every tag otherwise: <doc>, <pair>, <question>."""
    source, number = field(document.attrib, "source", "corpus"), field(document.attrib, "id", "docid", "fid")
    group = f"medquad/{source}/{number}"
    found = [element for element in document.iter() if element.tag in ("QAPair", "pair")]
    if not found:
        yield "no_question"
    for pair in found:
        texts = {part.tag.lower(): "".join(part.itertext()) for part in pair}
        yield from answered(dataset, texts.get("question"), [texts.get("answer")], group)


def _yahoo_row(anchor: str, positive: str, published: int, weight: float) -> RecordSource:
    says = {"title": "question title", "question": "question body", "answer": "best answer"}
    info = DatasetInfo(
        name=f"yahoo_answers_{anchor}_{positive}",
        tuple=f"{says[anchor]} → {says[positive]}",
        licence="Yahoo! Webscope: non-commercial research",
        citation="Zhang et al., Character-level Convolutional Networks for Text Classification, 2015; "
        "Yahoo! Answers Comprehensive Questions and Answers (L6)",
        url="https://webscope.sandbox.yahoo.com/catalog.php?datatype=l",
        raw="Yahoo Answers topics CSV (train.csv: class, title, question, best answer; no header) or L6 XML",
        published=published,
        weight=weight,
    )
    pairs = partial(yahoo_pairs, anchor=anchor, positive=positive)
    return RecordSource(info, yahoo_records, pairs, members="*train.csv")


ROWS: tuple[RecordSource, ...] = (
    RecordSource(
        DatasetInfo(
            name="gooaq_pairs",
            tuple="question → answer",
            licence="Apache-2.0",
            citation="Khashabi et al., GooAQ: Open Question Answering with Diverse Answer Types, 2021",
            url="https://github.com/allenai/gooaq",
            raw="GOOAQ JSON lines (gooaq.jsonl: question, short_answer, answer)",
            published=3_012_496,
            weight=247,
        ),
        json_lines,
        gooaq_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="eli5_question_answer",
            tuple="question title → answer with the highest score",
            licence="none stated; Reddit's terms apply to the texts",
            citation="Fan et al., ELI5: Long Form Question Answering, 2019",
            url="https://facebookresearch.github.io/ELI5/",
            raw="ELI5 JSON, one array or a record a line (q_id, title, answers of text and score)",
            published=325_475,
            weight=81,
        ),
        json_records,
        eli5_pairs,
    ),
    _yahoo_row("title", "answer", published=1_198_260, weight=247),
    _yahoo_row("title", "question", published=659_896, weight=163),
    _yahoo_row("question", "answer", published=681_164, weight=169),
    RecordSource(
        DatasetInfo(
            name="amazon-qa-train-pairs",
            tuple="question about a product → answer of a customer",
            licence="none stated",
            citation="McAuley & Yang, Addressing Complex and Subjective Product-Related Queries with Customer "
            "Reviews, 2016; Gupta et al., AmazonQA: A Review-Based Question Answering Task, 2019",
            url="https://jmcauley.ucsd.edu/data/amazon/qa/",
            raw="Amazon question/answer data, a Python dict a line (qa_*.json.gz, qa_*_multiple.json.gz), "
            "or AmazonQA JSON lines (train-qar.jsonl)",
            published=2_448_839,
            weight=247,
        ),
        _json_or_python_lines,
        amazon_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="nq_open",
            tuple="question → short answer",
            licence="CC BY-SA 3.0",
            citation="Lee et al., Latent Retrieval for Weakly Supervised Open Domain Question Answering, 2019",
            url="https://github.com/google-research-datasets/natural-questions/tree/master/nq_open",
            raw="NQ-open JSON lines (NQ-open.train.jsonl: question, list of answers)",
        ),
        json_lines,
        open_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="medquad",
            tuple="medical question → answer",
            licence="CC BY 4.0",
            citation="Ben Abacha & Demner-Fushman, A Question-Entailment Approach to Question Answering, 2019",
            url="https://github.com/abachaa/MedQuAD",
            raw="MedQuAD XML files, or an archive of them",
        ),
        xml_document,
        medquad_pairs,
        members="*.xml",
    ),
)
