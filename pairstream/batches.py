"""`pairstream batches`: what is in the batches from step s on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from pairstream.arguments import parse, print_json
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries


@dataclass(frozen=True)
class Arguments:
    """Datasets and digest of each batch; the digest is over (dataset, pair fingerprint) in row order.

    For example: pairstream batches mixture.json --data data --start 500000 --count 2
    """

    mixture: tyro.conf.Positional[Path]
    """A data_config.json, gzipped or plain."""
    data: Path
    """Folder of preprocessed datasets."""
    start: int = 0
    """First step."""
    count: int = 1
    """Steps shown."""
    batch_size: int | None = None
    """Pairs a batch; by default the mixture's, or 1024."""
    hosts: int = 1
    """Read each batch as this many hosts would, each its own rows; the digest does not change."""
    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "batches")
    quiet_libraries()
    from reader.plan import plan_batches
    from schemas.mixture import Mixture

    if arguments.start < 0 or arguments.count < 0 or arguments.hosts < 1:
        raise UsageError("--start and --count must be at least 0, --hosts at least 1")
    if arguments.batch_size is not None and arguments.batch_size < 2:
        raise UsageError(f"--batch-size is {arguments.batch_size}; expected at least 2")
    plan = plan_batches(Mixture.load(arguments.mixture), arguments.data, batch_size=arguments.batch_size)
    if plan.batch_size % arguments.hosts:
        near = max(1, round(plan.batch_size / arguments.hosts)) * arguments.hosts
        raise UsageError(f"batch size {plan.batch_size} does not divide over {arguments.hosts} hosts; nearest: {near}")
    rows = [_host_rows(plan.batch_size, arguments.hosts, host) for host in range(arguments.hosts)]
    document = _describe(plan, arguments.start, arguments.count, rows)
    if arguments.json:
        print_json(document)
        return
    for batch in document:
        parts = ", ".join(f"{name} {count}" for name, count in batch["datasets"].items())
        print(f"step {batch['step']}  {batch['sha256'][:16]}…  {parts}")


def _host_rows(batch_size: int, hosts: int, host: int) -> range:
    share = batch_size // hosts
    return range(host * share, (host + 1) * share)


def _describe(plan: Any, start: int, count: int, rows: list[range]) -> list[dict[str, Any]]:
    from reader.stream import stream_texts

    document = []
    for parts in zip(*(stream_texts(plan, start, count, rows=part) for part in rows), strict=True):
        digest, datasets = hashlib.sha256(), Counter[str]()
        for part in parts:
            for dataset, pair in zip(part.datasets.tolist(), part.pair_fingerprints, strict=True):
                name = plan.names[dataset]
                datasets[name] += 1
                digest.update(name.encode() + b"\x00" + int(pair).to_bytes(8, "little"))
        document.append({"step": parts[0].step, "datasets": dict(datasets), "sha256": digest.hexdigest()})
    return document
