"""Docstrings of Python source trees: what a function says it does, and how it does it.

The embedded default corpus: real text on any machine, with nothing to download. Each documented
function gives up to two pairs, (first sentence → code without the docstring) and (first sentence →
rest of the docstring). The group is the module, so that a module's functions stay on one side.
"""

from __future__ import annotations

import ast
import inspect
import io
import os
import re
import sysconfig
import textwrap
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from pipelines.files import InputFile, open_raw
from pipelines.filters.degenerate import same_text
from pipelines.filters.lengths import LengthRule
from pipelines.filters.rule import Filter
from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.base import DatasetInfo, Source, Stage
from schemas.pair import Pair

LEFT_OUT_FOLDERS = frozenset({"_vendor", "test", "tests", "__pycache__"})
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'(\[*:<])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|approx|resp)\.$", re.IGNORECASE)


class Function(NamedTuple):
    """A documented function."""

    summary: str
    """First sentence of the docstring, on one line."""
    rest: str
    """The docstring after it; empty where there is no more."""
    code: str
    """The function without its docstring, dedented; empty where the docstring was all it had."""


@dataclass(frozen=True)
class Docstrings(Source):
    """Python source trees: first sentence of a docstring → code, and → rest of the docstring.

    Without --input: the packages installed in the running environment.
    """

    min_summary_characters: int = 16
    """Shortest first sentence that is kept."""
    max_summary_characters: int = 300
    """Longest first sentence that is kept."""
    min_positive_characters: int = 32
    """Shortest code, or rest of the docstring, that is kept."""
    max_positive_characters: int = 8000
    """Longest code, or rest of the docstring, that is kept."""
    test_fraction: float = 0.1
    """Share of the modules that is held out."""

    # The same function lies in many packages, so a split by module alone would leak.
    drop_train_texts_in_test: ClassVar[bool] = True
    needs_input: ClassVar[bool] = False
    datasets: ClassVar[tuple[DatasetInfo, ...]] = tuple(
        DatasetInfo(
            name=name,
            tuple=tuple_,
            licence="that of each package read",
            citation="the packages read",
            url="the running environment",
            raw="Python source trees",
        )
        for name, tuple_ in (
            ("docstring_code", "first sentence of a docstring → code of the function"),
            ("docstring_body", "first sentence of a docstring → rest of the docstring"),
        )
    )

    @property
    def filters(self) -> tuple[Filter, ...]:
        lengths = LengthRule(
            self.min_summary_characters,
            self.max_summary_characters,
            self.min_positive_characters,
            self.max_positive_characters,
        )
        return lengths, same_text

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        roots = [Path(root) for root in inputs or (sysconfig.get_paths()["purelib"],)]
        if missing := [str(root) for root in roots if not root.is_dir()]:
            raise FileNotFoundError(f"no such folder: {', '.join(missing)}; expected folders of Python sources")
        found = {
            # The root travels with the path, because a module's name starts below it.
            InputFile(f"{root}\0{path}", path.stat().st_size)
            for root in roots
            for path in _python_files(root)
        }
        if not found:
            raise FileNotFoundError(f"no Python file in {', '.join(map(str, roots))}")
        return sorted(found)

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        code, body = (dataset.name for dataset in datasets)
        return (partial(read_docstrings, code=code, body=body),)


def _python_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in LEFT_OUT_FOLDERS)
        for name in sorted(names):
            # Editors leave links that point nowhere and end in .py.
            if (
                os.path.isfile(os.path.join(folder, name))
                and name.endswith(".py")
                and not name.startswith("test_")
                and not name.endswith("_test.py")
            ):
                yield Path(folder, name)


def read_docstrings(located: str, code: str, body: str) -> Iterator[Pair | Read | Drop | BadFile]:
    """The pairs of one source file; a file that is not Python counts as one bad record."""
    root, path = located.split("\0")
    module = ".".join(Path(path).relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    try:
        with open_raw(path) as file:
            functions = list(documented_functions(file.read()))
    except OSError as error:
        yield BadFile(f"{path}: cannot be read ({error})")
        return
    except (SyntaxError, ValueError, RecursionError, MemoryError, LookupError):  # MemoryError: the parser's stack
        for dataset in (code, body):
            yield Read(dataset)
            yield Drop(dataset, "read", "not_python")
        return
    for function in functions:
        for dataset, positive, missing in (
            (code, function.code, "no_code"),
            (body, function.rest, "no_more_docstring"),
        ):
            yield Read(dataset)
            if positive:
                yield Pair(dataset, function.summary, positive, group=module)
            else:
                yield Drop(dataset, "pair", missing)


def documented_functions(source: bytes) -> Iterator[Function]:
    """Every function or method with a docstring, nested ones too.

    Raises SyntaxError, ValueError, LookupError, RecursionError or MemoryError for what is not Python.
    """
    if b"def " not in source:
        return
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    # Universal newlines, as Python itself reads source; line numbers must agree with the parser's.
    text = io.TextIOWrapper(io.BytesIO(source), encoding).read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes are not our user's concern
        tree = ast.parse(text)
    lines = text.split("\n")
    for node in _functions(tree.body):
        docstring = ast.get_docstring(node, clean=False)
        if docstring and (cleaned := inspect.cleandoc(docstring).strip()):
            summary, rest = split_summary(cleaned)
            yield Function(summary, rest, code_without_docstring(node, lines))


def _functions(statements: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions among statements, at any depth. Only statements are walked: `ast.walk` visits each name."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        for name in ("body", "orelse", "finalbody"):
            yield from _functions(getattr(statement, name, []))
        for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from _functions(part.body)


def split_summary(docstring: str) -> tuple[str, str]:
    """(first sentence on one line, what follows it) of a cleaned docstring."""
    paragraph, _, rest = docstring.partition("\n\n")
    for end in _SENTENCE_END.finditer(paragraph):
        if not _ABBREVIATION.search(paragraph[: end.start()]):
            rest = f"{paragraph[end.end() :]}\n\n{rest}"
            paragraph = paragraph[: end.start()]
            break
    return " ".join(paragraph.split()), rest.strip()


def code_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """The function's own lines less the docstring's; empty when no statement is left."""
    docstring, *statements = node.body
    if not statements:
        return ""
    if docstring.lineno == node.lineno or docstring.end_lineno == statements[0].lineno:
        return ""  # one-liners: nothing to show once the docstring is out
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = lines[first - 1 : docstring.lineno - 1] + lines[docstring.end_lineno : node.end_lineno]
    return textwrap.dedent("\n".join(kept)).strip()
