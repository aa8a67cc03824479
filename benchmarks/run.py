"""`make bench`: every speed claim of the project, each against a peer or a limit in the same run.

Machines differ and are noisy: read the ratios, not the rates.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks import attention, encode, near_duplicates, peers, plan, preprocess, step, stream

BENCHMARKS = {
    "preprocess": preprocess.measure,
    "near_duplicates": near_duplicates.measure,
    "plan": plan.measure,
    "stream": stream.measure,
    "encode": encode.measure,
    "step": step.measure,
    "attention": attention.measure,
    "peers": peers.measure,
}
BY_NAME_ALONE = {"peers"}
"""They need more than `make bench` installs."""


def main(names: list[str]) -> None:
    table = Table("benchmark", "what", "rate", "against", "rate", "ratio", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for name in names or [name for name in BENCHMARKS if name not in BY_NAME_ALONE]:
        for row in BENCHMARKS[name]():
            table.add_row(
                name,
                row.what,
                f"{row.rate:,.0f} {row.unit}",
                row.against,
                f"{row.other_rate:,.0f} {row.unit}",
                f"{row.rate / row.other_rate:.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
