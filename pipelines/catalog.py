"""The catalogue: every source that `pairstream preprocess` knows, by name.

A row is a source; its `DatasetInfo` says what the tuple is, the raw format, where to get it, licence,
citation, and the original's count and weight. `docs/sources.md` tells how to add one.
"""

from __future__ import annotations

from pipelines.sources import (
    captions,
    code,
    columns,
    duplicates,
    msmarco,
    nli,
    papers,
    paraphrases,
    question_answering,
    question_passages,
    reddit_exports,
    reddit_submissions,
    shorter_texts,
    stackexchange,
)
from pipelines.sources.base import DatasetInfo, Source
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit

FAMILIES = (
    reddit_submissions,
    reddit_exports,
    stackexchange,
    question_passages,
    question_answering,
    msmarco,
    papers,
    duplicates,
    nli,
    shorter_texts,
    paraphrases,
    captions,
    code,
    columns,
)

SOURCES: dict[str, Source] = {
    "reddit": Reddit(),
    **{row.datasets[0].name: row for family in FAMILIES for row in family.ROWS},
    "docstrings": Docstrings(),
}

CATALOGUE: dict[str, DatasetInfo] = {info.name: info for source in SOURCES.values() for info in source.datasets}
"""What is known of each dataset, by name."""
