"""The fields of a run's config as `--help` lists them: name, default, and what the dataclass says of each."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import shutil
import textwrap
from typing import Any, NamedTuple

from trainer.config import TrainConfig

NAMES_WIDTH = 34


class Field(NamedTuple):
    """One field that `--set` changes."""

    name: str
    """With dots: `optimizer.learning_rate`."""
    default: str | None
    """As one types it after `--set NAME=`; None for a field that has none."""
    says: str
    """The docstring, in one line; empty where there is none."""


def config_fields(kind: Any = TrainConfig, prefix: str = "") -> list[Field]:
    """Fields of a config's dataclass and, in their places, of the dataclasses in it."""
    (made,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(made, ast.ClassDef)
    says = {}
    for field, after in zip(made.body, made.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                says[name] = " ".join(text.split())
    found = []
    for field in dataclasses.fields(kind):
        inner = field.default_factory
        if dataclasses.is_dataclass(inner):
            found += config_fields(inner, f"{prefix}{field.name}.")
        else:
            default = "" if field.default == () else str(field.default)
            needed = field.default is dataclasses.MISSING
            found.append(Field(prefix + field.name, None if needed else default, says.get(field.name, "")))
    return found


def fields_help() -> str:
    """The list of all fields, each with its default and the first sentence on it."""
    width = min(shutil.get_terminal_size().columns, 120)
    lines = ["fields for --set, with the defaults that a preset or file may change; docs/training.md says more:"]
    for name, default, says in config_fields():
        head = f"  {name}={default or ''}"
        text = textwrap.wrap(says.split(". ")[0].rstrip("."), max(width - NAMES_WIDTH, 30)) or [""]
        lines += [f"{head:<{NAMES_WIDTH}}{text[0]}".rstrip(), *(" " * NAMES_WIDTH + line for line in text[1:])]
    return "\n".join(lines)
