"""Dropout whose decisions belong to a token of a text, wherever the text lies.

A text is dropped out the same way packed among others or padded in a row of its own, so a layout
changes neither loss nor gradients. The decisions are hashes of what they decide about: the text's
number, places in it, the feature or head. Drawing them from a key costs six times as much, some per cent of a step.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

HALF_WORD = 1 << 16
"""A decision takes half a random word; rates are taken to the nearest 1/65536, and rescaling is exact for that."""
LONGEST = 1 << 12
"""More tokens than any text has."""


class Dropout(NamedTuple):
    """A key, and the tokens it decides about."""

    key: jax.Array
    token: jax.Array
    """uint32[R, L]: a number for each token of the pack, the same in every layout."""
    position: jax.Array
    """uint32[R, L]: its place in its text."""

    @classmethod
    def of(cls, key: jax.Array, segments: jax.Array, positions: jax.Array) -> Dropout:
        """`segments` and `positions` are int32[R, L] as the encoder takes them."""
        position = positions.astype(jnp.uint32)
        return cls(key, segments.astype(jnp.uint32) * LONGEST + position, position)

    def fold_in(self, number: int) -> Dropout:
        """Other decisions about the same tokens."""
        return self._replace(key=jax.random.fold_in(self.key, number))

    def hidden(self, x: jax.Array, rate: float) -> jax.Array:
        """Zeroes each element of [R, L, H] with probability `rate` and rescales the others."""
        features = x.shape[-1]
        of_token, of_feature = self._words(self.token, jnp.arange((features + 1) // 2, dtype=jnp.uint32))
        return _drop(x, rate, _mix(of_token[..., None] ^ of_feature), axis=-1)

    def weights(self, x: jax.Array, rate: float) -> jax.Array:
        """The same for attention's weights [R, heads, query, key]."""
        pairs = jnp.arange((x.shape[1] + 1) // 2, dtype=jnp.uint32)
        of_query, of_key = self._words(self.token, pairs[:, None] * LONGEST + self.position[:, None])
        return _drop(x, rate, _mix(of_query[:, None, :, None] ^ of_key[:, :, None]), axis=1)

    def _words(self, one: jax.Array, other: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A random word for each number of each; numbers of the two are unrelated."""
        first, second = jax.random.bits(self.key, (2,), jnp.uint32)
        return _mix(_mix(one + first) + second), _mix(_mix(other + second) ^ first)


def _drop(x: jax.Array, rate: float, words: jax.Array, axis: int) -> jax.Array:
    """A word decides for two elements, half the axis apart."""
    threshold = round(rate * HALF_WORD)
    if threshold == 0:
        return x
    halves = jnp.concatenate([words & (HALF_WORD - 1), words >> 16], axis)
    halves = jax.lax.slice_in_dim(halves, 0, x.shape[axis], axis=axis)
    return jnp.where(halves >= threshold, x * (HALF_WORD / (HALF_WORD - threshold)), jnp.zeros_like(x))


def _mix(words: jax.Array) -> jax.Array:
    """A bijection of uint32 in which each bit of the result hangs on all bits of the argument."""
    words = (words ^ (words >> 16)) * jnp.uint32(0x7FEB352D)
    words = (words ^ (words >> 15)) * jnp.uint32(0x846CA68B)
    return words ^ (words >> 16)
