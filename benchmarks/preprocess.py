"""The Reddit job on generated dumps, against the original's job on the same runner, and against no Beam at all.

The original's job is `benchmarks/per_comment_job.py`. The plain loop reads, groups, pairs, filters and frames
records; it does no dedup, no global shuffle, no sidecars and no manifest, and holds everything in memory.
It is the floor of what Python can do.
`python -m benchmarks.preprocess 4000000` measures a larger dump.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import zstandard

from benchmarks.per_comment_job import run_per_comment
from benchmarks.row import Row
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.reddit import Reddit
from pipelines.sources.reddit_comments import comment_from_row
from pipelines.sources.reddit_threads import pair_thread
from schemas.example import encode_pairs
from schemas.pair import Pair, fingerprint
from schemas.shards import frame

COMMENTS = 400_000
TURNS = 2
WORDS = [f"{stem}{ending}" for stem in ("wal", "look", "tal", "read", "mov", "think") for ending in ("k", "s", "ing")]


def measure(comments: int = COMMENTS) -> list[Row]:
    """One process and two against the plain loop, and the time for each comment against that of a tenth of them.

    What two processes can gain is bounded by two jobs that share nothing but the machine, each of half the comments.
    """
    with tempfile.TemporaryDirectory() as scratch:
        dump, small, half = (Path(scratch, f"RC_2020-0{month}.zst") for month in (1, 2, 3))
        write_dump(dump, comments)
        write_dump(small, comments // 10)
        write_dump(half, comments // 2)
        run(Job(Reddit(), (str(small),), str(Path(scratch, "warm"))))
        tenth, one, two, apart, plain, original = _best(
            lambda out: run(Job(Reddit(), (str(small),), str(out / "small"))),
            lambda out: run(Job(Reddit(), (str(dump),), str(out / "one"))),
            lambda out: run(Job(Reddit(), (str(dump),), str(out / "two"), workers=2)),
            lambda out: _two_jobs_apart(half, out),
            lambda out: plain_python(dump),
            lambda out: run_per_comment(small, out / "per-comment"),
        )
    rate, unit = comments / one, "comments/s"
    return [
        Row("reddit job, one process", rate, "the original's job", comments / 10 / original, unit),
        Row("reddit job, one process", rate, "plain Python, no Beam", comments / plain, unit),
        Row("reddit job, two processes", comments / two, "one process", rate, unit),
        Row("reddit job, two processes", comments / two, "two jobs apart, half each", comments / apart, unit),
        Row(f"reddit job, {comments:,} comments", rate, f"{comments // 10:,} comments", comments / 10 / tenth, unit),
    ]


def _best(*works: Callable[[Path], Any]) -> list[float]:
    """Seconds of each, in turns so that a noisy minute hits all, the best turn of each; it is given an empty folder."""
    best = [float("inf")] * len(works)
    for _ in range(TURNS):
        for number, work in enumerate(works):
            with tempfile.TemporaryDirectory() as folder:
                since = time.perf_counter()
                work(Path(folder))
                best[number] = min(best[number], time.perf_counter() - since)
    return best


def _two_jobs_apart(half: Path, out: Path) -> None:
    """Two one-process jobs at once, each started as a worker of ours is."""
    context = multiprocessing.get_context("spawn")
    jobs = [Job(Reddit(), (str(half),), str(out / f"half-{number}")) for number in range(2)]
    processes = [context.Process(target=run, args=(job,)) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a job of half the comments ended with {process.exitcode}")


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
    threads: defaultdict[str, list[Any]] = defaultdict(list)
    with zstandard.open(dump, "rb") as file:
        for line in file.read().split(b"\n"):  # type: ignore[union-attr]
            if line and isinstance(parsed := comment_from_row(orjson.loads(line)), tuple):
                threads[parsed[0]].append(parsed[1])
    rules = Reddit()
    bounds = {name: getattr(rules, name) for name in ("min_characters", "max_characters", "depth")}
    found = (each for thread in threads.items() for each in pair_thread(thread, "reddit", **bounds))
    pairs = [pair for pair in found if isinstance(pair, Pair)]
    records = encode_pairs(pairs, [fingerprint(pair) for pair in pairs], [""] * len(pairs))
    return sum(len(frame(record)) for record in records)


if __name__ == "__main__":
    for row in measure(int(sys.argv[1]) if len(sys.argv) > 1 else COMMENTS):
        print(f"{row.what}: {row.rate:,.0f} {row.unit}, {row.rate / row.other_rate:.2f} of {row.against}")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
