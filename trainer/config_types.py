"""Whether a config's values are of the types that its fields name, whoever wrote them: JSON, Python, a command line."""

from __future__ import annotations

import math
import types
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_types(config: Any, group: str = "") -> None:
    """Raise ValueError, in one line, for a field of the dataclass that holds another type, or a number not finite.

    `group` goes before the field's name: "optimizer.". A list may stand for a tuple.
    """
    for name, kind in _hints(type(config)).items():
        value = getattr(config, name)
        if not _is_of(value, kind):
            raise ValueError(f"{group}{name} is {value!r}; expected {_in_words(kind)}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_of(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if origin is tuple:
        return isinstance(value, (tuple, list)) and all(_is_of(one, get_args(kind)[0]) for one in value)
    if origin is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind in (int, float):
        known = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        return known and (isinstance(value, int) or math.isfinite(value))
    return isinstance(value, kind)


def _in_words(kind: Any) -> str:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_in_words, get_args(kind)))
    if origin is tuple:
        return f"a list, each of them {_in_words(get_args(kind)[0])}"
    if origin is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}"
    if is_dataclass(kind):
        return "an object of fields"
    words = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false"}
    return words.get(kind, "None")
