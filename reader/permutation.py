"""A stateless permutation of [0, n): a keyed bijection, never an array of n.

A Feistel network over the next even power of two, walked until it lands below n
(Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
"""

from __future__ import annotations

import numpy as np
import xxhash
from numpy.typing import NDArray

ROUNDS = 6


def permutation_key(*parts: object) -> int:
    """A 64-bit key from what the permutation belongs to: seed, dataset, epoch."""
    return xxhash.xxh3_64_intdigest("\x00".join(map(str, parts)).encode())


def permute(indices: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Where each index of [0, size) goes under the permutation named by `key`. int64[n] → int64[n]."""
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = [np.uint64(xxhash.xxh3_64_intdigest(key.to_bytes(8, "little"), seed=turn)) for turn in range(ROUNDS)]
    values = indices.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        moving = values[outside]
        left, right = moving >> half, moving & mask
        for key_of_round in keys:
            left, right = right, left ^ (_mix64(right ^ key_of_round) & mask)
        values[outside] = (left << half) | right
        outside = values >= size
    return values.astype(np.int64)


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
