"""A stateless permutation of [0, n): a keyed bijection, never an array of n.

A Feistel network over the next even power of two, walked until it lands below n
(Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

ROUNDS = 6


def permutation_key(*parts: object) -> int:
    """A 64-bit key from what the permutation belongs to: seed, dataset, epoch."""
    return xxhash.xxh3_64_intdigest("\x00".join(map(str, parts)).encode())


def permute(indices: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Where each index of [0, size) goes under the permutation named by `key`. int64[n] → int64[n]."""
    return permute_each([(indices, size, key)])


def permute_each(parts: Sequence[tuple[NDArray[np.int64], int, int]]) -> NDArray[np.int64]:
    """`permute` of (indices, size, key) for each part, one after the other, at the price of one call."""
    if not parts:
        return np.zeros(0, np.int64)
    lengths = [len(indices) for indices, _, _ in parts]
    bits = np.array([max(1, ((size - 1).bit_length() + 1) // 2) for _, size, _ in parts], np.uint64)
    sizes = np.repeat(np.array([size for _, size, _ in parts], np.uint64), lengths)
    halves = np.repeat(bits, lengths)
    masks = (np.uint64(1) << halves) - np.uint64(1)
    keys = np.repeat(np.array([_round_keys(key) for _, _, key in parts], np.uint64), lengths, axis=0).T
    values = np.concatenate([indices for indices, _, _ in parts]).astype(np.uint64)
    outside = np.arange(len(values))
    while len(outside):
        half, mask = halves[outside], masks[outside]
        left, right = values[outside] >> half, values[outside] & mask
        for key_of_round in keys[:, outside]:
            left, right = right, left ^ (mix64(right ^ key_of_round) & mask)
        moved = (left << half) | right
        values[outside] = moved
        outside = outside[moved >= sizes[outside]]
    return values.astype(np.int64)


@lru_cache(maxsize=4096)
def _round_keys(key: int) -> tuple[int, ...]:
    return tuple(xxhash.xxh3_64_intdigest(key.to_bytes(8, "little"), seed=turn) for turn in range(ROUNDS))


def mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: a bijection after which every bit depends on every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
