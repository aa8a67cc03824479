"""Encoding texts of mixed length, against sentence-transformers on the same texts and encoder."""

from __future__ import annotations

import time

from benchmarks.row import Row
from pipelines.sources.docstrings import Docstrings, read_docstrings
from schemas.pair import Pair
from trainer.encode import TextEncoder
from trainer.encoders.fetch import MINILM, resolve_encoder

TEXTS = 1_000
REPEATS = 4


def measure() -> list[Row]:
    from sentence_transformers import SentenceTransformer

    folder = resolve_encoder(MINILM)
    ours, theirs = TextEncoder.open(folder), SentenceTransformer(str(folder), device="cpu")
    rows = []
    for what, texts in _texts().items():
        best = [float("inf"), float("inf")]
        for encode in (ours.encode, theirs.encode):
            encode(texts)  # compiled and warm
        for _ in range(REPEATS):  # in turns, so that a noisy minute hits both
            for which, encode in enumerate((ours.encode, theirs.encode)):
                since = time.perf_counter()
                encode(texts)
                best[which] = min(best[which], time.perf_counter() - since)
        what, peer = f"MiniLM-L6, fp32, {what}", "sentence-transformers"
        rows.append(Row(what, len(texts) / best[0], peer, len(texts) / best[1], "texts/s"))
    return rows


def _texts() -> dict[str, list[str]]:
    """Functions, which are long, and docstrings' first lines, which are short, of the running environment."""
    pairs: list[Pair] = []
    for file in Docstrings().find_inputs(())[::10]:
        pairs += [pair for pair in read_docstrings(file.path, "code", "body") if isinstance(pair, Pair)]
        if len(pairs) >= TEXTS:
            break
    return {
        "functions": [pair.positive for pair in pairs[:TEXTS]],
        "first lines": [pair.anchor.splitlines()[0] for pair in pairs[:TEXTS]],
    }
