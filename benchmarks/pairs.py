"""Pairs of mixed length to train on: from a file, or made up with the lengths of real corpora."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

PAIRS_FILE = "PAIRSTREAM_BENCH_PAIRS"
"""Environment variable: a file with a JSON list [anchor, positive] a line, in place of made-up pairs."""

# Words of (anchor, positive): median and spread (sigma of a log-normal), and the most.
LENGTHS = {
    "Reddit": ((13, 0.45, 26), (13, 0.45, 26)),
    "captions": ((11, 0.38, 40), (10, 0.35, 40)),
    "StackExchange": ((9, 0.35, 25), (95, 0.75, 600)),
}
WORDS = tuple(
    word
    for line in (
        "the of to and in is for on with as at by from this that have not are was were can will would there",
        "their what about which when make like time just know take people into year your good some could them",
        "see other than then now look only come its over think also back after use two how our work first well",
        "way even new want because any these give day most dog street water coffee server error question answer",
    )
    for word in line.split()
)


def mixed_pairs(count: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """So many pairs, in equal parts of each kind, one kind after another; or the first of the file."""
    path = os.environ.get(PAIRS_FILE)
    if path:
        lines = Path(path).read_text().splitlines()[:count]
        if len(lines) < count:
            raise ValueError(f"{path}: {len(lines)} pairs; expected at least {count}")
        return [(anchor, positive) for anchor, positive in map(json.loads, lines)]
    rng = random.Random(seed)
    kinds = list(LENGTHS.values())
    return [tuple(_text(rng, *side) for side in kinds[number * len(kinds) // count]) for number in range(count)]  # type: ignore[misc]


def _text(rng: random.Random, median: float, spread: float, most: int) -> str:
    words = min(most, max(3, round(median * rng.lognormvariate(0, spread))))
    return " ".join(rng.choices(WORDS, k=words))
