"""The in-memory batch: what the reader hands to the trainer.

A *pack* is P consecutive pairs of the global batch with all their texts laid out in R rows of L
tokens. Padding is the special case of one text a row, so there is one format, one attention rule
and one pooling rule for both.

Each text of a pack has a number, ``1 + pair * T + slot``, where slot 0 is the anchor, 1 the
positive and 2… the hard negatives. The token's *segment* is the number of the text it belongs to
(0: padding): tokens attend to tokens of the same segment alone, and pooling over segment
``1 + pair * T + slot`` gives embedding ``[pair, slot]``. Nothing else says where a text lies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ANCHOR, POSITIVE = 0, 1  # the first two slots of a pair; hard negatives follow


class Batch(NamedTuple):
    """K packs; every field has the pack axis first, so a batch is split by packs alone.

    K packs a batch, P pairs a pack, T texts a pair (2 + the most negatives a pair may have),
    R rows a pack, L tokens a row. The global batch holds K * P pairs, in order.
    """

    tokens: NDArray[np.int32]
    """[K, R, L] token ids; the value under padding is the tokenizer's pad id."""
    segments: NDArray[np.int32]
    """[K, R, L] number of the text a token belongs to within its pack; 0 is padding."""
    positions: NDArray[np.int32]
    """[K, R, L] place of a token in its text, from 0; 0 under padding."""
    fingerprints: NDArray[np.uint32]
    """[K, P, T, 2] xxh3-64 of each normalised text as (low, high) words; JAX cuts 64 bits."""
    clusters: NDArray[np.uint32]
    """[K, P, 2] fingerprint of (dataset, cluster) as (low, high) words; (0, 0): no cluster."""
    pairs: NDArray[np.uint32]
    """[K, P, 2] fingerprint of each pair as (low, high) words."""
    datasets: NDArray[np.int32]
    """[K, P] index of each pair's dataset in the mixture."""
    shortened: NDArray[np.int32]
    """[K] texts of the pack that were shortened to make it fit its rows."""

    @property
    def size(self) -> int:
        """Pairs in the batch: K * P."""
        return self.pairs.shape[0] * self.pairs.shape[1]

    @property
    def real_share(self) -> float:
        """Part of the rows' tokens that belong to a text, 0 to 1: the rest is padding."""
        return float((self.segments > 0).mean())


def split_words(fingerprints: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """uint64[...] → uint32[..., 2] as (low, high), on any byte order."""
    return np.ascontiguousarray(fingerprints, "<u8")[..., None].view("<u4").astype(np.uint32, copy=False)


def join_words(words: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """uint32[..., 2] as (low, high) → uint64[...]: the inverse of `split_words`."""
    wide = words.astype(np.uint64)
    return wide[..., 0] | (wide[..., 1] << np.uint64(32))
