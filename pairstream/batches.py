"""`pairstream batches`: what is in the batches from step s on."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairstream.arguments import Mixture, at_least, parse, print_json
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries

SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Arguments:
    """Datasets and digest of each batch; the digest is over (dataset, pair fingerprint) in row order.

    For example: pairstream batches mixture.json --data data --start 500000 --count 2
    """

    mixture: Mixture
    """A data_config.json, gzipped or plain."""
    data: Path
    """Folder of preprocessed datasets."""
    start: int = 0
    """First step."""
    count: int = 1
    """Steps shown."""
    batch_size: int | None = None
    """Pairs a batch; by default the mixture's, or 1024."""
    seed: int | None = None
    """Seed of the batches' order; by default the mixture's, while a run uses its config's."""
    hosts: int = 1
    """Read each batch as this many hosts would, each its own rows, and check that together they are the whole batch."""
    show: int = 0
    """Show the texts of the first rows of each batch, this many."""
    skip_bad_windows: bool = False
    """Pass over damaged windows and count them; without it damage is an error."""
    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "batches")
    at_least(arguments, start=0, count=0, hosts=1, show=0, batch_size=2)
    quiet_libraries()
    from reader.plan import host_rows, plan_batches
    from schemas.mixture import Mixture

    plan = plan_batches(
        Mixture.load(arguments.mixture), arguments.data, batch_size=arguments.batch_size, seed=arguments.seed
    )
    try:
        hosts = [host_rows(plan.batch_size, arguments.hosts, host) for host in range(arguments.hosts)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    from reader.stream import SkippedWindows  # TensorFlow comes last: what is wrong is said at once

    skipped = SkippedWindows() if arguments.skip_bad_windows else None
    document = list(_describe(plan, arguments, hosts, skipped))
    if skipped is not None and skipped.records:
        print(f"{skipped.records:,} records of damaged windows were replaced:", file=sys.stderr)
        for error, records in skipped.errors.items():
            print(f"  {records:,}: {error}", file=sys.stderr)
    if arguments.json:
        print_json(document)
        return
    for batch in document:
        parts = ", ".join(f"{name} {count}" for name, count in batch["datasets"].items())
        print(f"step {batch['step']}  {batch['sha256'][:16]}…  {parts}")
        for number, row in enumerate(batch.get("rows", [])):
            print(f"  {number:>4}  {row['dataset']}")
            for text in row["texts"]:
                print(f"        {_in_one_line(text)}")


def _describe(plan: Any, arguments: Arguments, hosts: list[range], skipped: Any) -> Iterator[dict[str, Any]]:
    """Step, rows of each dataset and digest of each batch, as the hosts read it.

    Raises ValueError when what the hosts read is not what one alone reads.
    """
    from reader.stream import stream_pairs

    of_hosts = [stream_pairs(plan, arguments.start, arguments.count, rows=rows, skipped=skipped) for rows in hosts]
    whole = stream_pairs(plan, arguments.start, arguments.count, skipped=_apart(skipped)) if len(hosts) > 1 else None
    texts = _first_texts(plan, arguments, skipped)
    for parts in zip(*of_hosts, strict=True):
        step = parts[0].step
        digest = _digest(plan, parts)
        if whole is not None and (alone := _digest(plan, [next(whole)])) != digest:
            raise ValueError(
                f"step {step}: {len(hosts)} hosts read {digest[:12]}…, one alone {alone[:12]}…; "
                "the data changed while it was read, or this is a defect: please report it"
            )
        datasets = Counter(plan.names[dataset] for part in parts for dataset in part.datasets.tolist())
        batch = {"step": step, "datasets": dict(datasets), "sha256": digest}
        yield batch | {"rows": next(texts)} if arguments.show else batch


def _apart(skipped: Any) -> Any:
    """A second count for a second reading of the same windows."""
    return None if skipped is None else type(skipped)()


def _digest(plan: Any, parts: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    names = [name.encode() + b"\x00" for name in plan.names]
    for part in parts:
        for dataset, pair in zip(part.datasets.tolist(), part.pair_fingerprints.tolist(), strict=True):
            digest.update(names[dataset] + pair.to_bytes(8, "little"))
    return digest.hexdigest()


def _first_texts(plan: Any, arguments: Arguments, skipped: Any) -> Iterator[list[dict[str, Any]]]:
    """For each step the texts of its first rows: anchor, positive and a hard negative where there is one."""
    from reader.stream import stream_texts

    rows = range(min(arguments.show, plan.batch_size))
    batches = stream_texts(plan, arguments.start, arguments.count, negatives=1, rows=rows, skipped=_apart(skipped))
    for batch in batches:
        yield [
            {
                "dataset": plan.names[dataset],
                "texts": [text.decode() for text, there in zip(texts, present, strict=True) if there],
            }
            for dataset, texts, present in zip(batch.datasets.tolist(), batch.texts, batch.present, strict=True)
        ]


def _in_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
