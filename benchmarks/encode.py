"""Encoding texts of mixed length, against sentence-transformers on the same texts and encoder."""

from __future__ import annotations

import time

from benchmarks.row import Row
from pipelines.sources.docstrings import Docstrings, read_docstrings
from schemas.pair import Pair
from trainer.encode import TextEncoder
from trainer.encoders.fetch import MINILM, resolve_encoder

TEXTS = 1_000


def measure() -> list[Row]:
    from sentence_transformers import SentenceTransformer

    folder = resolve_encoder(MINILM)
    texts = _texts()
    ours, theirs = TextEncoder.open(folder), SentenceTransformer(str(folder), device="cpu")
    seconds = []
    for encode in (ours.encode, theirs.encode):
        encode(texts)  # compiled and warm
        since = time.perf_counter()
        encode(texts)
        seconds.append(time.perf_counter() - since)
    return [Row("MiniLM-L6, fp32", TEXTS / seconds[0], "sentence-transformers", TEXTS / seconds[1], "texts/s")]


def _texts() -> list[str]:
    """Functions and docstrings of the running environment."""
    found: list[str] = []
    for file in Docstrings().find_inputs(())[::10]:
        found += [pair.positive for pair in read_docstrings(file.path, "code", "body") if isinstance(pair, Pair)]
        if len(found) >= TEXTS:
            break
    return found[:TEXTS]
