"""The Reddit job on generated dumps, against the same rules in plain Python without Beam.

The plain loop reads, groups, pairs, filters and frames records; it does no dedup, no global shuffle, no
sidecars and no manifest, and holds everything in memory. It is the floor of what Python can do.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import orjson
import zstandard

from benchmarks.row import Row
from pipelines.preprocess import Job, run
from pipelines.sources.reddit import Reddit, pair_thread, parse_comment
from schemas.example import encode_pair
from schemas.pair import Pair, fingerprint
from schemas.shards import frame

COMMENTS = 100_000
WORDS = [f"{stem}{ending}" for stem in ("wal", "look", "tal", "read", "mov", "think") for ending in ("k", "s", "ing")]


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch, "RC_2020-01.zst")
        write_dump(dump, COMMENTS)
        since = time.perf_counter()
        run(Job(Reddit(), (str(dump),), str(Path(scratch, "out"))))
        ours = time.perf_counter() - since
        since = time.perf_counter()
        plain_python(dump)
        plain = time.perf_counter() - since
    return [Row("reddit job, one process", COMMENTS / ours, "plain Python, no Beam", COMMENTS / plain, "comments/s")]


def write_dump(path: Path, comments: int) -> None:
    """Threads of a long-tailed size, each comment a reply to an earlier one or to the thread."""
    rng = random.Random(0)
    with zstandard.open(path, "wb") as file:
        thread, left, ids = 0, 0, []
        for number in range(comments):
            if not left:
                thread, left, ids = thread + 1, min(int(rng.paretovariate(1.1)) + 1, 500), []
            parent = f"t1_{rng.choice(ids)}" if ids and rng.random() < 0.7 else f"t3_{thread:x}"
            body = " ".join(rng.choices(WORDS, k=rng.randint(1, 30)))
            row = {"id": f"{number:x}", "link_id": f"t3_{thread:x}", "parent_id": parent, "body": body}
            row |= {"retrieved_on": 1_500_000_000, "author": "someone", "subreddit": "pics", "score": 1}
            file.write(orjson.dumps(row) + b"\n")
            ids.append(f"{number:x}")
            left -= 1


def plain_python(dump: Path) -> int:
    """Bytes of framed records that the rules give, by loops and dictionaries alone."""
    threads: defaultdict[str, list[bytes]] = defaultdict(list)
    with zstandard.open(dump, "rb") as file:
        for line in file.read().split(b"\n"):  # type: ignore[union-attr]
            if line and isinstance(parsed := parse_comment(line), tuple):
                threads[parsed[0]].append(parsed[1])
    written = 0
    for thread in threads.items():
        for pair in pair_thread(thread, "reddit", Reddit()):
            if isinstance(pair, Pair):
                written += len(frame(encode_pair(pair, fingerprint(pair))))
    return written
