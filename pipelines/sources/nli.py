"""Natural language inference: premises with what they entail and what they contradict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson

from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.records import BadRecord, RecordSource, aligned_lines, text_lines
from pipelines.sources.sets import GroupedSets, Member, ordered_texts
from schemas.pair import Pair, normalise


@dataclass(frozen=True)
class NliOptions(RecordOptions):
    """What sources of entailment take."""

    premise_triplets: int | None = None
    """How many triplets one premise yields at most; None: one for each hypothesis it entails."""

    def __post_init__(self) -> None:
        if self.premise_triplets is not None and self.premise_triplets < 1:
            raise ValueError(f"premise_triplets is {self.premise_triplets}; expected at least 1, or None for all")


def nli_records(stream: IO[bytes]) -> Iterator[Any]:
    """Records of SNLI's and MultiNLI's two forms: JSON lines, or a table whose first row names the columns.

    A table's rows may be shorter than the first, which names more annotators than most rows have.
    """
    names: list[str] | None = None
    for line in text_lines(stream):
        if isinstance(line, BadRecord):
            yield line
        elif not line.strip():
            continue
        elif names is None and not line.startswith("{"):
            names = line.split("\t")
        elif names:
            yield dict(zip(names, line.split("\t"), strict=False))
        else:
            names = []  # the first line was JSON, and so is the rest
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield BadRecord("not_json")


def nli_member(record: Any) -> Member | str:
    """(premise, (label, hypothesis)) of a record, or of the lines of three parallel files."""
    match record:
        case (str(premise), str(hypothesis), str(label)):
            pass
        case {"sentence1": str(premise), "sentence2": str(hypothesis), "gold_label": str(label)}:
            pass
        case dict():
            return "missing_field"
        case _:
            return "not_an_object"
    match label.strip():
        case "entailment" | "contradiction" as judged:
            return premise.strip(), (judged, hypothesis.strip())
        case "neutral":
            return "neutral"
        case "-":
            return "no_gold_label"
    return "unknown_label"


def nli_triplets(record: tuple[str, list[tuple[str, str]]], dataset: str, options: NliOptions) -> Iterator[Pair | str]:
    """Premise → entailed hypothesis, with a contradiction of the same premise as negative.

    Entailed hypotheses and contradictions are ordered by a hash, each for itself; the i-th of the
    former goes with the i-th of the latter, which begin again when they run out.
    """
    premise, hypotheses = record
    entailed = ordered_texts(text for label, text in hypotheses if label == "entailment")
    same = set(map(normalise, entailed))
    contradicted = ordered_texts(
        text for label, text in hypotheses if label == "contradiction" and normalise(text) not in same
    )
    if not entailed or not contradicted:
        yield "no_contradiction" if entailed else "no_entailment"
        return
    for number, hypothesis in enumerate(entailed[: options.premise_triplets]):
        yield Pair(dataset, premise, hypothesis, (contradicted[number % len(contradicted)],))


_NLI = DatasetInfo(
    name="AllNLI",
    tuple="premise → entailed hypothesis, contradiction as negative",
    licence="SNLI CC BY-SA 4.0; MultiNLI OANC and others",
    citation="Bowman et al., A large annotated corpus for learning natural language inference, 2015; "
    "Williams et al., A Broad-Coverage Challenge Corpus for Sentence Understanding through Inference, 2018",
    url="https://nlp.stanford.edu/projects/snli/ and https://cims.nyu.edu/~sbowman/multinli/",
    raw="SNLI and MultiNLI JSON lines or tables (snli_1.0_train.jsonl, multinli_1.0_train.txt, or the zips)",
    published=277_230,
    weight=69,
)
ROWS: tuple[RecordSource, ...] = (
    GroupedSets(
        _NLI,
        read=nli_records,
        member=nli_member,
        pairs=nli_triplets,
        settings=NliOptions(),
        members="[!_]*train.jsonl",  # the zips hold development and test sets, and each table twice
    ),
    GroupedSets(
        _NLI._replace(
            name="AllNLI_aligned",
            url="https://github.com/OanaMariaCamburu/e-SNLI",
            raw="three line-aligned files: premises, hypotheses, labels (s1.train, s2.train, labels.train)",
        ),
        read=aligned_lines,
        member=nli_member,
        pairs=nli_triplets,
        settings=NliOptions(),
        aligned=3,
    ),
)
