"""Reddit comments in other wrappings than dumps: files of single threads, exports of a BigQuery table.

What a comment is and which replies are pairs is the business of `reddit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow
import pyarrow.parquet
from apache_beam.io.filesystem import BeamIOError

from pipelines.files import UnreadableFileError, open_members, open_raw
from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import BadRecord, json_lines
from pipelines.sources.reddit import Reddit, comment_from_row, read_comments

_LICENCE = "none stated; Reddit's terms apply to the comments"
_COLUMNS = ("id", "link_id", "parent_id", "body", "retrieved_on", "retrieved_utc")
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

    def read_file(self, path: str, dataset: str) -> Iterator[tuple[str, bytes] | Read | Drop | BadFile]:
        return read_rows(path, dataset, thread_rows)


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

    def read_file(self, path: str, dataset: str) -> Iterator[tuple[str, bytes] | Read | Drop | BadFile]:
        if path.endswith(".parquet"):
            return read_rows(path, dataset, parquet_rows)
        return read_comments(path, dataset)


def read_rows(
    path: str, dataset: str, rows: Callable[[str], Iterator[Any]]
) -> Iterator[tuple[str, bytes] | Read | Drop | BadFile]:
    """(thread, comment as JSON) of each good row of a file."""
    try:
        for row in rows(path):
            yield Read(dataset)
            parsed = row.reason if isinstance(row, BadRecord) else comment_from_row(row)
            yield Drop(dataset, "read", parsed) if isinstance(parsed, str) else parsed
    except UnreadableFileError as error:
        yield BadFile(str(error))
    except (OSError, BeamIOError, EOFError) as error:
        yield BadFile(f"{path}: cannot be read to its end ({error}); fetch it again")


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
            if missing := {"id", "link_id", "parent_id", "body"}.difference(columns):
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
