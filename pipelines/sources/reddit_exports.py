"""Reddit comments in other wrappings than dumps: files of single threads, exports of a BigQuery table.

What a comment is and which replies are pairs is the business of `reddit`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow
import pyarrow.parquet

from pipelines.files import UnreadableFileError, open_members, open_raw
from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import json_lines
from pipelines.sources.reddit import Reddit

_LICENCE = "none stated; Reddit's terms apply to the comments"
_NEEDED = ("id", "link_id", "parent_id", "body")
_COLUMNS = (*_NEEDED, "retrieved_on", "retrieved_utc", "subreddit", "author", "over_18")
_BATCH_ROWS = 8192


@dataclass(frozen=True)
class RedditThreads(Reddit):
    """Files of one thread each, a JSON comment a line, alone or in a .tar, .zip or .7z: comment → reply."""

    datasets: ClassVar[tuple[DatasetInfo, ...]] = (
        DatasetInfo(
            name="reddit_threads",
            tuple="comment → reply",
            licence=_LICENCE,
            citation="Habernal et al., Before Name-calling: Dynamics and Triggers of Ad Hominem Fallacies, 2018",
            url="https://github.com/UKPLab/naacl2018-before-name-calling-habernal-et-al",
            raw="thread files, a JSON comment a line (changemyview-threads.tar.bz2)",
        ),
    )

    splittable: ClassVar[bool] = False

    def read_rows(self, path: str, stripe: int, stripes: int) -> Iterator[list[Any]]:
        return in_blocks(path, thread_rows(path))


@dataclass(frozen=True)
class RedditBigQuery(Reddit):
    """Exports of the BigQuery table of Reddit comments, as JSON lines or Parquet: comment → reply."""

    datasets: ClassVar[tuple[DatasetInfo, ...]] = (
        DatasetInfo(
            name="reddit_bigquery",
            tuple="comment → reply",
            licence=_LICENCE,
            citation="Henderson et al., A Repository of Conversational Datasets, 2019",
            url="https://github.com/PolyAI-LDN/conversational-datasets/tree/master/reddit",
            raw="exported table of comments (*.parquet, or JSON lines: *.json, *.json.gz)",
        ),
    )

    splittable: ClassVar[bool] = False

    def read_rows(self, path: str, stripe: int, stripes: int) -> Iterator[list[Any]]:
        if path.endswith(".parquet"):
            return in_blocks(path, parquet_rows(path))
        return super().read_rows(path, stripe, stripes)


def in_blocks(path: str, rows: Iterator[Any]) -> Iterator[list[Any]]:
    """A file's rows in lists, up to the damage where the file has some.

    Raises UnreadableFileError where the file cannot be read to its end.
    """
    block: list[Any] = []
    try:
        for row in rows:
            block.append(row)
            if len(block) == _BATCH_ROWS:
                yield block
                block = []
    except UnreadableFileError:
        yield block
        raise
    except (OSError, EOFError) as error:
        yield block
        raise UnreadableFileError(f"{path}: cannot be read to its end ({error}); fetch it again") from None
    yield block


def thread_rows(path: str) -> Iterator[Any]:
    """The rows of every thread file in an archive, or of the one file."""
    for _, stream in open_members(path, "*.json*"):
        yield from json_lines(stream)


def parquet_rows(path: str) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file as dicts of what a comment needs, with one row group in memory at a time.

    Raises UnreadableFileError when the file is damaged or its columns are another table's.
    """
    try:
        with open_raw(path) as stream, pyarrow.parquet.ParquetFile(stream) as file:
            columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
            if missing := set(_NEEDED).difference(columns):
                raise UnreadableFileError(
                    f"{path}: no column {', '.join(sorted(missing))}; expected a table of comments with at least "
                    "id, link_id, parent_id and body"
                )
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
                    yield from batch.to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{path}: damaged Parquet file ({error}); fetch it again") from None


ROWS: tuple[Reddit, ...] = (RedditThreads(), RedditBigQuery())
