"""`pairstream sources`: the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pairstream.arguments import parse, print_json


@dataclass(frozen=True)
class Arguments:
    """The sources of `pairstream preprocess`, with the datasets each writes."""

    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "sources")
    from pipelines.catalog import SOURCES

    rows = [{"source": name, **info._asdict()} for name, source in SOURCES.items() for info in source.datasets]
    if arguments.json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "dataset", "tuple", "licence", box=None)
    for row in rows:
        table.add_row(row["source"], row["name"], row["tuple"], row["licence"])
    Console().print(table)
    print("\nnext: pairstream preprocess SOURCE --help")
