"""Batches of 1,024 pairs from texts on disk, against the loaders of other projects on the same mixture.

Each loader runs in a process of its own, one after another, in turns; of each the best turn counts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.row import Row
from benchmarks.stream import DATASETS, make_pairs, plan_of, read_batches, write_datasets
from reader.rows import Packing
from schemas.pair import Pair
from schemas.tokens import load_tokenizer
from trainer.encoders.fetch import MINILM, resolve_encoder

INTERPRETER = Path(sys.prefix).with_name(".venv-peers") / "bin" / "python"
PEERS = ("interleave_datasets", "grain", "mosaicml-streaming", "webdataset")
STEPS = 60
TURNS = 2


def measure() -> list[Row]:
    if not INTERPRETER.exists():
        raise RuntimeError(f"{INTERPRETER} is not there: run `make bench-peers`, which installs the other loaders")
    encoder = resolve_encoder(MINILM)
    tokenizer = load_tokenizer(encoder)
    packing = Packing(tokenizer, pairs=64, rows=20, row_tokens=128, max_tokens=(128, 128))
    pairs = make_pairs(tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        texts, _ = write_datasets(Path(scratch, "ours"), pairs, tokenizer)
        plain = Path(scratch, "plain")
        write_plain(plain, pairs, encoder / "tokenizer.json")
        plan, ours, theirs = plan_of(texts), 0.0, dict.fromkeys(PEERS, 0.0)
        for turn in range(TURNS):
            since = time.perf_counter()
            ours = max(ours, read_batches(plan, packing, 4 * STEPS) / (time.perf_counter() - since))
            for peer in PEERS:
                theirs[peer] = max(theirs[peer], _rate(peer, plain, Path(scratch, f"{peer}-{turn}")))
    return [Row("from texts", ours, peer, theirs[peer], "pairs/s") for peer in PEERS]


def write_plain(folder: Path, pairs: dict[str, list[Pair]], tokenizer: Path) -> None:
    """The mixture as lines of JSON, from which each loader makes files of its own format."""
    folder.mkdir()
    shutil.copy(tokenizer, folder / "tokenizer.json")
    whole = sum(DATASETS.values())
    (folder / "weights.json").write_text(json.dumps({name: weight / whole for name, weight in DATASETS.items()}))
    for name, of_dataset in pairs.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps({"anchor": pair.anchor, "positive": pair.positive}) + "\n" for pair in of_dataset
            )


def _rate(peer: str, plain: Path, folder: Path) -> float:
    shutil.copytree(plain, folder)
    command = [str(INTERPRETER), "-m", "benchmarks.peer_loaders", peer, str(folder), str(STEPS)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{peer} failed: {ran.stderr.strip().splitlines()[-1:]}")
    return float(ran.stdout.split()[-1])
