"""Sources that go record by record: a reader of a raw format and a function from a record to pairs.

Most of the catalogue is rows of this one class. A reader turns a stream into records and yields a
`BadRecord` for one it cannot make sense of; the function yields pairs, or the reason why there is none.
"""

from __future__ import annotations

import ast
import csv
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, NamedTuple

import ijson
import orjson
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from pipelines.files import (
    MAX_LINE_BYTES,
    InputFile,
    UnreadableFileError,
    as_stream,
    match_files,
    open_members,
    open_raw,
)
from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.base import DatasetInfo, RowSource, Stage
from schemas.pair import Pair

csv.field_size_limit(1 << 24)  # a field of an export may be a whole page; a lost quote must not eat the file


_MARK = b"\xef\xbb\xbf"
_DAMAGE = (OSError, EOFError, csv.Error, ParseError, DefusedXmlException, ijson.JSONError)
_DAMAGE += (UnicodeDecodeError,)  # of readers that decode a document as a whole
"""What readers raise when a file is not what it should be."""


class BadRecord(NamedTuple):
    """A record that a reader could not make sense of."""

    reason: str


Reader = Callable[..., Iterator[Any]]
"""(stream, …) → records and BadRecords; one stream for each file of a line-aligned set."""
Extract = Callable[[Any, str, Any], Iterator[Pair | str]]
"""(record, dataset, options) → pairs, or the reason why there is none."""


@dataclass(frozen=True)
class RecordSource(RowSource):
    """A row of the catalogue: one dataset, its reader, and the way from a record to pairs."""

    read: Reader
    pairs: Extract
    members: str = "*"
    """Which files of an archive are read."""
    aligned: int = 1
    """Files that are read side by side, line by line."""
    seekable: bool = False
    """The reader jumps about in the file, which is therefore neither an archive nor compressed.

    It also takes what stands behind a NUL in the input's path: which part of the file to read."""

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        if self.aligned == 1:
            return self.match_inputs(inputs)
        sides = [match_files((glob,)) for glob in inputs]
        if len(sides) != self.aligned or len({len(side) for side in sides}) != 1:
            raise FileNotFoundError(
                f"{self.info.name} reads {self.aligned} files side by side; expected {self.aligned} --input globs "
                f"that match as many files each, found {[len(side) for side in sides]}"
            )
        return [
            InputFile("\0".join(file.path for file in files), sum(file.bytes for file in files))
            for files in zip(*sides, strict=True)
        ]

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        return (partial(read_records, source=self, dataset=datasets[0].name),)


def read_records(path: str, source: RecordSource, dataset: str) -> Iterator[Pair | Read | Drop | BadFile]:
    """The pairs of one input: a record counts once for each pair it gives, or once with its reason."""
    where = path
    try:
        for opened in _open(path, source):
            where = opened[0]
            for record in source.read(*opened[1:]):
                if isinstance(record, BadRecord):
                    yield Read(dataset)
                    yield Drop(dataset, "read", record.reason)
                    continue
                for outcome in source.pairs(record, dataset, source.settings):
                    yield Read(dataset)
                    yield Drop(dataset, "pair", outcome) if isinstance(outcome, str) else outcome
    except UnreadableFileError as error:
        yield BadFile(str(error))
    except _DAMAGE as error:
        shown = where.replace("\0", " + ")
        yield BadFile(f"{shown}: not {source.info.raw} to its end ({error}); fetch it again")


def _open(path: str, source: RecordSource) -> Iterator[tuple[Any, ...]]:
    """(name, stream …) of each member of an input, or of each set of aligned files."""
    if source.seekable:
        file, _, part = path.partition("\0")
        with open_raw(file) as stream:
            yield file, stream, part
        return
    if source.aligned == 1:
        yield from open_members(path, source.members)
        return
    sides = [open_members(side, source.members) for side in path.split("\0")]
    for members in itertools.zip_longest(*sides):  # one member of each at a time: an archive closes those before
        if None in members:
            raise EOFError("one archive has more files than another")
        yield (path, *(stream for _, stream in members))


# Readers. Each takes a binary stream, or several, and gives records.


def text_lines(stream: IO[bytes]) -> Iterator[Any]:
    """Lines as text, without their ends; a byte order mark is skipped."""
    for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b"")):
        if len(line) > MAX_LINE_BYTES:
            raise EOFError(f"a line of over {MAX_LINE_BYTES:,} bytes")
        if number == 0:
            line = line.removeprefix(_MARK)
        try:
            yield line.rstrip(b"\r\n").decode()
        except UnicodeDecodeError:
            yield BadRecord("not_utf8")


def json_lines(stream: IO[bytes]) -> Iterator[Any]:
    """A JSON value a line."""
    yield from _parsed_lines(stream, orjson.loads, "not_json")


def python_lines(stream: IO[bytes]) -> Iterator[Any]:
    """A Python literal a line, evaluated as a literal alone."""
    yield from _parsed_lines(stream, ast.literal_eval, "not_a_literal")


def _parsed_lines(stream: IO[bytes], parse: Callable[[str], Any], reason: str) -> Iterator[Any]:
    for line in text_lines(stream):
        if isinstance(line, BadRecord):
            yield line
        elif line.strip():
            try:
                yield parse(line)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                yield BadRecord(reason)


def without_mark(stream: IO[bytes]) -> IO[bytes]:
    """The stream without its UTF-8 byte order mark, if it has one."""
    head = stream.read(3)
    return as_stream(itertools.chain([head.removeprefix(_MARK)], iter(lambda: stream.read(1 << 16), b"")))


@dataclass(frozen=True)
class JsonItems:
    """The elements of a list inside one JSON document, streamed: `data.item` is each of data."""

    path: str

    def __call__(self, stream: IO[bytes]) -> Iterator[Any]:
        yield from ijson.items(without_mark(stream), self.path, use_float=True)


@dataclass(frozen=True)
class JsonMembers:
    """(key, value) of an object inside one JSON document, streamed; '' is the document itself."""

    path: str = ""

    def __call__(self, stream: IO[bytes]) -> Iterator[Any]:
        yield from ijson.kvitems(without_mark(stream), self.path, use_float=True)


@dataclass(frozen=True)
class Delimited:
    """Rows of a CSV or TSV as lists of text; fields in quotes may have line ends where `quoted`."""

    delimiter: str = "\t"
    quoted: bool = False
    header: bool = False
    """The first row names the columns; rows are then dicts."""

    def __call__(self, stream: IO[bytes]) -> Iterator[Any]:
        # Undecodable bytes become surrogates, by which the row is known to be bad.
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        lines = _Lines(text)
        rows = csv.reader(lines, delimiter=self.delimiter, quoting=quoting)
        names = next(rows, []) if self.header else []
        for row in rows:
            if lines.at_end:  # the parser wanted more of this row
                raise EOFError("a quote is opened and never closed")
            if not row:
                continue
            if any("\udc80" <= letter <= "\udcff" for field in row for letter in field if not field.isascii()):
                yield BadRecord("not_utf8")
            elif self.header and len(row) != len(names):
                yield BadRecord("wrong_number_of_columns")
            else:
                yield dict(zip(names, row, strict=True)) if self.header else row


class _Lines:
    """Lines of a text that tell when they were asked for more than there are."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self.at_end = text, False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline()
        self.at_end = not line
        if not line:
            raise StopIteration
        return line


def aligned_lines(*streams: IO[bytes]) -> Iterator[Any]:
    """Tuples of the lines that stand at one place in several files; EOFError when one has more lines."""
    for lines in itertools.zip_longest(*map(text_lines, streams)):
        if None in lines:
            raise EOFError("one file has more lines than another")
        yield next((line for line in lines if isinstance(line, BadRecord)), lines)


@dataclass(frozen=True)
class XmlElements:
    """Elements of one tag, each whole; an XML document is streamed, and entity tricks are refused."""

    tag: str

    def __call__(self, stream: IO[bytes]) -> Iterator[Any]:
        parents: list[Any] = []
        wanted = 0  # elements of the tag that are open
        for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=False):
            if event == "start":
                parents.append(element)
                wanted += element.tag == self.tag
                continue
            parents.pop()
            if element.tag == self.tag:
                wanted -= 1
                yield element
            if parents and not wanted:
                parents[-1].remove(element)  # what was read is let go, and so are the wrappers around it
