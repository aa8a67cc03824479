"""Texts beside shorter or simpler ones that say the same: compressions, simplifications, summaries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import orjson

from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.records import BadRecord, Delimited, JsonMembers, RecordSource, aligned_lines
from schemas.pair import Pair, normalise

SPLIT_MARK = "<::::>"
"""WikiSplit's mark between the sentences that one was split into."""


# Sentences


def json_objects(stream: IO[bytes]) -> Iterator[Any]:
    """JSON objects one after another, each on a line or on many; an object begins where a line does, with `{`."""
    begun: list[bytes] = []
    for number, line in enumerate(stream):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"{") and begun:
            yield _parse_object(begun)
            begun = []
        if line.strip():
            begun.append(line)
    if begun:
        yield _parse_object(begun)


def _parse_object(lines: list[bytes]) -> Any:
    try:
        return orjson.loads(b"".join(lines))
    except orjson.JSONDecodeError:
        return BadRecord("not_json")


def compression_pairs(record: Any, dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Sentence → compression: Google's graphs of both, or a text with its summaries."""
    match record:
        case {"graph": {"sentence": str(sentence)}, "compression": {"text": str(compression)}}:
            yield Pair(dataset, sentence.strip(), compression.strip())
        case {"text": str(), "summaries": []}:
            yield "no_summary"
        case {"text": str(text), "summaries": list(summaries)}:
            for summary in summaries:
                isa_text = isinstance(summary, str)
                yield Pair(dataset, text.strip(), summary.strip()) if isa_text else "no_summary"
        case dict():
            yield "missing_field"
        case _:
            yield "not_an_object"


def altlex_pairs(row: list[str], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Sentence → simple sentence; cut at a connective into three pieces each, after a label, or whole."""
    match row:
        case [_, before, connective, after, simple_before, simple_connective, simple_after]:
            sentence = _join(before, connective, after)
            yield Pair(dataset, sentence, _join(simple_before, simple_connective, simple_after))
        case [sentence, simple]:
            yield Pair(dataset, sentence.strip(), simple.strip())
        case _:
            yield "wrong_number_of_columns"


def _join(*pieces: str) -> str:
    return " ".join(stripped for piece in pieces if (stripped := piece.strip()))


def simple_wiki_pairs(lines: tuple[str, str], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Sentence → simplified sentence; a line is the sentence, or the article's title, a number and the sentence."""
    sides = [line.split("\t") for line in lines]
    if {len(side) for side in sides} not in ({1}, {3}):
        yield "wrong_number_of_columns"
        return
    (*title, sentence), (*_, simple) = sides
    group = f"wikipedia/{title[0].strip()}" if title else ""
    yield Pair(dataset, sentence.strip(), simple.strip(), group=group)


def split_pairs(row: list[str], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Sentence → the sentences it was split into."""
    if len(row) != 2:
        yield "wrong_number_of_columns"
        return
    sentence, split = row
    yield Pair(dataset, sentence.strip(), _join(*split.split(SPLIT_MARK))) if SPLIT_MARK in split else "not_split"


# How-to articles

_HOW_TO = re.compile(r"^how to\s+", re.IGNORECASE)


@dataclass(frozen=True)
class WikihowOptions(RecordOptions):
    """What wikihow takes."""

    positive: Literal["text", "title"] = "text"
    """What a summary is paired with: the article's text or its title."""


def wikihow_pairs(article: dict[str, str], dataset: str, options: WikihowOptions) -> Iterator[Pair | str]:
    """Summary of an article → its text or title."""
    summary, positive = article.get("headline"), article.get(options.positive)
    if summary is None or positive is None:
        yield "missing_field"
        return
    yield Pair(dataset, summary.strip(), positive.strip(), group=_article(article.get("title", "")))


def goal_pairs(member: tuple[str, Any], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Step → goal that it is a step of."""
    step, goal = member
    yield Pair(dataset, step.strip(), goal.strip(), group=_article(goal)) if isinstance(goal, str) else "no_goal"


def _article(title: str) -> str:
    """The group of an article's parts: titles of parts end in a number, goals lack `How to`."""
    named = _HOW_TO.sub("", title.strip()).rstrip("0123456789 ")
    return f"wikihow/{normalise(named)}" if named else ""


ROWS: tuple[RecordSource, ...] = (
    RecordSource(
        DatasetInfo(
            name="sentence-compression",
            tuple="sentence → compressed sentence",
            licence="none stated; the sentences are their newspapers'",
            citation="Filippova and Altun, Overcoming the Lack of Parallel Data in Sentence Compression, 2013",
            url="https://github.com/google-research-datasets/sentence-compression",
            raw="JSON objects between blank lines (sent-comp.train01.json.gz …), or JSON lines of text and summaries",
            published=180_000,
            weight=45,
        ),
        read=json_objects,
        pairs=compression_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="wikihow",
            tuple="summary → article",
            licence="CC BY-NC-SA 3.0",
            citation="Koupaee and Wang, WikiHow: A Large Scale Text Summarization Dataset, 2018",
            url="https://github.com/mahnazkoupaee/WikiHow-Dataset",
            raw="CSV of headline, title, text (wikihowAll.csv)",
            published=128_542,
            weight=32,
        ),
        read=Delimited(",", quoted=True, header=True),
        pairs=wikihow_pairs,
        settings=WikihowOptions(),
        members="[!_]*.csv",
    ),
    RecordSource(
        DatasetInfo(
            name="wikihow_goals",
            tuple="step → goal",
            licence="Apache-2.0; wikiHow's text CC BY-NC-SA 3.0",
            citation="Zhou et al., Show Me More Details: Discovering Hierarchies of Procedures, 2022",
            url="https://github.com/shuyanzhou/wikihow_hierarchy",
            raw="one JSON object of step and goal (annotated_step_goal.json)",
        ),
        read=JsonMembers(),
        pairs=goal_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="altlex",
            tuple="sentence → simple sentence",
            licence="none stated; Wikipedia's text CC BY-SA 3.0",
            citation="Hidey and McKeown, Identifying Causal Relations Using Parallel Wikipedia Articles, 2016",
            url="https://github.com/chridey/altlex",
            raw="TSV of 7 columns, or of the 2 sentences (altlex_train.tsv.zip, altlex_train_paraphrases.tsv)",
            published=112_696,
            weight=28,
        ),
        read=Delimited(),
        pairs=altlex_pairs,
        members="[!_]*.tsv",
    ),
    RecordSource(
        DatasetInfo(
            name="SimpleWiki",
            tuple="sentence → simplified sentence",
            licence="CC BY-SA 3.0",
            citation="Coster and Kauchak, Simple English Wikipedia: A New Text Simplification Task, 2011",
            url="https://cs.pomona.edu/~dkauchak/simplification/",
            raw="two line-aligned files, of sentences or of title, number, sentence (normal.aligned, simple.aligned)",
            published=102_225,
            weight=26,
        ),
        read=aligned_lines,
        pairs=simple_wiki_pairs,
        aligned=2,
    ),
    RecordSource(
        DatasetInfo(
            name="wikisplit",
            tuple="sentence → the two sentences it was split into",
            licence="CC BY-SA 4.0",
            citation="Botha et al., Learning To Split and Rephrase From Wikipedia Edit History, 2018",
            url="https://github.com/google-research-datasets/wiki-split",
            raw="TSV of sentence and split sentences (train.tsv.zip)",
        ),
        read=Delimited(),
        pairs=split_pairs,
        members="[!_]*.tsv",
    ),
)
