"""Contenders without an encoder."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from trainer.evaluate.vector_contender import VectorContender


def hashed_words(texts: Sequence[str], *, prompt: str = "") -> np.ndarray:
    """float32[n, 64]: a fixed random vector for each word, added up."""
    vectors = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in (prompt + text).lower().split():
            vectors[row] += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(64)
    return vectors


WORDS = VectorContender("words", hashed_words)


def placed(**places: Sequence[float]) -> VectorContender:
    """A contender that has a vector for each text."""
    table = {name.replace("_", " "): np.array(vector, np.float32) for name, vector in places.items()}
    return VectorContender("placed", lambda texts, prompt: np.stack([table[text] for text in texts]))
