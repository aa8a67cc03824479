"""`pairstream plan`: what a mixture will draw, known before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pairstream.arguments import Mixture, at_least, parse, print_json


@dataclass(frozen=True)
class Arguments:
    """Shares, epochs and coverage of each dataset, from the config's line counts alone.

    For example: pairstream plan all_datasets_v4.data_config.json --batch-size 1024 --steps 100000
    """

    mixture: Mixture
    """A data_config.json, gzipped or plain."""
    data: Path | None = None
    """Folder of preprocessed datasets: counts come from their manifests, and differences are shown."""
    batch_size: int | None = None
    """Pairs a batch; by default the mixture's, or 1024."""
    steps: int = 100_000
    """Steps of the run."""
    report: bool = False
    """Show the share that each dataset gets in these steps beside the planned one."""
    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "plan")
    at_least(arguments, steps=1, batch_size=2)
    from reader.plan import load_manifests
    from schemas.mixture import Mixture

    mixture = Mixture.load(arguments.mixture)
    batch_size = mixture.batch.size if arguments.batch_size is None else arguments.batch_size
    manifests = {} if arguments.data is None else load_manifests(arguments.data, mixture.drawn)
    document = _describe(mixture, manifests, batch_size, arguments.steps)
    if arguments.json:
        print_json(document)
        return
    _print_report(document) if arguments.report else _print_table(document)
    _print_rest(document)


def _describe(mixture: Any, manifests: Mapping[str, Any], batch_size: int, steps: int) -> dict[str, Any]:
    from reader.advice import advise
    from reader.coverage import foresee
    from reader.mixing_report import compare_shares
    from reader.pack_rows import propose_rows
    from reader.plan import epoch_limits
    from reader.segments import make_segments

    stated = {entry.name: entry.lines for entry in mixture.datasets}
    lines = stated | {name: found.records("train") for name, found in manifests.items()}
    weights = mixture.weigh(lines)
    limits = epoch_limits(mixture, [lines[entry.name] for entry in mixture.datasets])
    schedule = make_segments(weights, batch=mixture.batch, batch_size=batch_size, seed=mixture.seed, limits=limits)
    last = steps if schedule.end is None else min(steps, schedule.end)
    rows = foresee(mixture, schedule, lines, steps=last, batch_size=batch_size)
    names = [entry.name for entry in mixture.datasets]
    report = compare_shares(names, schedule, start=0, count=last, batch_size=batch_size)
    warnings = advise(rows, report, schedule, batch=mixture.batch, batch_size=batch_size, steps=steps)
    shares = {row.name: row.share for row in rows}
    pack = propose_rows(list(manifests.values()), [shares[name] for name in manifests])
    datasets = []
    for row, mixed in zip(rows, report, strict=True):
        of_one = asdict(row) | {"realised_share": mixed.realised, "realised_draws": mixed.rows}
        if row.name in manifests:
            of_one["config_lines"] = stated[row.name]
            known = stated[row.name] is not None
            of_one["difference"] = lines[row.name] - stated[row.name] if known else None
        datasets.append(of_one)
    return {
        "total_lines": sum(count or 0 for count in lines.values()),
        "total_weight": sum(weights[0][1]) if mixture.segments else mixture.total_weight,
        "steps": steps,
        "batch_size": batch_size,
        "draws": batch_size * last,
        "datasets": datasets,
        "lines_from": "manifests" if manifests else "config",
        "policy": mixture.batch.policy,
        "segments": [segment.first_step for segment in schedule.segments],
        "end": schedule.end,
        "largest_error": schedule.largest_error,
        "pack": None if pack is None else asdict(pack),
        "warnings": warnings,
    }


def _print_table(document: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    compared = document["lines_from"] == "manifests"
    table = Table("dataset", "lines", "weight", "share", "draws", "epochs", "coverage", box=None)
    if compared:
        table.add_column("config says")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in document["datasets"]:
        known = row["epochs"] is not None
        table.add_row(
            row["name"],
            f"{row['lines']:,}" if row["lines"] is not None else "unknown",
            f"{row['weight']:,.10g}",
            f"{row['share']:.2%}",
            f"{row['draws']:,}",
            f"{row['epochs']:.3g}" if known else "",
            f"{row['coverage']:.1%}" if known else "",
            *([_difference(row)] if compared else []),
        )
    Console().print(table)


def _difference(row: Mapping[str, Any]) -> str:
    """What the config says where it differs from the manifest."""
    if not row.get("difference"):
        return ""
    return f"{row['config_lines']:,} ({row['difference']:+,})"


def _print_report(document: Mapping[str, Any]) -> None:
    """Bars of the planned share, with the realised one beside it."""
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    table = Table("dataset", "", "planned", "realised", "rows", "off by", box=None)
    table.columns[0].overflow = "fold"
    for column in table.columns[2:]:
        column.justify = "right"
    largest = max(row["share"] for row in document["datasets"])
    for row in sorted(document["datasets"], key=lambda row: -row["share"]):
        table.add_row(
            row["name"],
            Bar(largest, 0, row["realised_share"], width=30),
            f"{row['share']:.3%}",
            f"{row['realised_share']:.3%}",
            f"{row['realised_draws']:,}",
            f"{row['realised_draws'] - row['draws']:+,}",
        )
    Console().print(table)


def _print_rest(document: Mapping[str, Any]) -> None:
    import sys

    covered = sum((row["coverage"] or 0) * (row["lines"] or 0) for row in document["datasets"])
    share = f", {covered / document['total_lines']:.2%} of the corpus" if document["total_lines"] else ""
    steps = document["draws"] // document["batch_size"]
    print(f"{steps:,} steps of {document['batch_size']:,} pairs draw {document['draws']:,} pairs{share}")
    if document["segments"][1:]:
        shown = ", ".join(f"{step:,}" for step in document["segments"][1:6])
        more = ", …" if document["segments"][6:] else ""
        print(f"weights change at {len(document['segments']) - 1:,} steps: {shown}{more}")
    if pack := document["pack"]:
        how = "estimated from characters, " if pack["estimated"] else ""
        print(
            f"packs of {pack['pairs']} pairs: {pack['rows']} rows of {pack['row_tokens']} tokens ({how}without hard "
            f"negatives: {pack['fitting']:.0%} of the packs fit, {pack['filled']:.0%} of the tokens are text)"
        )
    for warning in document["warnings"]:
        print(f"note: {warning}", file=sys.stderr)
