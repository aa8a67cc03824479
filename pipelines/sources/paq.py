"""PAQ: machine-made questions, joined in Beam with the Wikipedia passages that they were made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pipelines.files import InputFile, match_files
from pipelines.filters.degenerate import empty_text, same_text
from pipelines.filters.rule import Filter
from pipelines.funnel import Drop, Keyed, Read
from pipelines.sources.base import DatasetInfo, Source, Stage
from pipelines.sources.question_answering import as_text, field, rows_of
from pipelines.sources.records import Delimited, RecordSource, json_lines, read_records
from schemas.pair import Pair


def _paq_questions(record: Any, dataset: str, _: Any) -> Iterator[Any]:
    """(passage id, (is the passage, question)) of the first passage, or the pair where its text is there."""
    rows = field(record, "passages", "answers")
    passage, text = next(rows_of(rows, "passage_id", "text"), (None, None))
    question = as_text(field(record, "question"))
    if not question:
        yield "no_question"
    elif not isinstance(passage, str | int) or passage == "":
        yield "no_passage"
    elif field(record, "passages") is not None and as_text(text):
        yield Pair(dataset, question, as_text(text), group=f"paq/{passage}")
    else:
        yield Keyed(str(passage), (False, question))


def _paq_passages(row: list[str], _: str, __: Any) -> Iterator[Any]:
    if len(row) == 3:
        yield Keyed(row[0], (True, as_text(row[1])))


def join_passage(element: tuple[str, Iterable[tuple[bool, str]]], dataset: str) -> Iterator[Pair | Drop]:
    """The questions on one passage, each with its text."""
    passage, rows = element
    rows = list(rows)
    text = max((text for is_passage, text in rows if is_passage), default="")
    for is_passage, question in rows:
        if not is_passage:
            pair = Pair(dataset, question, text, group=f"paq/{passage}")
            yield pair if text else Drop(dataset, "pair", "missing_passage")


@dataclass(frozen=True)
class Paq(Source):
    """PAQ: question → the passage that it was made from, joined by passage id."""

    test_fraction: float = 0.0
    """Share of the passages whose questions are held out."""

    datasets: ClassVar[tuple[DatasetInfo, ...]] = (
        DatasetInfo(
            name="PAQ_pairs",
            tuple="question → passage that answers it",
            licence="CC BY-SA 3.0",
            citation="Lewis et al., PAQ: 65 Million Probably-Asked Questions and What You Can Do With Them, 2021",
            url="https://github.com/facebookresearch/PAQ",
            raw="PAQ JSON lines (PAQ.metadata.jsonl.gz) with the passages (psgs_w100.tsv.gz), both as --input; "
            "or JSON lines that hold the passages",
            published=64_371_441,
            weight=123,
        ),
    )

    @property
    def filters(self) -> tuple[Filter, ...]:
        return empty_text, same_text

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        info = self.datasets[0]
        if not inputs:
            raise FileNotFoundError(f"{info.name} needs --input: {info.raw}, from {info.url}")
        return match_files(inputs)

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        # Pairs, or passage id → (is the passage, text); then passage id → pairs.
        return partial(read_paq, dataset=dataset), partial(join_passage, dataset=dataset)


def read_paq(path: str, dataset: str) -> Iterator[Any]:
    """Questions are the records; a passage that cannot be read shows as its questions' `missing_passage`."""
    info = Paq.datasets[0]
    if re.search(r"\.tsv(\.\w+)?$", path):
        passages = RecordSource(info, Delimited("\t", quoted=True), _paq_passages)
        for outcome in read_records(path, passages, dataset):
            if not isinstance(outcome, Read | Drop):
                yield outcome
    else:
        yield from read_records(path, RecordSource(info, json_lines, _paq_questions, members="*.jsonl"), dataset)
