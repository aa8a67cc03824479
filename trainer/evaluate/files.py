"""Evaluation files as users have them: compressed or not, with or without a byte order mark, any line ends."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

ENDINGS = (".gz", ".bz2", ".xz", ".csv", ".tsv", ".txt", ".jsonl", ".json", ".xml", ".tfrecord", ".parquet")
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def open_text(path: Path) -> IO[str]:
    """A file as UTF-8 text, decompressed by its ending; what is not UTF-8 becomes U+FFFD, line ends become \\n.

    Reading raises OSError, or EOFError for a compressed file that ends too early: `lines` turns both into one line.
    """
    opener = OPENERS.get(path.suffix, open)
    return opener(path, "rt", encoding="utf-8-sig", errors="replace", newline=None)


def read_text(path: Path) -> str:
    """The whole text of a file. Raises OSError or ValueError, in one line, when it cannot be read."""
    return "".join(lines(path))


def lines(path: Path) -> Iterator[str]:
    """The lines of a file with their \\n. Raises OSError or ValueError, in one line, when it cannot be read."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file")
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; expected an evaluation file")
    try:
        with open_text(path) as file:
            yield from file
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: the compressed file is damaged ({error}); fetch it again") from None


def stem(path: Path) -> str:
    """A file's or folder's name without its endings.

    >>> stem(Path("eval/sts-dev.csv.gz"))
    'sts-dev'
    """
    name = path.name
    while name.endswith(ENDINGS):
        name = name.rpartition(".")[0]
    return name or path.name


def read_table(path: Path, *, quoted: bool | None = None) -> tuple[list[str], list[list[str]]]:
    """(column names, rows) of a table with a header: tab-separated where the header holds a tab, otherwise CSV.

    A quoted field may hold separators and line ends. In a tab-separated file `"` is an ordinary character
    unless every field that begins with one also ends with one. Rows without any text are left out.
    """
    text = read_text(path)
    header = text.partition("\n")[0]
    separator = "\t" if "\t" in header else ","
    if quoted is None:
        quoted = separator == "," or _has_quoted_fields(text)
    rows = cut(text, separator, quoted=quoted)
    names = [name.strip() for name in next(rows, [])]
    return names, [row for row in rows if any(field.strip() for field in row)]


def cut(text: str, separator: str, *, quoted: bool) -> Iterator[list[str]]:
    """Rows of fields. Raises ValueError for a field that no table has (more than 128 MiB)."""
    csv.field_size_limit(1 << 27)
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting)


def _has_quoted_fields(text: str) -> bool:
    """Whether every field of a tab-separated file that begins with a quote also ends with one."""
    fields = [field for line in text.splitlines()[:1000] for field in line.split("\t") if field.startswith('"')]
    return bool(fields) and all(len(field) > 1 and field.endswith('"') for field in fields)


def column(path: Path, names: Sequence[str], *wanted: str) -> int:
    """The number of the first of the wanted columns, whatever case, spaces, dashes and underscores.

    Raises ValueError that says which columns were found.
    """
    plain = [_plain(name) for name in names]
    for name in wanted:
        if _plain(name) in plain:
            return plain.index(_plain(name))
    raise ValueError(f"{path}: columns are {', '.join(names) or 'none'}; expected one called {' or '.join(wanted)}")


def has_column(names: Sequence[str], *wanted: str) -> bool:
    """Whether `column` would find one."""
    plain = {_plain(name) for name in names}
    return any(_plain(name) in plain for name in wanted)


def read_columns(path: Path, *wanted: Sequence[str]) -> list[list[str]]:
    """The wanted columns of each row of a table with names: TSV, CSV, JSON lines (`.jsonl`, `.json`) or Parquet.

    Each wanted column is a list of the names it may have. A number stands for a place, from 1, in a TSV or
    CSV file without a header: then all are numbers. Raises OSError or ValueError, in one line, for a file
    that cannot be read, a column that is not there, or a row that lacks one.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".parquet":
        return _parquet_columns(path, wanted)
    if {".jsonl", ".json"} & set(suffixes):
        return _json_columns(path, wanted)
    if all(len(names) == 1 and names[0].isdecimal() and int(names[0]) for names in wanted):
        rows, places = list(read_rows(path)), [int(names[0]) - 1 for names in wanted]
    else:
        header, rows = read_table(path)
        places = [column(path, header, *names) for names in wanted]
    return [_chosen(path, number, row, places) for number, row in enumerate(rows, start=1)]


def read_rows(path: Path) -> Iterator[list[str]]:
    """Rows of a table without a header, cut as `read_table` cuts; rows without any text are left out."""
    text = read_text(path)
    separator = "\t" if "\t" in text.partition("\n")[0] else ","
    for row in cut(text, separator, quoted=separator == "," or _has_quoted_fields(text)):
        if any(field.strip() for field in row):
            yield row


def _chosen(path: Path, number: int, row: list[str], places: list[int]) -> list[str]:
    if len(row) <= max(places):
        raise ValueError(f"{path}: row {number} has {len(row)} fields; expected at least {max(places) + 1}")
    return [row[place].strip() for place in places]


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the line, object) of a file of JSON lines; empty lines are left out."""
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number} is not JSON ({error}); expected an object a line") from None
        if not isinstance(document, dict):
            raise ValueError(f"{path}: line {number} is not a JSON object; expected an object a line")
        yield number, document


def _json_columns(path: Path, wanted: Sequence[Sequence[str]]) -> list[list[str]]:
    rows = []
    for number, document in json_lines(path):
        names = list(document)
        try:
            chosen = [document[names[column(path, names, *those)]] for those in wanted]
        except ValueError as error:
            raise ValueError(f"{error} (line {number})") from None
        rows.append([_text(path, number, value) for value in chosen])
    return rows


def _parquet_columns(path: Path, wanted: Sequence[Sequence[str]]) -> list[list[str]]:
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; expected an evaluation file")
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            chosen = [names[column(path, names, *those)] for those in wanted]
            columns = [file.read([name]).column(0).to_pylist() for name in chosen]
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file ({error}); fetch it again") from None
    rows = enumerate(zip(*columns, strict=True), start=1)
    return [[_text(path, number, value) for value in row] for number, row in rows]


def _text(path: Path, row: int, value: Any) -> str:
    """Raises ValueError for a list or an object, whose words in Python are no text of anybody's."""
    if isinstance(value, list | dict | bytes):
        raise ValueError(f"{path}: row {row} holds a {type(value).__name__}; expected a text or a number")
    return "" if value is None else str(value).strip()


def numbers(path: Path, fields: Sequence[str], what: str) -> NDArray[np.float64]:
    """The fields as numbers; a blank one is NaN. Raises ValueError that names the first that is no finite number."""
    values = np.full(len(fields), np.nan)
    for row, field in enumerate(fields):
        if not field:
            continue
        try:
            values[row] = float(field)
        except ValueError:
            values[row] = np.inf
        if not np.isfinite(values[row]):
            raise ValueError(f"{path}: the {what} of row {row + 1} is {field!r}; expected a number or nothing")
    return values


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def is_table(path: Path) -> bool:
    """Whether a file has columns, by its name's ending or a tab in its first line; others hold a text a line."""
    if {".csv", ".tsv", ".jsonl", ".json", ".parquet"} & {suffix.lower() for suffix in path.suffixes}:
        return True
    return "\t" in next(lines(path), "")
