"""Questions and the passage that answers them: SQuAD, Natural Questions, TriviaQA, SearchQA, PAQ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Literal

import ijson

from pipelines.sources.base import DatasetInfo, RecordOptions, Source
from pipelines.sources.html import html_to_text
from pipelines.sources.paq import Paq
from pipelines.sources.question_answering import (
    answered,
    as_list,
    as_text,
    field,
    json_records,
    peeked,
    python_literal,
    rows_of,
)
from pipelines.sources.records import BadRecord, Delimited, JsonItems, RecordSource, json_lines
from schemas.pair import Pair


def squad_pairs(article: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """The questions of one article, each with its paragraph; those that it does not answer give `no_answer`."""
    paragraphs = list(rows_of(field(article, "paragraphs"), "context", "qas"))
    if not any(as_list(questions) for _, questions in paragraphs):
        yield "no_question"
    for context, questions in paragraphs:
        group = f"squad/{as_text(field(article, 'title')) or as_text(context)}"
        for question in as_list(questions):
            answerable = as_list(field(question, "answers")) and not field(question, "is_impossible")
            yield from answered(dataset, field(question, "question"), [context] if answerable else [], group)


# Natural Questions

_HTML_TOKEN = re.compile(r"</?[A-Za-z][^<>\s]*>")
_PAGE = re.compile(r"[?&;]title=([^&]+)")


def nq_pairs(record: Any, dataset: str, _: Any) -> Iterator[Pair | str]:
    """The long answer of the first annotation that has one, without HTML; the group is the Wikipedia page."""
    page = _PAGE.search(as_text(field(record, "document_url")))
    title = page[1].replace("_", " ") if page else as_text(field(record, "document_title"))
    group = f"natural_questions/{title}" if title else ""
    return answered(dataset, field(record, "question_text"), islice(_long_answers(record), 1), group)


def _long_answers(record: Any) -> Iterator[str]:
    for annotation in as_list(field(record, "annotations")):
        span = field(annotation, "long_answer")
        tokens = _whole_numbers(span, "start_token", "end_token")
        units = _whole_numbers(span, "start_byte", "end_byte")
        if tokens and (text := _text_of_tokens(record, *tokens)):
            yield text
        elif units and isinstance(html := field(record, "document_html"), str):
            fragment = html.encode(errors="replace")[slice(*units)].decode(errors="replace")
            yield " ".join(html_to_text(fragment).split())


def _whole_numbers(span: Any, *names: str) -> tuple[int, int] | None:
    """The span's two ends; None where there is no answer, which -1 says."""
    start, end = (field(span, name) for name in names)
    return (start, end) if isinstance(start, int) and isinstance(end, int) and 0 <= start < end else None


def _text_of_tokens(record: Any, start: int, end: int) -> str:
    """Words of the original's token objects, or of the simplified text, whose tokens stand between single spaces."""
    if tokens := as_list(field(record, "document_tokens")):
        rows = rows_of(tokens[start:end], "token", "html_token")
        return " ".join(as_text(token) for token, is_html in rows if not is_html)
    if isinstance(text := field(record, "document_text"), str):
        return " ".join(token for token in text.split(" ")[start:end] if not _HTML_TOKEN.fullmatch(token))
    return ""


# TriviaQA


@dataclass(frozen=True)
class TriviaOptions(RecordOptions):
    """What the positive of TriviaQA is."""

    positive: Literal["evidence", "answer"] = "evidence"
    """evidence: the best search result that names an answer, or the answer where there is none; answer: always it."""


def trivia_records(stream: IO[bytes]) -> Iterator[Any]:
    """The questions of a TriviaQA JSON document, or the rows of DPR's question TAB answers."""
    head, stream = peeked(stream)
    if head.startswith(b"{"):
        yield from ijson.items(stream, "Data.item", use_float=True)
    else:
        yield from Delimited("\t", quoted=True)(stream)


def trivia_pairs(record: Any, dataset: str, options: TriviaOptions) -> Iterator[Pair | str]:
    """Of DPR's answers, which have no canonical one, the first is taken."""
    if isinstance(record, list):
        yield from _dpr_pairs(record, dataset)
        return
    answer = field(record, "Answer")
    value = as_text(field(answer, "Value"))
    evidence = ""
    if options.positive == "evidence":
        names = {as_text(name).casefold() for name in (value, *as_list(field(answer, "Aliases")))} - {""}
        evidence = _best_evidence(field(record, "SearchResults"), names)
    yield from answered(dataset, field(record, "Question"), [evidence or value])


def _best_evidence(results: Any, names: set[str]) -> str:
    """Description of the highest ranked search result in which one of the names stands as words."""
    named = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(names)))
    ranked = [
        (rank if isinstance(rank, int | float) else len(as_list(results)), as_text(description))
        for rank, description in rows_of(results, "Rank", "Description")
    ]
    found = (text for _, text in sorted(ranked, key=lambda row: row[0]) if names and named.search(text.casefold()))
    return next(found, "")


def _dpr_pairs(row: list[str], dataset: str) -> Iterator[Pair | str]:
    if len(row) != 2:
        yield "wrong_number_of_columns"
        return
    answers = python_literal(as_text(row[1]))
    if isinstance(answers, BadRecord):
        yield answers.reason
    else:
        yield from answered(dataset, row[0], as_list(answers)[:1])


# SearchQA


@dataclass(frozen=True)
class SearchOptions(RecordOptions):
    """What the positives of a SearchQA question are."""

    snippets: int = 5
    """Highest ranked snippets that are taken."""
    merge: bool = True
    """All of them make one positive; otherwise each makes a pair of its own."""

    def __post_init__(self) -> None:
        if self.snippets < 1:
            raise ValueError(f"snippets is {self.snippets}; expected at least 1")


def search_pairs(record: Any, dataset: str, options: SearchOptions) -> Iterator[Pair | str]:
    """The question's first snippets; results without a snippet are passed over."""
    results = field(record, "search_results")
    column = "snippets" if isinstance(results, dict) else "snippet"
    snippets = [text for (snippet,) in rows_of(results, column) if (text := as_text(snippet))][: options.snippets]
    positives = [" ".join(snippets)] if options.merge else snippets
    question = as_text(field(record, "question"))
    yield from ("no_snippet" if found == "no_answer" else found for found in answered(dataset, question, positives))


ROWS: tuple[Source, ...] = (
    RecordSource(
        DatasetInfo(
            name="squad_pairs",
            tuple="question → paragraph that answers it",
            licence="CC BY-SA 4.0",
            citation="Rajpurkar et al., Know What You Don't Know: Unanswerable Questions for SQuAD, 2018",
            url="https://rajpurkar.github.io/SQuAD-explorer/",
            raw="SQuAD 1.1 or 2.0 JSON (train-v2.0.json)",
            published=87_599,
            weight=22,
        ),
        JsonItems("data.item"),
        squad_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="NQ-train_pairs",
            tuple="question → long answer",
            licence="CC BY-SA 3.0",
            citation="Kwiatkowski et al., Natural Questions: A Benchmark for Question Answering Research, 2019",
            url="https://ai.google.com/research/NaturalQuestions/download",
            raw="Natural Questions JSON lines, original (nq-train-*.jsonl.gz) or simplified (v1.0-simplified)",
            published=100_231,
            weight=25,
        ),
        json_lines,
        nq_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="TriviaQA_pairs",
            tuple="question → search result that names the answer, else the answer",
            licence="none stated for the questions and the evidence",
            citation="Joshi et al., TriviaQA: A Large Scale Distantly Supervised Challenge Dataset, 2017",
            url="https://nlp.cs.washington.edu/triviaqa/",
            raw="TriviaQA JSON (unfiltered-web-train.json, web-train.json, wikipedia-train.json) or DPR's rows of "
            "question TAB Python list of answers",
            published=73_346,
            weight=19,
        ),
        trivia_records,
        trivia_pairs,
        settings=TriviaOptions(),
        members="*train*.json",
    ),
    RecordSource(
        DatasetInfo(
            name="searchQA_question_top5_snippets_merged",
            tuple="question → first 5 search snippets, merged",
            licence="none stated for the questions and the snippets",
            citation="Dunn et al., SearchQA: A New Q&A Dataset Augmented with Context from a Search Engine, 2017",
            url="https://github.com/nyu-dl/dl4ir-searchQA",
            raw="SearchQA JSON files or lines (question, answer, search_results of title and snippet)",
            published=582_261,
            weight=144,
        ),
        json_records,
        search_pairs,
        settings=SearchOptions(),
        members="*.json*",
    ),
    Paq(),
)
