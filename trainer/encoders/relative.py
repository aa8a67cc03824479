"""Relative positions as a bias on attention.

Buckets are those of Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
Text-to-Text Transformer" (2020): half for each direction; in each, one for every short distance and
then ever wider ones up to `FAR`, beyond which all distances are one.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from trainer.encoders.config import EncoderConfig

FAR = 128


class RelativeBias(nnx.Module):
    """A number for each bucket and head, which attention adds to its logits."""

    def __init__(self, config: EncoderConfig, param_dtype: Any, rngs: nnx.Rngs):
        self.table = nnx.Embed(
            config.relative_attention_num_buckets,
            config.num_attention_heads,
            dtype=jnp.float32,
            param_dtype=param_dtype,
            embedding_init=nnx.initializers.normal(config.initializer_range),
            rngs=rngs,
        )

    def __call__(self, length: int) -> jax.Array:
        """float32[heads, query, key] for rows of `length` tokens.

        One for all rows, however they are packed: a text's tokens stand side by side in order, so
        the distance of two is that of their columns, and across texts attention looks away.
        """
        columns = np.arange(length)
        buckets = relative_buckets(columns[None, :] - columns[:, None], self.table.num_embeddings)
        # A product with a 0/1 matrix, whose gradient adds in one fixed order, unlike a gather's.
        chosen = jax.nn.one_hot(buckets, self.table.num_embeddings, axis=0)
        return jnp.einsum("bqk,bh->hqk", chosen, self.table.embedding[...], precision=jax.lax.Precision.HIGHEST)


def relative_buckets(distances: NDArray[np.integer], buckets: int) -> NDArray[np.int32]:
    """The bucket, from 0 to `buckets` - 1, of each distance (key's place less query's)."""
    half = buckets // 2
    each = half // 2  # distances below have a bucket each
    away = np.abs(distances)
    # In float32, as in the models' training: where a bucket ends hangs on the last bit.
    ratio = np.log(np.maximum(away, 1).astype(np.float32) / np.float32(each)) / np.float32(math.log(FAR / each))
    wider = np.minimum(each + (ratio * np.float32(half - each)).astype(np.int32), half - 1)
    return (np.where(away < each, away, wider) + half * (distances > 0)).astype(np.int32)
