"""A wrong call in one line: what was found, what was expected, what was likely meant."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_origin, get_type_hints

EXAMPLE = re.compile(r"For example: (.+)")


def in_one_line(drawn: str, argv: Sequence[str], options: Collection[str], example: str = "") -> str:
    """The parser's complaint about `argv`, which it has drawn as a box.

    `options` are those that there are; where none is named no option is called unknown.
    """
    inside = _inside(drawn)
    said = " ".join(line.strip() for line in inside)
    if options and "Error parsing" not in said and (unknown := unknown_options(argv, options)):
        return say_unknown(unknown[0], options)
    if said.startswith("Missing from"):
        missing = _outermost(inside[1:])
        names = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        return f"{names} {'are' if missing[1:] else 'is'} missing{f'; for example: {example}' if example else ''}"
    for pattern, plain in _PLAIN:
        if found := re.search(pattern, said):
            return plain(*found.groups())
    for before, after in _NOISE:
        said = re.sub(before, after, said)
    return said


def example_of(kind: Any) -> str:
    """The example of a command's help, or nothing."""
    found = EXAMPLE.search(kind.__doc__ or "")
    return found[1] if found else ""


def options_of(kind: Any) -> dict[str, Any]:
    """Option → type, of a dataclass and of the dataclasses in it; without `--no-…`, which every flag has too."""
    found: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        type_ = hints[field.name]
        if dataclasses.is_dataclass(type_):
            found |= options_of(type_)
        else:
            found[f"--{field.name.replace('_', '-')}"] = type_
    return found


def unknown_options(argv: Sequence[str], options: Collection[str]) -> list[str]:
    """The arguments that look like options and are none of these."""
    known = {*options, *(option.replace("--", "--no-", 1) for option in options), "--help"}
    return [word for word in argv if re.match(r"--\w", word) and _name(word) not in known]


def say_unknown(word: str, options: Collection[str], where: str = "") -> str:
    """Says so of an option that nobody knows, with the nearest of those that there are.

    >>> say_unknown("--step=3", ["--steps", "--seed"])
    'unknown option --step; did you mean --steps?'
    """
    name = word.split("=")[0]
    near = get_close_matches(_name(word), options, n=2, cutoff=0.7)
    return f"unknown option {name}{where}{f'; did you mean {near_names(near)}?' if near else ''}"


def near_names(names: Sequence[str]) -> str:
    """'a', or 'a or b'."""
    return " or ".join(names)


def repeated_list(options: Mapping[str, Any], argv: Sequence[str]) -> str:
    """What is wrong where an option that takes several values is there twice: the parser would drop the first."""
    given = [_name(word) for word in argv if word.startswith("--")]
    for name in options:
        repeatable = name == "--set"
        if get_origin(options[name]) is tuple and given.count(name) > 1 and not repeatable:
            return f"{name} is there twice; expected it once, with all its values after it: {name} A B"
    return ""


def _inside(drawn: str) -> list[str]:
    """The lines of a box, with what they are indented by, down to where it tells where help is to be had.

    A terminal without line-drawing characters gets a title over a line of hyphens.
    """
    lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()
    lines = [re.sub(r"^[│╭╰]|[│╮╯]$", "", line).rstrip() for line in lines]
    rules = [number for number, line in enumerate(lines) if re.search(r"[─-]{4}", line)]
    first = rules[0] + 1
    return [line for line in lines[first : rules[1] if rules[1:] else None] if line]


def _outermost(lines: Sequence[str]) -> list[str]:
    """The first word of each line that is indented least."""
    indents = [len(line) - len(line.lstrip()) for line in lines]
    return [line.split()[0] for line, indent in zip(lines, indents, strict=True) if indent == min(indents)]


def _name(word: str) -> str:
    return word.split("=")[0].replace("_", "-")


def _choice(found: str, option: str, choices: str) -> str:
    known = re.findall(r"'([^']*)'", choices)
    return f"{option} is {found}; expected {', '.join(known[:-1])} or {known[-1]}"


_PLAIN = (
    (r"Missing value for argument '([\w/-]+)'", lambda option: f"{option} is there without its value"),
    (
        r"Error parsing (--[\w.-]+): .*?invalid literal for int\(\) with base 10: ('.*?'(?= |$))",
        lambda option, found: f"{option} is {found}; expected a whole number",
    ),
    (
        r"Error parsing (--[\w.-]+): .*?could not convert string to float: ('.*?'(?= |$))",
        lambda option, found: f"{option} is {found}; expected a number",
    ),
    (r"invalid choice (.*) for argument '(--[\w.-]+)'. Expected one of \((.*)\)", _choice),
    (
        r"Unrecognized options: ([^\s,]+)",
        lambda word: f"{word!r} is one word too many; a text with spaces stands in quotes",
    ),
)
_NOISE = (
    (r" (Argument helptext|Similar arguments).*", ""),
    (r"^Error parsing [\w.]+: ", ""),
)
