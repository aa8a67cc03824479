"""From the hidden states of a pack's tokens to one vector a text."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from trainer.config import POOLINGS, Pooling


def pool(hidden: jax.Array, segments: jax.Array, positions: jax.Array, texts: int, mode: Pooling = "mean") -> jax.Array:
    """One vector a text: the mean of its tokens' hidden states, or its first token's.

    hidden is float[R, L, H], segments and positions are int32[R, L] as in `schemas.batch`, texts is
    how many the pack may hold (P * T). Returns float32[texts, H]: row i is the text with segment
    i + 1; a text without tokens has the zero vector, and sends no gradient.
    """
    if mode not in POOLINGS:
        raise ValueError(f"pooling mode is {mode!r}; expected {' or '.join(map(repr, POOLINGS))}")
    member = _membership(segments, texts)
    chosen = member & (positions.reshape(-1) == 0) if mode == "cls" else member
    # A product with a 0/1 matrix, not a scatter-add: it is exact in bfloat16 too, adds in one
    # fixed order, and is a thousandth of the encoder's work.
    sums = jnp.einsum(
        "tn,nh->th",
        chosen.astype(hidden.dtype),
        hidden.reshape(-1, hidden.shape[-1]),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    return sums / jnp.maximum(chosen.sum(axis=1, keepdims=True), 1)


def present_texts(segments: jax.Array, texts: int) -> jax.Array:
    """bool[texts]: which texts of the pack have tokens; segments is int32[R, L]."""
    return _membership(segments, texts).any(axis=1)


def normalize(x: jax.Array) -> jax.Array:
    """float[..., D] to unit length along the last axis; zero stays zero, with gradient zero."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    zero = square == 0
    # The inner where keeps 1/0 out of the gradient, which the outer one alone would not.
    return jnp.where(zero, 0, x * jax.lax.rsqrt(jnp.where(zero, 1, square)))


def _membership(segments: jax.Array, texts: int) -> jax.Array:
    """bool[texts, R * L]: token n belongs to text i."""
    return segments.reshape(-1) == jnp.arange(1, texts + 1)[:, None]
