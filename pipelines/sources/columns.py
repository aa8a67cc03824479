"""Any table: JSON lines, CSV, TSV, Parquet, Arrow, or a dataset of the Hugging Face Hub, by named columns.

A new corpus needs no code: the columns of anchor, positive and negatives are named on the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.files import HUB, InputFile, match_files, open_raw
from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.records import Delimited, Reader, RecordSource, json_lines
from schemas.pair import Pair

BATCH_ROWS = 4096
_INFO = DatasetInfo("", "anchor → positive", "not stated", "not stated", "")


@dataclass(frozen=True)
class ColumnOptions(RecordOptions):
    """Which columns hold what."""

    anchor: str = "anchor"
    """Column of the anchor."""
    positive: str = "positive"
    """Column of the positive; a list gives a pair for each of its texts."""
    negative: tuple[str, ...] = ()
    """Columns of hard negatives; a list is several."""
    group: str | None = None
    """Column that decides the split; by default the anchor itself does."""
    cluster: str | None = None
    """Column that marks texts which mean the same."""


def pairs_of_row(row: Any, dataset: str, options: ColumnOptions) -> Iterator[Pair | str]:
    """The pairs of one row, or the reason why there is none."""
    if not isinstance(row, dict):
        yield "not_an_object"
        return
    for column in (options.anchor, options.positive, *options.negative, options.group, options.cluster):
        if column is not None and column not in row:
            yield f"column_{column}_missing"
            return
    anchors, positives = _texts(row[options.anchor]), _texts(row[options.positive])
    negatives = [_texts(row[column]) for column in options.negative]
    if anchors is None or len(anchors) != 1 or not positives or any(texts is None for texts in negatives):
        yield "not_a_text"
        return
    for positive in positives:
        yield Pair(
            dataset,
            anchors[0],
            positive,
            tuple(text for texts in negatives for text in texts or ()),
            group=_name(row, options.group) or "",
            cluster=_name(row, options.cluster),
        )


def _texts(value: Any) -> list[str] | None:
    """The texts of a cell; None when it holds something else."""
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(text, str) for text in values) else None


def _name(row: dict[str, Any], column: str | None) -> str | None:
    """The cell as text; None where there is nothing. A 0 is something."""
    value = row.get(column) if column else None
    return None if value is None else str(value)


def parquet_rows(stream: IO[bytes], part: str = "") -> Iterator[Any]:
    """Rows of a Parquet file, or of one row group, as dicts, a few thousand in memory at a time."""
    groups = [int(part)] if part else None
    yield from _arrow_rows(lambda: pq.ParquetFile(stream).iter_batches(BATCH_ROWS, row_groups=groups), "Parquet")


def arrow_rows(stream: IO[bytes], _: str = "") -> Iterator[Any]:
    """Rows of an Arrow stream or file as dicts."""
    yield from _arrow_rows(lambda: _arrow_batches(stream), "Arrow")


def _arrow_batches(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    if stream.read(6) == b"ARROW1":
        stream.seek(0)
        reader = pa.ipc.open_file(stream)
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)


def _arrow_rows(open_batches: Any, name: str) -> Iterator[Any]:
    try:
        for batch in open_batches():
            yield from batch.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise EOFError(f"not {name}: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class ColumnSource(RecordSource):
    """A table whose columns the options name. `--dataset` gives it a name of its own."""

    endings: tuple[str, ...] = ()

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        if not inputs:
            raise FileNotFoundError(f"{self.info.name} needs --input: {self.info.raw}")
        files = match_files(inputs)
        if odd := [file.path for file in files if self.endings and not file.path.endswith(self.endings)]:
            raise FileNotFoundError(f"{odd[0]}: expected a name that ends in {' or '.join(self.endings)}")
        return [part for file in files for part in (row_groups(file) if self.read is parquet_rows else [file])]


def row_groups(file: InputFile) -> list[InputFile]:
    """The row groups of a Parquet file, to be read in parallel; the file itself if it is none."""
    try:
        with open_raw(file.path) as stream:
            groups = pq.ParquetFile(stream).metadata
    except (pa.ArrowException, OSError):
        return [file]  # the job will say what is wrong with it, together with all other bad files
    return [
        InputFile(f"{file.path}\0{number}", groups.row_group(number).total_byte_size)
        for number in range(groups.num_row_groups)
    ]


@dataclass(frozen=True)
class HubOptions(ColumnOptions):
    """Which part of a Hub dataset is read, and which columns hold what."""

    subset: str = "*"
    """Configuration of the dataset."""
    split: str = "train"
    """Split of the dataset."""


@dataclass(frozen=True)
class HubSource(ColumnSource):
    """Datasets of the Hugging Face Hub, by id, through the Parquet files that the Hub keeps of each."""

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        if not inputs or any(name.count("/") != 1 for name in inputs):
            raise FileNotFoundError(f"hub needs --input OWNER/NAME, the id of a dataset; found {list(inputs)}")
        part = f"{self.settings.subset}/{self.settings.split}"
        files = match_files(tuple(f"{HUB}datasets/{name}@~parquet/{part}/*.parquet" for name in inputs))
        return [group for file in files for group in row_groups(file)]


def _row(name: str, raw: str, read: Reader, *endings: str, seekable: bool = False) -> ColumnSource:
    info = _INFO._replace(name=name, raw=raw)
    return ColumnSource(info, read, pairs_of_row, settings=ColumnOptions(), endings=endings, seekable=seekable)


ROWS = (
    _row("jsonl", "JSON lines, an object a line", json_lines),
    _row("csv", "CSV with a header line", Delimited(",", quoted=True, header=True)),
    _row("tsv", "TSV with a header line", Delimited("\t", quoted=True, header=True)),
    _row("parquet", "Parquet", parquet_rows, seekable=True),
    _row("arrow", "Arrow stream or file", arrow_rows, seekable=True),
    HubSource(
        _INFO._replace(name="hub", raw="the id of a dataset", url="https://huggingface.co/datasets"),
        parquet_rows,
        pairs_of_row,
        settings=HubOptions(),
        seekable=True,
    ),
)
