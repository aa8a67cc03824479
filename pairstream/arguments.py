"""Command-line arguments from frozen dataclasses: their fields are the options, their docstrings the help."""

from __future__ import annotations

import io
import operator
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import tyro

from pairstream.cli import UsageError
from pairstream.wrong_call import example_of, in_one_line, options_of, repeated_list

Arguments = TypeVar("Arguments")


# The words that stand without an option, by the names that help and complaints give them.
Run = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
Encoder = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENCODER")]]
Encoders = tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="ENCODER…")]]
Mixture = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="MIXTURE")]]
Dataset = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
Folder = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]
Query = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="QUERY")]]


def parse(kind: type[Arguments], argv: Sequence[str], command: str) -> Arguments:
    """The arguments as `kind`; UsageError for a wrong call; --help ends the process."""
    return _parsed(kind, argv, command)


def parse_known(kind: Any, argv: Sequence[str], command: str) -> tuple[Any, list[str]]:
    """The arguments as `kind` and those it does not know, in order."""
    return _parsed(kind, argv, command, return_unknown_args=True)


def change_fields(config: Arguments, changes: Sequence[tuple[str, str]]) -> Arguments:
    """A copy of a config with (dotted field, text) pairs applied, each text read as the field's type.

    Raises UsageError for a text that is not of the type, or that the config refuses.
    """
    flags = []
    for name, text in changes:
        before = operator.attrgetter(name)(config)
        if isinstance(before, tuple):
            numbers = re.fullmatch(r"[\d.,\s]*", text)  # with commas or without
            flags += [f"--{name}", *shlex.split(text.replace(",", " ") if numbers else text)]
        else:
            is_word = text.lower() in ("true", "false", "none") and not isinstance(before, str)
            flags.append(f"--{name}={text.capitalize() if is_word else text}")
    try:
        changed = _parsed(type(config), flags, "train", default=config, config=(tyro.conf.FlagConversionOff,))
    except UsageError as error:
        said = re.sub(r"^--([\w.-]+)", lambda option: f"--set {option[1].replace('-', '_')}", str(error))
        raise UsageError(said) from None
    return cast(Arguments, changed)


def _parsed(kind: Any, argv: Sequence[str], command: str, **options: Any) -> Any:
    """The parser draws a box around its complaint; every command of ours complains in one line."""
    known = {} if "default" in options else options_of(kind)  # a config's fields have dots
    help_ = f"see pairstream {command} --help"
    if said := repeated_list(known, argv):
        raise UsageError(f"{said}; {help_}")
    drawn = io.StringIO()
    try:
        with redirect_stderr(drawn):
            return tyro.cli(kind, args=list(argv), prog=f"pairstream {command}", **options)
    except SystemExit as exit_:
        if not exit_.code:
            if "--set" in known:
                from pairstream.config_fields import fields_help

                print("\n" + fields_help())
            raise
    raise UsageError(f"{in_one_line(drawn.getvalue(), argv, known, example_of(kind))}; {help_}")


def at_least(arguments: Any, **least: int) -> None:
    """Raises UsageError for an option below its least value; None is above all."""
    for name, value in least.items():
        if (found := getattr(arguments, name)) is not None and found < value:
            raise UsageError(f"--{name.replace('_', '-')} is {found}; expected at least {value}")


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
