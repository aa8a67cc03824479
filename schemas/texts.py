"""A corpus of texts, from any file that users have: a stream in bounded memory, in the order of the file.

| path | texts |
| --- | --- |
| folder of datasets, or a `manifest.json` | of its pairs, held-out ones first |
| `.tfrecord` | of the pairs of one shard |
| `.parquet` | of one column |
| `.csv`, `.tsv` | of one column, which the first line names |
| `.jsonl`, `.ndjson`, `.json` | of one field of the object in each line |
| any other | one a line |

Files of lines may be compressed: `.gz`, `.bz2`, `.xz`, `.zst` after the name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast, get_args

import orjson
import zstandard

from schemas.example import decode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, find_manifests
from schemas.pair import TEST, TRAIN, Pair
from schemas.shards import read_shard

Which = Literal["positives", "anchors", "all"]
WHICH: tuple[Which, ...] = get_args(Which)
FIELD = "text"
MOST_BYTES = 1 << 26
"""Of a line. A file without line feeds is no file of lines, and must not be read into memory."""
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET, SHARD = ".parquet", ".tfrecord"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BLOCK = 1 << 20
_TABLE_BLOCK = 1 << 24
"""Bytes read at once of a table; no row may be longer."""
_BOM = b"\xef\xbb\xbf"


class Text(NamedTuple):
    """A text of a corpus and where it comes from."""

    text: str
    source: str
    """The pair's group, or else its dataset; of other files `line 7`, `row 7`, from 1."""


def read_texts(path: str | Path, *, field: str = FIELD, which: Which = "positives") -> Iterator[Text]:
    """Every text, empty ones too: text i of a file is its line i or row i.

    `field` is the field of JSON lines and the column of Parquet, CSV and TSV; `which` says which texts of a pair
    are meant: its positive, its anchor, or anchor, positive and hard negatives in turn. Texts come as they
    stand: equal ones are not folded. Raises FileNotFoundError when nothing is there, ValueError, with
    the place, for what is not a text.
    """
    if which not in WHICH:
        raise ValueError(f"which is {which!r}; expected one of {', '.join(WHICH)}")
    path = Path(path)
    if (folders := _dataset_folders(path)) is not None:
        return _of_datasets(folders, which)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected a dataset folder, Parquet, JSON lines or a file with a text a line"
        )
    kind = _kind(path)
    if kind == SHARD:
        return _of_records(read_shard(path), str(path), which)
    if kind == PARQUET:
        return _of_parquet(path, field)
    if kind in DELIMITERS:
        return _of_table(path, field, DELIMITERS[kind])
    return _of_json_lines(path, field) if kind in JSON_LINES else _of_lines(path)


def count_texts(path: str | Path, *, which: Which = "positives") -> int | None:
    """How many texts `read_texts` gives, without decoding them; None where only reading would tell.

    Lines are counted by reading the file once. Raises as `read_texts` does for a path that is not there.
    """
    path = Path(path)
    if (folders := _dataset_folders(path)) is not None:
        if which == "all":
            return None
        manifests = [Manifest.load(folder) for folder in folders]
        return sum(manifest.records(split) for manifest in manifests for split in (TEST, TRAIN))
    kind = _kind(path)
    if kind == PARQUET:
        return _open_parquet(path).metadata.num_rows
    if kind == SHARD or kind in DELIMITERS:  # a quoted text may hold line feeds
        return None
    with open_lines(path) as file:
        count, last = 0, b"\n"
        while block := _checked(path, lambda: file.read(_BLOCK)):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")


def read_lines(file: IO[bytes], *, where: str) -> Iterator[str]:
    """Lines of an open file, ended by line feeds alone (a carriage return before one goes); a byte order mark goes.

    Bytes that are no UTF-8 become U+FFFD. `where` names the file in errors.
    """
    number = 0
    while line := _checked(where, lambda: file.readline(MOST_BYTES)):
        if number == 0:
            line = line.removeprefix(_BOM)
        number += 1
        if len(line) == MOST_BYTES:
            raise ValueError(f"{where}: line {number} is longer than {MOST_BYTES >> 20} MiB; expected a text a line")
        yield line.decode(errors="replace").removesuffix("\n").removesuffix("\r")


def open_lines(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed by its name. Raises FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a text a line")
    opened = _COMPRESSIONS.get(path.suffix.lower(), open)(path, "rb")
    return cast("IO[bytes]", opened if path.suffix.lower() != ".zst" else io.BufferedReader(cast(Any, opened)))


def _open_zstd(path: Path, _: str) -> Any:
    # Dumps are written with long windows, which the library refuses unless told otherwise.
    return zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
        path.open("rb"), read_across_frames=True, closefd=True
    )


_COMPRESSIONS: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}


def _checked(where: str | Path, read: Callable[[], bytes]) -> bytes:
    """What was read; what a damaged compression raises becomes one kind of error."""
    try:
        return read()
    except (EOFError, OSError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ValueError(f"{where}: cannot be read to its end ({error}); get the file again") from None


def _kind(path: Path) -> str:
    """The suffix that says what is in a file, without that of a compression."""
    inner = path.with_suffix("") if path.suffix.lower() in _COMPRESSIONS else path
    return inner.suffix.lower()


def _dataset_folders(path: Path) -> list[Path] | None:
    """Folders of the datasets that a path means; None when it means a file."""
    if path.is_dir():
        return find_manifests(path)
    return [path.parent] if path.name == MANIFEST_NAME and path.is_file() else None


def _of_datasets(folders: Iterable[Path], which: Which) -> Iterator[Text]:
    for manifest in map(Manifest.load, folders):
        if manifest.kind == "tokens":
            raise ValueError(f"{manifest.folder} holds token ids; expected texts: use the dataset it was made from")
        for split in (TEST, TRAIN):
            for path, _ in manifest.shards(split):
                yield from _of_records(read_shard(path), path, which)


def _of_records(records: Iterable[bytes], where: str, which: Which) -> Iterator[Text]:
    for number, record in enumerate(records, start=1):
        try:
            pair, _ = decode_pair(record)
        except ValueError as error:
            raise ValueError(f"{where}: record {number}: {error}") from None
        for text in _chosen(pair, which):
            yield Text(text, pair.group or pair.dataset)


def _chosen(pair: Pair, which: Which) -> tuple[str, ...]:
    if which == "all":
        return pair.texts
    return (pair.positive,) if which == "positives" else (pair.anchor,)


def _of_lines(path: Path) -> Iterator[Text]:
    with open_lines(path) as file:
        for number, line in enumerate(read_lines(file, where=str(path)), start=1):
            yield Text(line, f"line {number}")


def _of_json_lines(path: Path, field: str) -> Iterator[Text]:
    for line, source in _of_lines(path):
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}: {source} is not JSON ({error}); expected an object a line") from None
        if not isinstance(document, dict):
            raise ValueError(f"{path}: {source} is a {type(document).__name__}; expected an object with {field!r}")
        if field not in document:
            found = ", ".join(map(repr, document)) or "no fields"
            raise ValueError(f"{path}: {source} has no field {field!r} but {found}; name the one that holds the text")
        yield Text(_string(document[field], path, source, field), source)


def _of_parquet(path: Path, field: str) -> Iterator[Text]:
    import pyarrow as pa

    file = _open_parquet(path)
    columns = file.schema_arrow
    if field not in columns.names:
        texts = [c.name for c in columns if pa.types.is_string(c.type) or pa.types.is_large_string(c.type)]
        raise ValueError(f"{path} has no column {field!r}; expected one of {', '.join(texts) or 'text, and has none'}")
    number = 0
    for batch in file.iter_batches(batch_size=1024, columns=[field]):
        for value in batch.column(0).to_pylist():
            number += 1
            yield Text(_string(value, path, f"row {number}", field), f"row {number}")


def _of_table(path: Path, field: str, delimiter: str) -> Iterator[Text]:
    import pyarrow as pa
    from pyarrow import csv

    number = 0
    try:
        with open_lines(path) as file:
            rows = csv.open_csv(
                file,
                read_options=csv.ReadOptions(block_size=_TABLE_BLOCK),
                parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(include_columns=[field], column_types={field: pa.string()}),
            )
            for batch in rows:
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield Text(value, f"row {number}")
    except KeyError:
        with open_lines(path) as file:
            found = next(iter(read_lines(file, where=str(path))), "")
        raise ValueError(
            f"{path} has no column {field!r}; expected its name in the first line: {found[:200]}"
        ) from None
    except (pa.ArrowException, EOFError, OSError, lzma.LZMAError, zstandard.ZstdError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: cannot be read to its end ({reason}); expected a table with a header") from None


def _open_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a Parquet file ({reason}); expected one; get it again") from None


def _string(value: Any, path: Path, source: str, field: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{path}: {source}: {field!r} is a {type(value).__name__}; expected a string")
    return value
