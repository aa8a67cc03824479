"""Small batches and encoders for tests."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from schemas.batch import Batch
from trainer.encoders.bert import BertConfig, BertEncoder

Pair = Sequence[Sequence[int]]  # the ids of anchor, positive, hard negatives…; empty: no text

TINY = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=32,
    initializer_range=0.3,  # at the usual 0.02 attention is flat and mistakes in it hide
)


def tiny_encoder(dropout: float | None = None, dtype: str = "float32", layers: int = 2) -> BertEncoder:
    config = dataclasses.replace(TINY, num_hidden_layers=layers)
    return BertEncoder(config, dropout=dropout, dtype=dtype, rngs=nnx.Rngs(0))


def random_pairs(count: int, slots: int = 2, *, seed: int = 0, longest: int = 9) -> list[list[list[int]]]:
    """Pairs whose hard negatives are there half of the time."""
    rng = np.random.default_rng(seed)

    def text(slot: int) -> list[int]:
        absent = slot > 1 and rng.random() < 0.5
        return [] if absent else [1, *rng.integers(3, TINY.vocab_size, rng.integers(1, longest - 1)).tolist(), 2]

    return [[text(slot) for slot in range(slots)] for _ in range(count)]


def make_batch(
    pairs: Sequence[Pair],
    *,
    packs: int = 1,
    rows: int,
    tokens: int,
    packed: bool = True,
    clusters: Sequence[int] | None = None,
) -> Batch:
    """Lays texts out in order, next fit when packed, else one a row. Equal ids: equal fingerprints."""
    count, slots = len(pairs) // packs, len(pairs[0])
    ids, segments, positions = np.zeros((3, packs, rows, tokens), np.int32)
    for pack in range(packs):
        row = column = 0
        texts = [text for pair in pairs[pack * count : (pack + 1) * count] for text in pair]
        for segment, text in enumerate(texts, start=1):
            if text and column and (not packed or column + len(text) > tokens):
                row, column = row + 1, 0
            span = (pack, row, slice(column, column + len(text)))
            ids[span], segments[span], positions[span] = text, segment, range(len(text))
            column += len(text)
    words = np.array([[_fingerprint(text) for text in pair] for pair in pairs], np.uint32)
    cluster_words = np.zeros((len(pairs), 2), np.uint32)
    if clusters is not None:
        cluster_words[:, 0] = clusters
    return Batch(
        tokens=ids,
        segments=segments,
        positions=positions,
        fingerprints=words.reshape(packs, count, slots, 2),
        clusters=cluster_words.reshape(packs, count, 2),
        pairs=words[:, 0].reshape(packs, count, 2),
        datasets=np.zeros((packs, count), np.int32),
        shortened=np.zeros(packs, np.int32),
    )


def one_a_row(texts: Sequence[Sequence[int]], tokens: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """int32[n, tokens] ids, segments and positions, row i holding text i with segment i + 1."""
    ids, segments, positions = np.zeros((3, len(texts), tokens), np.int32)
    for row, text in enumerate(texts):
        span = (row, slice(0, len(text)))
        ids[span], segments[span], positions[span] = text, row + 1, range(len(text))
    return jnp.asarray(ids), jnp.asarray(segments), jnp.asarray(positions)


def _fingerprint(text: Sequence[int]) -> tuple[int, int]:
    data = bytes(text)
    return (zlib.crc32(data), zlib.adler32(data)) if data else (0, 0)
