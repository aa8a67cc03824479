"""Reddit dumps of our own, small and the same each time."""

from __future__ import annotations

import bz2
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

WORDS = ("walk", "looks", "taking", "reads", "thinks", "where", "never", "again", "people", "house", "water", "green")
OFTEN = ("thanks a lot", "you are right", "so are you then", "[deleted]", "ok")
COMPRESS = {".zst": zstandard.compress, ".bz2": bz2.compress}


def dump_lines(comments: int, *, seed: int = 0, month: int = 0) -> list[bytes]:
    """Lines of a dump: threads of a long-tailed size, replies, replies to what is not there, texts that come often."""
    chance = random.Random(seed)
    lines: list[bytes] = []
    thread, left, ids = 0, 0, []
    for number in range(comments):
        if not left:
            thread, left, ids = thread + 1, min(int(chance.paretovariate(1.1)) + 1, 300), []
        name, link = f"m{month}{number:05x}", f"t3_{month}{thread:x}"
        answered = chance.random()
        parent = f"t1_{chance.choice(ids)}" if ids and answered < 0.8 else link if answered < 0.97 else "t1_gone"
        body = " ".join(chance.choices(WORDS, k=chance.randint(1, 24)))
        if chance.random() < 0.15:
            body = chance.choice(OFTEN)
        row = {"id": name, "link_id": link, "parent_id": parent, "body": body}
        lines.append(json.dumps({**row, "retrieved_on": 1_500_000_000, "subreddit": f"place{thread % 7}"}).encode())
        if number % 500 == 250:
            lines.append(b"no comment %d" % number)
        ids.append(name)
        left -= 1
    return lines


@pytest.fixture(scope="session")
def make_dump() -> Callable[..., Path]:
    """make_dump(path, 1000, seed=0, month=0): a dump, compressed as the name says."""

    def make(path: Path, comments: int, *, seed: int = 0, month: int = 0) -> Path:
        content = b"".join(line + b"\n" for line in dump_lines(comments, seed=seed, month=month))
        path.write_bytes(COMPRESS.get(path.suffix, bytes)(content))
        return path

    return make


@pytest.fixture(scope="session")
def dumps(shared_data) -> Path:
    """The folder of real dumps."""
    return shared_data / "reddit"


@pytest.fixture(scope="session")
def months(make_dump, tmp_path_factory) -> Path:
    """Two months of our own, with .bz2 copies and the texts of an evaluation set that some pairs hold."""
    folder = tmp_path_factory.mktemp("months")
    for month in (1, 2):
        for ending in ("zst", "bz2"):
            make_dump(folder / f"RC_{month}.{ending}", 1500, seed=month, month=month)
    lines = bz2.decompress((folder / "RC_1.bz2").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines if line.startswith(b"{")]
    bodies = sorted({row["body"] for row in rows if 60 < len(row["body"]) < 127})
    (folder / "eval.txt").write_text("\n".join(bodies[::40]))
    return folder
