"""Whole jobs for the tests of `preprocess`, small dumps to run them on, and what they left."""

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.reddit import Reddit
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair
from schemas.shards import read_shard

SMALL_SHARDS = 20_000
RULES = Reddit()


def preprocess_reddit(output: Path, *inputs: Path | str, **changes) -> Manifest:
    job = Job(RULES, tuple(map(str, inputs)), str(output), **{"shard_size": SMALL_SHARDS, **changes})
    (manifest,) = run(job)
    return manifest


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset but the manifest, which tells of inputs and commands."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"
    }


def read_pairs(manifest: Manifest, split: str) -> list[Pair]:
    return [decode_pair(record)[0] for located in manifest.shards(split) for record in read_shard(located.path)]


def split_of_thread(thread: str) -> str:
    md5 = int(hashlib.md5(thread.encode()).hexdigest(), 16)
    return "train" if (1 + md5 % 4096) / 4096 < 0.9 else "test"


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def write_dump(path: Path, threads: int = 40) -> Path:
    rows = [
        {
            "id": f"{t}{place}",
            "link_id": f"t3_{t}",
            "parent_id": parent,
            "body": f"{place} comment of thread {t}",
        }
        for t in range(threads)
        for place, parent in (("a", f"t3_{t}"), ("b", f"t1_{t}a"), ("c", f"t1_{t}b"))
    ]
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def drops_of(manifest: Manifest) -> dict[str, dict[str, int]]:
    return {stage.name: stage.drops for stage in manifest.parts[-1].funnel}


def start(script: str, *arguments: Path | str | int) -> subprocess.Popen:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], env=environment, stderr=subprocess.PIPE
    )
