"""Sentences that mean the same: paraphrases, translations, versions for another gender."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.records import Delimited, RecordSource, aligned_lines
from pipelines.sources.sets import GroupedSets, Member
from schemas.pair import Pair, normalise


def paws_pairs(row: dict[str, str], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Sentence → paraphrase. A sentence and all its paraphrases mean the same."""
    first, second, label = (row.get(name) for name in ("sentence1", "sentence2", "label"))
    if first is None or second is None or label is None:
        yield "missing_field"
    elif label.strip() != "1":
        yield "not_a_paraphrase" if label.strip() == "0" else "unknown_label"
    else:
        anchor, positive = _paws_text(first), _paws_text(second)
        yield Pair(dataset, anchor, positive, cluster=normalise(anchor))


def _paws_text(text: str) -> str:
    """A sentence; the part of PAWS made from questions writes them as Python bytes: `b'caf\\xc3\\xa9'`."""
    if text.startswith(("b'", 'b"')):
        try:
            return ast.literal_eval(text).decode(errors="replace").strip()
        except (ValueError, SyntaxError, AttributeError):
            pass  # it only looked like one
    return text.strip()


def aligned_pairs(lines: tuple[str, str], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Line of one file → line of the other at the same place."""
    first, second = lines
    yield Pair(dataset, first.strip(), second.strip())


def occupation_member(row: dict[str, str]) -> Member | str:
    """(occupation.participant.answer, (gender, sentence)) of a row named `technician.someone.1.male.txt`."""
    name, sentence = row.get("sentid"), row.get("sentence")
    if name is None or sentence is None:
        return "missing_field"
    match name.split("."):
        case [occupation, participant, answer, "male" | "female" | "neutral" as gender, "txt"]:
            return f"{occupation}.{participant}.{answer}", (gender, sentence.strip())
    return "unknown_name"


def gender_pairs(
    record: tuple[str, list[tuple[str, str]]], dataset: str, options: RecordOptions
) -> Iterator[Pair | str]:
    """Neutral sentence → male and female version; the group is the occupation."""
    name, values = record
    sentences = dict(values)
    neutral = sentences.pop("neutral", None)
    if neutral is None or not sentences:
        yield "no_gendered_sentence" if neutral else "no_neutral_sentence"
        return
    for _, sentence in sorted(sentences.items()):
        yield Pair(dataset, neutral, sentence, group=f"winogender/{name.partition('.')[0]}")


ROWS: tuple[RecordSource, ...] = (
    RecordSource(
        DatasetInfo(
            name="paws",
            tuple="sentence → paraphrase",
            licence="free for any purpose, with acknowledgement of Google",
            citation="Zhang et al., PAWS: Paraphrase Adversaries from Word Scrambling, 2019",
            url="https://github.com/google-research-datasets/paws",
            raw="TSV of id, sentence1, sentence2, label (train.tsv, or paws_wiki_labeled_final.tar.gz)",
        ),
        read=Delimited(header=True),
        pairs=paws_pairs,
        members="[!_]*.tsv",
    ),
    GroupedSets(
        DatasetInfo(
            name="Gender_Bias_Evaluation_Set",
            tuple="neutral sentence → its male or female version",
            licence="MIT",
            citation="Rudinger et al., Gender Bias in Coreference Resolution, 2018",
            url="https://github.com/rudinger/winogender-schemas",
            raw="TSV of sentid and sentence (all_sentences.tsv)",
        ),
        read=Delimited(header=True),
        member=occupation_member,
        pairs=gender_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="parallel_text",
            tuple="sentence → its translation",
            licence="that of the files",
            citation="that of the files; for Multi30k: Elliott et al., Multilingual English-German Descriptions, 2016",
            url="https://github.com/multi30k/dataset",
            raw="two line-aligned files, a language each (train.en, train.de)",
        ),
        read=aligned_lines,
        pairs=aligned_pairs,
        aligned=2,
    ),
)
