"""The texts of an evaluation file, in whichever of the forms that publishers use."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import ijson
import orjson

from pipelines.files import COMPRESSED, as_stream, read_lines

_TEXT_FIELD = re.compile(
    "texts?|text[12]|query|question[12]?|sentences?|sentence[12ab]|anchor|positive|negative|premise|hypothesis|#[12]string"
)
"""Names of columns and JSON fields that hold texts, in lower case, without spaces and underscores."""
_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_TABLE_ENDINGS = (".tsv", ".csv", ".tab", ".txt")
_SMART_ENDINGS = (".qry", ".all")
COMPRESSED_ENDINGS = tuple(ending for ending in COMPRESSED if ending in (".gz", ".bz2", ".xz", ".zst"))
_KNOWN = (*_JSON_ENDINGS, *_TABLE_ENDINGS, ".xml", *_SMART_ENDINGS)


def read_texts(path: str) -> Iterator[str]:
    """The texts of an evaluation file, which may be compressed (.gz .bz2 .xz .zst).

    Its ending, and then its first line that is not blank, say what it is:

    - .jsonl .ndjson .json: an object a line, in a .json also objects in one array; their texts are the
      strings, or lists of them, in fields named text, query, question, sentence (each also with 1 or 2, A or
      B behind it, or as a plural), anchor, positive, negative, premise or hypothesis;
    - .tsv .csv .tab .txt whose first line names such columns: a table, cut at tabs, quotes being
      characters like others; a .csv without tabs in that line at commas, with quoting;
    - the same endings, 7 or more columns between tabs, a number from 0 to 5 in the fifth: STS-B, with
      texts in columns 6 and 7;
    - .txt of two columns between tabs: both are texts, as in the inputs of the STS tasks;
    - .txt without tabs: a text a line;
    - .xml of TREC topics (<top>), TREC documents (<doc>) or SemEval's community questions (<OrgQuestion>);
    - .qry .all: SMART collections, the .W of each entry, or its .T where there is none.

    Raises ValueError for anything else.
    """
    ending = form_ending(uncompressed_name(path))
    if not ending:
        raise ValueError(f"{path}: not a form of evaluation texts; expected a name that ends in {' '.join(_KNOWN)}")
    lines = decoded_lines(path)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return
    if "\0" in first:
        raise ValueError(f"{path}: holds zero bytes; expected text in UTF-8: convert it")
    lines = chain([first], lines)
    if ending == ".json" and first.lstrip().startswith("["):
        yield from _json_texts(_json_array(path, lines))
    elif ending in _JSON_ENDINGS:
        yield from _json_texts(json_lines(path, decoded_lines(path)))
    elif ending == ".xml":
        yield from _xml_texts(path, lines)
    elif ending in _SMART_ENDINGS:
        yield from _smart_texts(path, lines)
    else:
        yield from _table_texts(path, ending, first, lines)


def uncompressed_name(path: str) -> str:
    """The file's name without the ending of its compression."""
    name = path.rsplit("/", 1)[-1]
    return next((name[: -len(ending)] for ending in COMPRESSED_ENDINGS if name.endswith(ending)), name)


def form_ending(name: str) -> str:
    """The ending, in lower case, that says the file's form; '' when it is none that we know."""
    return next((ending for ending in _KNOWN if name.lower().endswith(ending)), "")


def decoded_lines(path: str) -> Iterator[str]:
    """Lines without their ends. Bytes that are not UTF-8 become U+FFFD, which is no part of any word."""
    lines = (line.decode("utf-8", "replace").removesuffix("\r") for block in read_lines(path) for line in block)
    first = next(lines, "")
    yield first.removeprefix("\ufeff")
    yield from lines


def json_lines(path: str, lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) of JSON lines."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                row = None
            yield _as_object(row, f"{path}: line {number:,}", "one a line")


def _json_array(path: str, lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) of a JSON array."""
    stream = as_stream(f"{line}\n".encode() for line in lines)
    try:
        for number, row in enumerate(ijson.items(stream, "item", use_float=True), 1):
            yield _as_object(row, f"{path}: item {number:,}", "an array of them")
    except ijson.JSONError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: no JSON array to its end ({reason}); expected one of objects: mend it") from None


def _as_object(row: Any, where: str, expected: str) -> tuple[str, dict[str, Any]]:
    if isinstance(row, dict):
        return where, row
    raise ValueError(f"{where} is no JSON object; expected {expected}: convert it")


def _json_texts(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for where, row in rows:
        values = [value for name, value in row.items() if _is_text_field(name)]
        texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
        if not values or not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError(
                f"{where} has the fields {', '.join(row) or 'none'}; expected texts in one such as "
                "text, query or sentence1: rename a field"
            )
        yield from filter(None, texts)


def _is_text_field(name: str) -> bool:
    return _TEXT_FIELD.fullmatch(re.sub(r"[\s_]", "", name).lower()) is not None


def _table_texts(path: str, ending: str, first: str, lines: Iterator[str]) -> Iterator[str]:
    commas = ending == ".csv" and "\t" not in first
    rows: Iterator[list[str]] = (
        csv.reader(line + "\n" for line in lines) if commas else (line.split("\t") for line in lines)
    )
    cells = next(csv.reader([first])) if commas else first.split("\t")
    columns = [at for at, cell in enumerate(cells) if _is_text_field(cell)]
    if columns and (ending != ".txt" or len(cells) > 1):
        yield from _column_texts(path, rows, columns, skip=1)
    elif not commas and len(cells) >= 7 and re.fullmatch(r"[0-4](\.\d+)?|5(\.0+)?", cells[4]):
        yield from _column_texts(path, rows, [5, 6], skip=0)
    elif ending == ".txt" and len(cells) == 2 and all(map(_has_letter, cells)):
        yield from _column_texts(path, rows, [0, 1], skip=0)
    elif ending == ".txt" and first.startswith(".I "):
        yield from _smart_texts(path, lines)
    elif ending == ".txt" and len(cells) == 1 and _has_letter(first) and not _is_markup(first):
        yield from lines
    else:
        raise ValueError(
            f"{path}: begins with {first[:80]!r}; expected a line that names columns (such as sentence1 and "
            "sentence2), rows of STS-B, or in a .txt a text a line: name the columns, or rename it to what it is"
        )


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _is_markup(line: str) -> bool:
    """The first line of XML or JSON lines, which a list of texts has no use for."""
    return line.startswith(("<?xml", "<top>", "<doc>")) or re.match(r'\{\s*"', line) is not None


def _column_texts(path: str, rows: Iterator[list[str]], columns: list[int], *, skip: int) -> Iterator[str]:
    """The cells in some columns of every row but the first `skip`; empty rows are passed over."""
    try:
        for number, cells in enumerate(rows):
            if number < skip or not any(map(str.strip, cells)):
                continue
            if len(cells) <= columns[-1]:
                raise ValueError(
                    f"{path}: row {number + 1:,} has {len(cells)} columns; expected {columns[-1] + 1}: mend that row"
                )
            yield from (cells[at] for at in columns)
    except csv.Error as error:
        raise ValueError(f"{path}: not CSV ({error}); expected commas and double quotes: mend it") from None


class _XmlForm(NamedTuple):
    closing: str
    """Tag that ends a record."""
    texts: re.Pattern[str]


def _elements(*names: str) -> re.Pattern[str]:
    # TREC topics leave elements open: a text ends where any tag begins.
    return re.compile(rf"<(?:{'|'.join(names)})\b[^>]*>([^<]+)", re.IGNORECASE)


_XML_FORMS = {
    "<top>": _XmlForm("</top>", _elements("title", "desc")),
    "<doc>": _XmlForm("</doc>", re.compile(r"<text>(.*?)</text>", re.IGNORECASE | re.DOTALL)),
    "<orgquestion": _XmlForm(
        "</orgquestion>", _elements("OrgQSubject", "OrgQBody", "RelQSubject", "RelQBody", "RelCText")
    ),
}


def _xml_texts(path: str, lines: Iterator[str]) -> Iterator[str]:
    form: _XmlForm | None = None
    record: list[str] = []
    for line in lines:
        record.append(line)
        lowered = line.lower()
        if form is None:
            # In a DTD names follow "<!ELEMENT", so an opening tag is the first record.
            form = next((form for opening, form in _XML_FORMS.items() if opening in lowered), None)
        if form is not None and form.closing in lowered:
            for text in form.texts.findall("\n".join(record)):
                yield html.unescape(re.sub(r"<[^>]*>", " ", text))
            record = []
        elif form is None and len(record) > 1000:
            break
    if form is None:
        raise ValueError(
            f"{path}: XML without <top>, <doc> or <OrgQuestion>; expected TREC or SemEval: make it JSON lines"
        )


def _smart_texts(path: str, lines: Iterator[str]) -> Iterator[str]:
    """SMART: entries open with '.I number' and have sections, each after a line of a dot and a letter."""
    entry: dict[str, list[str]] | None = None
    section = ""
    for line in lines:
        if line.startswith(".I "):
            if entry is not None:
                yield _smart_text(entry)
            entry = {}
        elif entry is not None and re.fullmatch(r"\.[A-Z]\s*", line):
            section = line[1]
        elif entry is not None:
            entry.setdefault(section, []).append(line)
    if entry is None:
        raise ValueError(f"{path}: no line '.I 1'; expected a SMART collection: rename it to what it is")
    yield _smart_text(entry)


def _smart_text(entry: dict[str, list[str]]) -> str:
    return "\n".join(entry.get("W") or entry.get("T") or ())
