"""Sentences that follow from one another, say the same, or say it shorter."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import orjson

from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.records import BadRecord, Delimited, JsonMembers, RecordSource, aligned_lines, text_lines
from pipelines.sources.sets import GroupedSets, Member, ordered_texts
from schemas.pair import Pair, normalise

SPLIT_MARK = "<::::>"
"""WikiSplit's mark between the sentences that one was split into."""
_HOW_TO = re.compile(r"^how to\s+", re.IGNORECASE)

# Natural language inference


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


# Shorter and simpler


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


# Paraphrases, translations, occupations


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
