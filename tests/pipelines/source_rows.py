"""What the tests of sources that are rows of a table share: one input read without Beam, and a whole job."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipelines.funnel import BadFile, Drop, Read
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.records import read_records
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair
from schemas.shards import read_shard


def read_row(row: Any, *paths: Any) -> tuple[list[Pair], dict[str, int]]:
    """(pairs, reason → records) of one input, without Beam; every record is in one of the two."""
    name = row.info.name
    found = list(read_records("\0".join(map(str, paths)), row, name))
    pairs = [item for item in found if isinstance(item, Pair)]
    reasons = Counter(item.reason for item in found if isinstance(item, Drop))
    assert found.count(Read(name)) == len(pairs) + reasons.total()
    assert not [item for item in found if isinstance(item, BadFile)]
    return pairs, dict(reasons)


def run_row(row: Any, output: Any, *inputs: Any) -> tuple[Manifest, list[Pair]]:
    """(manifest, pairs) of a whole job."""
    (manifest,) = run(Job(row, tuple(map(str, inputs)), str(output)))
    pairs = [decode_pair(record)[0] for located in manifest.shards("train") for record in read_shard(located.path)]
    return manifest, pairs
