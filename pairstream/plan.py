"""`pairstream plan`: what a mixture will draw, known before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from pairstream.arguments import parse, print_json
from pairstream.cli import UsageError


@dataclass(frozen=True)
class Arguments:
    """Shares, epochs and coverage of each dataset, from the config's line counts alone.

    For example: pairstream plan all_datasets_v4.data_config.json --batch-size 1024 --steps 100000
    """

    mixture: tyro.conf.Positional[Path]
    """A data_config.json, gzipped or plain."""
    data: Path | None = None
    """Folder of preprocessed datasets: counts come from their manifests."""
    batch_size: int | None = None
    """Pairs a batch; by default the mixture's, or 1024."""
    steps: int = 100_000
    """Steps of the run."""
    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "plan")
    from reader.coverage import foresee
    from reader.plan import load_manifests
    from reader.schedule import make_schedule
    from schemas.mixture import Mixture

    mixture = Mixture.load(arguments.mixture)
    batch_size = mixture.batch.size if arguments.batch_size is None else arguments.batch_size
    if batch_size < 2 or arguments.steps < 1:
        raise UsageError(f"batch size {batch_size}, steps {arguments.steps}; expected at least 2 and 1")
    lines = {entry.name: entry.lines for entry in mixture.datasets}
    if arguments.data is not None:
        wanted = [entry.name for entry in mixture.datasets if entry.weight > 0]
        lines |= {name: found.records("train") for name, found in load_manifests(arguments.data, wanted).items()}
    draws = batch_size * arguments.steps
    document = {
        "total_lines": sum(count or 0 for count in lines.values()),
        "total_weight": mixture.total_weight,
        "steps": arguments.steps,
        "batch_size": batch_size,
        "draws": draws,
        "datasets": [asdict(row) for row in foresee(mixture, lines, draws)],
    }
    weights = [entry.weight for entry in mixture.datasets]
    schedule = make_schedule(weights, batch_size=batch_size, slots=mixture.batch.slots, seed=mixture.seed)
    if arguments.json:
        print_json(document)
        return
    _print_table(document)
    if schedule.largest_error:
        print(f"weights are rounded to a period of {schedule.period:,} steps: {schedule.largest_error:.1e} at most")


def _print_table(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("dataset", "lines", "weight", "share", "draws", "epochs", "coverage", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in document["datasets"]:
        known = row["epochs"] is not None
        table.add_row(
            row["name"],
            f"{row['lines']:,}" if known else "unknown",
            f"{row['weight']:g}",
            f"{row['share']:.2%}",
            f"{row['draws']:,}",
            f"{row['epochs']:.3g}" if known else "",
            f"{row['coverage']:.1%}" if known else "",
        )
    Console().print(table)
    covered = sum((row["coverage"] or 0) * (row["lines"] or 0) for row in document["datasets"])
    share = f", {covered / document['total_lines']:.2%} of the corpus" if document["total_lines"] else ""
    print(f"{document['steps']:,} steps of {document['batch_size']:,} pairs draw {document['draws']:,} pairs{share}")
