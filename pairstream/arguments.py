"""Command-line arguments from frozen dataclasses: their fields are the options, their docstrings the help."""

from __future__ import annotations

import io
import operator
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any, TypeVar, cast

import tyro

from pairstream.cli import UsageError

Arguments = TypeVar("Arguments")


def parse(kind: type[Arguments], argv: Sequence[str], command: str) -> Arguments:
    """The arguments as `kind`; UsageError for a wrong call; --help ends the process."""
    return _in_one_line(kind, argv, command)


def parse_known(kind: Any, argv: Sequence[str], command: str) -> tuple[Any, list[str]]:
    """The arguments as `kind` and those it does not know, in order."""
    return _in_one_line(kind, argv, command, return_unknown_args=True)


def change_fields(config: Arguments, changes: Sequence[tuple[str, str]]) -> Arguments:
    """A copy of a config with (dotted field, text) pairs applied, each text read as the field's type.

    Raises UsageError for a text that is not of the type, or that the config refuses.
    """
    flags = []
    for name, text in changes:
        is_list = isinstance(operator.attrgetter(name)(config), tuple)
        flags += [f"--{name}", *shlex.split(text)] if is_list else [f"--{name}={text}"]
    changed = _in_one_line(type(config), flags, "train", default=config, config=(tyro.conf.FlagConversionOff,))
    return cast(Arguments, changed)


def _in_one_line(kind: Any, argv: Sequence[str], command: str, **options: Any) -> Any:
    """The parser draws a box around its complaint; every command of ours complains in one line."""
    drawn = io.StringIO()
    try:
        with redirect_stderr(drawn):
            return tyro.cli(kind, args=list(argv), prog=f"pairstream {command}", **options)
    except SystemExit as exit_:
        if not exit_.code:
            raise
        lines = [line.strip(" │╭╮╰╯─") for line in re.sub(r"\x1b\[[0-9;]*m", "", drawn.getvalue()).splitlines()]
        said = " ".join(line for line in lines if line and not line.startswith("For full helptext"))
        for before, after in _NOISE:
            said = re.sub(before, after, said)
        raise UsageError(f"{said}; see pairstream {command} --help") from None


_NOISE = (
    (r"^(Value error|Parsing error|Invalid choice|Unrecognized options|Required options) ", ""),
    (r"^Missing from [^:]*: (--[\w.-]+).*", r"\1 is missing"),
    (r" (Argument helptext|Similar arguments|─).*", ""),
    (r"^Error parsing [A-Z]\w*: ", ""),
)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
