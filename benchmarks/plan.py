"""A plan of a billion pairs: how soon it is ready, what it takes, and whether far steps cost more.

The manifests are simulated: as many datasets, lines, shards and weights as the original's mixture has,
but no shard. Each plan is made in a process of its own, whose largest memory counts, imports included.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.row import Row
from reader.plan import plan_batches
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split
from schemas.mixture import Mixture
from schemas.shards import Shard, shard_name

DATASETS = 290
PAIRS = 1_170_060_424
SHARDS = 10_000
READY_SECONDS, MEMORY = 2, 300
STEPS = 300


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        whole = _measure_in_process(write_manifests(Path(scratch, "whole"), PAIRS, SHARDS))
        large, small = (
            _measure_in_process(write_manifests(Path(scratch, str(pairs)), pairs, shards))
            for pairs, shards in ((100_000_000, 1000), (1_000_000, DATASETS))
        )
    what = f"{PAIRS / 1e9:.2f} billion pairs, {SHARDS:,} shards: "
    return [
        Row(what + "plans", 1 / whole["ready"], f"one in {READY_SECONDS} s", 1 / READY_SECONDS, "a second"),
        Row(what + "memory (less is better)", whole["memory"], "the limit", MEMORY, "MB"),
        Row(what + "step 500,000", 1 / whole["far"], "step 0", 1 / whole["near"], "steps/s"),
        Row("100 million pairs: memory", large["memory"], "1 million pairs", small["memory"], "MB"),
    ]


def write_manifests(folder: Path, pairs: int, shards: int) -> Path:
    """Manifests of datasets from small to large, and their mixture, weighted by lines up to a million."""
    sizes = [math.exp(9 * number / DATASETS) for number in range(DATASETS)]
    entries = []
    for number, size in enumerate(sizes):
        lines = max(1, int(pairs * size / sum(sizes)))
        count = max(1, int(shards * size / sum(sizes)))
        name = f"dataset-{number:03d}"
        (folder / name).mkdir(parents=True)
        (folder / name / MANIFEST_NAME).write_bytes(_manifest(name, lines, count).to_bytes())
        entries.append({"name": name, "lines": lines, "weight": math.ceil(247 * min(lines, 1_000_000) / 1_000_000)})
    (folder / "data_config.json").write_text(json.dumps(entries))
    return folder


def _manifest(name: str, lines: int, count: int) -> Manifest:
    records = [lines * (n + 1) // count - lines * n // count for n in range(count)]
    listed = tuple(
        Shard(shard_name("train", n, count), held, 200 * held, f"{n:064x}", f"{n:064x}", f"{n:064x}")
        for n, held in enumerate(records)
    )
    split = Split(lines, 200 * lines, 128, listed)
    return Manifest(name, "text → text", "", "", "", (Part("", (), {}, {}, lines, (), {"train": split}, {}),))


def _measure_in_process(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.plan", str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _measure_here(folder: Path) -> dict[str, float]:
    """Seconds until the plan is ready, seconds a step near and far, and the process's largest memory in MB."""
    since = time.perf_counter()
    plan = plan_batches(Mixture.load(folder / "data_config.json"), folder, batch_size=1024)
    ready = time.perf_counter() - since
    seconds = {"near": math.inf, "far": math.inf}
    for _ in range(3):  # in turn, and the best of three: others use the machine too
        for name, first in (("near", 0), ("far", 500_000)):
            since = time.perf_counter()
            for step in range(first, first + STEPS):
                plan.runs(step)
            seconds[name] = min(seconds[name], (time.perf_counter() - since) / STEPS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"ready": ready, "memory": memory, **seconds}


if __name__ == "__main__":
    print(json.dumps(_measure_here(Path(sys.argv[1]))))
