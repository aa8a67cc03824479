"""`pairstream sources`: the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

import tyro

from pairstream.arguments import parse, print_json
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries


@dataclass(frozen=True)
class Arguments:
    """The sources of `pairstream preprocess`; with names, all that is known of those.

    For example: pairstream sources reddit stackexchange_xml
    """

    names: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[SOURCE…]")]] = ()
    """Sources to describe in full."""
    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "sources")
    quiet_libraries()
    from pipelines.catalog import SOURCES

    chosen = {name: known_source(name, SOURCES) for name in arguments.names or SOURCES}
    rows = [{"source": name, **info._asdict()} for name, source in chosen.items() for info in source.datasets]
    if arguments.json:
        print_json(rows)
    elif arguments.names:
        for row in rows:
            print("\n".join(f"{key:>10}  {value}" for key, value in row.items() if value), end="\n\n")
    else:
        _print_table(rows)


def known_source(name: str, known: Mapping[str, Any]) -> Any:
    """A source of the catalogue; UsageError, with the nearest names, when there is none."""
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"unknown source {name!r}; {hint}`pairstream sources` lists them")
    return known[name]


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"{'published':>13} {'weight':>6}  source: anchor → positive")
    for row in rows:
        published = f"{row['published']:,}" if row["published"] else ""
        weight = f"{row['weight']:g}" if row["weight"] else ""
        print(f"{published:>13} {weight:>6}  {row['source']}: {row['tuple']}")
    print("\nraw format, licence, citation, where to get it: pairstream sources SOURCE")
    print("next: pairstream preprocess SOURCE --help")
