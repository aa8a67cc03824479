"""Questions that ask the same: Quora's labelled pairs and WikiAnswers' clusters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.joins import Grouped, JoinedSource, Part, Text, Wanted, smallest_distinct
from pipelines.sources.records import Delimited, RecordSource, text_lines
from pipelines.sources.sets import SetOptions, same_meaning
from schemas.pair import Pair, normalise, text_fingerprint


@dataclass(frozen=True)
class TripletOptions(RecordOptions):
    """What the Quora row takes."""

    only_triplets: bool = False
    """Drop the duplicates for which there is no negative."""


_DUPLICATE, _OTHER = "duplicate", "other"


def _labelled(row: Any, dataset: str, options: Any) -> Iterator[Wanted | Grouped | str]:
    """Two questions and their label: (id, qid1, qid2, q1, q2, label), or (label, q1, q2, id)."""
    if len(row) not in (4, 6):
        yield "wrong_number_of_columns"
        return
    one, other, label = (row[3], row[4], row[5]) if len(row) == 6 else (row[1], row[2], row[0])
    one, other, label = one.strip(), other.strip(), label.strip()
    if label == "is_duplicate":
        return
    if label not in ("0", "1"):
        yield "unknown_label"
    elif not one or not other:
        yield "empty_question"
    else:
        names = _name(one), _name(other)
        kind = _DUPLICATE if label == "1" else _OTHER
        yield Grouped(names[0], (kind, other))
        yield Grouped(names[1], (kind, one))
        # The last two places ask for a question that is no duplicate of the first, and of the second.
        yield Wanted(names + names, (one, other)) if label == "1" else "not_a_duplicate"


def _name(question: str) -> str:
    return f"{text_fingerprint(question):016x}"


def choose_other(question: str, related: Iterable[tuple[str, str]], options: Any) -> Iterator[Text]:
    """One question that is labelled no duplicate of `question`, unless another label says it is."""
    same = {normalise(text) for kind, text in related if kind == _DUPLICATE}
    others = (text for kind, text in related if kind == _OTHER and normalise(text) not in same)
    for text in smallest_distinct(others, 1, question):
        yield Text(question, text)


def make_triplet(ids: tuple[str, ...], texts: tuple[str | None, ...], dataset: str, options: Any) -> Pair | str:
    """question → duplicate with a negative of the question; where only the duplicate has one, the other way."""
    one, other, of_one, of_other = texts
    anchor, positive, negative = (one, other, of_one) if of_one or not of_other else (other, one, of_other)
    if not negative and options.only_triplets:
        return "no_negative"
    negatives = (negative,) if negative else ()
    # The pairs of one question stay on one side where it is the smaller of two; chains of duplicates may not.
    return Pair(dataset, anchor or "", positive or "", negatives, group=f"quora/{min(ids)}", cluster=min(ids))


def paraphrases(line: Any, dataset: str, options: SetOptions) -> Iterator[Pair | str]:
    """A cluster (`q:question TAB q:question … a:answer`), or two questions and how their words align."""
    if not line.strip():
        return
    fields = [field.strip() for field in line.split("\t")]
    if any(field.startswith(("q:", "a:")) for field in fields):
        questions = [field[2:].strip() for field in fields if field.startswith("q:")]
    else:
        questions = fields[:2]
    # Clusters have no names; the smallest fingerprint is the same whatever the order of the questions.
    name = min((_name(question) for question in questions if question), default="")
    yield from same_meaning((f"wikianswers/{name}", questions), dataset, options)


ROWS: tuple[RecordSource | JoinedSource, ...] = (
    RecordSource(
        DatasetInfo(
            name="WikiAnswers_pairs",
            tuple="question → paraphrase",
            licence="none stated",
            citation="Fader et al., Open Question Answering over Curated and Extracted Knowledge Bases, 2014",
            url="https://github.com/afader/oqa#wikianswers-corpus",
            raw="WikiAnswers clusters, one a line (q:… TAB q:… TAB a:…), or word alignments (two questions first)",
            published=77_427_422,
            weight=123,
        ),
        text_lines,
        paraphrases,
        settings=SetOptions(),
    ),
    JoinedSource(
        DatasetInfo(
            name="quora_duplicates_triplets",
            tuple="question → duplicate, question that is no duplicate of it",
            licence="Quora's terms of service: non-commercial",
            citation="Iyer et al., First Quora Dataset Release: Question Pairs, 2017",
            url="https://quoradata.quora.com/First-Quora-Dataset-Release-Question-Pairs",
            raw="Quora question pairs: quora_duplicate_questions.tsv (6 columns, quoted), or train.tsv and dev.tsv "
            "(label, question, question, id; no quoting)",
            published=103_663,
            weight=26,
        ),
        parts=(
            Part("questions", "*quora*.tsv", Delimited(quoted=True), _labelled),
            Part("questions", "*.csv", Delimited(",", quoted=True), _labelled),
            Part("questions", "*.tsv", Delimited(), _labelled),
        ),
        make=make_triplet,
        needs=("questions",),
        choose=choose_other,
        settings=TripletOptions(),
    ),
)
