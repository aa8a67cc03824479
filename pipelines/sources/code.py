"""Code and what it does, in words; and what a package is, short and long."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import IO, Any

from pipelines.sources.base import DatasetInfo, RecordOptions
from pipelines.sources.records import BadRecord, RecordSource, aligned_lines, json_lines, text_lines
from schemas.pair import Pair

INDENT = "    "
_MARKED_INDENT = re.compile(r"(?:\s*DCSP)*")
_MARKED_SPACE = re.compile(r"\s*\bDCSP\b\s*")
_DESCRIPTION = re.compile(r"description(-(?!md5).+)?")


def codesearchnet_pairs(function: Any, dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Docstring → code; the group is the repository. Fields are named as in the archives or as on the hub."""
    if not isinstance(function, dict):
        yield "not_an_object"
        return
    docstring = function.get("docstring", function.get("func_documentation_string"))
    code = function.get("code", function.get("func_code_string"))
    if not isinstance(docstring, str) or not isinstance(code, str):
        yield "missing_field"
        return
    repository = function.get("repo", function.get("repository_name"))
    group = f"github.com/{repository}" if isinstance(repository, str) and repository else ""
    yield Pair(dataset, docstring.strip(), code.strip(), group=group)


def docstring_corpus_pairs(lines: tuple[str, str], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Docstring → function, from a line of each of the two files."""
    function, described = lines
    docstring = restore_docstring(described)
    yield "not_a_literal" if docstring is None else Pair(dataset, docstring, restore_code(function))


def restore_code(line: str) -> str:
    """The function of a line in which DCNL stands for a line's end and DCSP for a level, or a space."""
    lines = []
    for marked in line.split("DCNL"):
        indent = _MARKED_INDENT.match(marked).group()  # type: ignore[union-attr]  # it matches the empty text
        lines.append(INDENT * indent.count("DCSP") + _MARKED_SPACE.sub(" ", marked[len(indent) :]).strip())
    return "\n".join(lines).strip()


def restore_docstring(line: str) -> str | None:
    """The text of a quoted docstring in which DCNL stands for a line's end; None for what is no literal."""
    line = line.strip()
    if line[:1] in ("'", '"'):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # other people's invalid escapes are not our user's concern
                # Python 2 printed them: in ASCII, bytes are escaped.
                line = ast.literal_eval(f"b{line}").decode() if line.isascii() else ast.literal_eval(line)
        except (SyntaxError, ValueError, AttributeError, MemoryError, RecursionError):
            return None
    if not isinstance(line, str):
        return None
    return "\n".join(part.strip() for part in re.sub(r"\bDCSP\b", "", line).split("DCNL")).strip()


def codenn_pairs(line: str, dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """Title of a question → code of its answer, from `answer, question, title, code, score`."""
    fields = line.split("\t")
    if len(fields) != 5:
        yield "wrong_number_of_columns"
        return
    _, question, title, code, _ = fields
    group = f"stackoverflow.com/{question.strip()}"
    yield Pair(dataset, title.strip(), code.replace("\\n", "\n").strip(), group=group)


def rfc822_stanzas(stream: IO[bytes]) -> Iterator[Any]:
    """Blocks between empty lines as dicts of field, in lower case, → its lines without their first space."""
    stanza: dict[str, list[str]] = {}
    lines: list[str] | None = None
    bad = None
    for line in text_lines(stream):
        if isinstance(line, BadRecord):
            bad = line
        elif not line.strip():
            if stanza or bad:
                yield bad or stanza
            stanza, lines, bad = {}, None, None
        elif line[0] in " \t":
            if lines is None:
                bad = bad or BadRecord("not_a_field")
            else:
                lines.append(line[1:])
        else:
            name, colon, value = line.partition(":")
            if not colon:
                bad = bad or BadRecord("not_a_field")
            lines = stanza[name.strip().lower()] = [value.strip()]
    if stanza or bad:
        yield bad or stanza


def package_pairs(stanza: dict[str, list[str]], dataset: str, options: RecordOptions) -> Iterator[Pair | str]:
    """First line of a package's description → the rest of it."""
    name = stanza.get("package", [""])[0]
    description = next((lines for field, lines in stanza.items() if _DESCRIPTION.fullmatch(field)), None)
    if not name or description is None:
        yield "missing_field"
        return
    short, *long = description
    if not long:
        yield "no_long_description"
        return
    text = "\n".join("" if line.rstrip() == "." else line.rstrip() for line in long)
    yield Pair(dataset, short, text.strip(), group=f"debian/{name}")


ROWS: tuple[RecordSource, ...] = (
    RecordSource(
        DatasetInfo(
            name="codesearchnet",
            tuple="docstring → code of the function",
            licence="each function under the licence of its repository",
            citation="Husain et al., CodeSearchNet Challenge: Evaluating the State of Semantic Code Search, 2019",
            url="https://github.com/github/CodeSearchNet",
            raw="CodeSearchNet JSON lines (python_train_0.jsonl.gz …)",
            published=1_151_414,
            weight=1,
        ),
        read=json_lines,
        pairs=codesearchnet_pairs,
        members="[!_]*train*.jsonl*",  # the archives hold the test set, too
    ),
    RecordSource(
        DatasetInfo(
            name="code_docstring",
            tuple="docstring → code of the function",
            licence="each function under the licence of its repository",
            citation="Barone and Sennrich, A Parallel Corpus of Python Functions and Documentation Strings, 2017",
            url="https://github.com/EdinburghNLP/code-docstring-corpus",
            raw="two line-aligned files, functions first (parallel_declbodies.*, parallel_desc.*)",
        ),
        read=aligned_lines,
        pairs=docstring_corpus_pairs,
        aligned=2,
    ),
    RecordSource(
        DatasetInfo(
            name="codenn",
            tuple="question title → code of its answer",
            licence="StackOverflow's content: CC BY-SA 3.0",
            citation="Iyer et al., Summarizing Source Code using a Neural Attention Model, 2016",
            url="https://github.com/sriniiyer/codenn",
            raw="TSV of five columns (python/train.txt, sql/train.txt)",
        ),
        read=text_lines,
        pairs=codenn_pairs,
    ),
    RecordSource(
        DatasetInfo(
            name="debian",
            tuple="short description of a package → long description",
            licence="free: each description under its package's licence",
            citation="The Debian Description Translation Project",
            url="https://deb.debian.org/debian/dists/stable/main/i18n/",
            raw="RFC-822 package descriptions (Translation-en.xz)",
        ),
        read=rfc822_stanzas,
        pairs=package_pairs,
    ),
)
