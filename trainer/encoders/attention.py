"""Attention within the texts of a row, by several means that give the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

Method = Literal["plain", "library", "cudnn"]
METHODS: tuple[Method, ...] = get_args(Method)

Weights = Callable[[jax.Array], jax.Array]


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    same_text: jax.Array,
    bias: jax.Array | None = None,
    dropout: Weights | None = None,
    *,
    method: Method | None = None,
) -> jax.Array:
    """softmax(query · key / √d + bias) · value, each token looking at the tokens of its own text.

    query, key and value are [R, L, heads, d] of one type, same_text is bool[R, query, key] and true
    somewhere for each query, bias is float32[heads, query, key], `dropout` is applied to the
    weights, [R, heads, query, key]. Returns [R, L, heads, d]; the softmax is float32.

    `method` (None: `fastest`) is one of

    - `plain`: two products, the softmax between them; does everything.
    - `library`: `jax.nn.dot_product_attention` compiled by XLA; has no dropout.
    - `cudnn`: the same through cuDNN's fused kernel: bfloat16 on a GPU, no dropout, and no bias,
      whose gradient it would leave out where a row has a mask of its own.

    Where a method cannot do what is asked, `plain` does it: dropout decides by our own keys, which
    no fused kernel knows.
    """
    method = method or fastest()
    if method not in METHODS:
        raise ValueError(f"attention method is {method!r}; expected one of {', '.join(METHODS)}")
    if method == "library" and dropout is None:
        return jax.nn.dot_product_attention(
            query, key, value, None if bias is None else bias[None], same_text[:, None], implementation="xla"
        )
    if method == "cudnn" and dropout is None and bias is None and query.dtype == jnp.bfloat16:
        return jax.nn.dot_product_attention(query, key, value, mask=same_text[:, None], implementation="cudnn")
    return _plain(query, key, value, same_text, bias, dropout)


def fastest() -> Method:
    """The method used unless one is named: `plain`, the fastest on a CPU (`benchmarks/attention.py`).

    No GPU or TPU has been measured, so they get `plain` too, which compiles everywhere.
    """
    return "plain"


def _plain(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    same_text: jax.Array,
    bias: jax.Array | None,
    dropout: Weights | None,
) -> jax.Array:
    precision = jax.lax.Precision.HIGHEST if query.dtype == jnp.float32 else None
    # Heads before tokens: as batch dimensions first, the two products run a third faster on a CPU.
    query, key, value = (array.swapaxes(1, 2) for array in (query * query.shape[-1] ** -0.5, key, value))
    logits = jnp.einsum("rhqd,rhkd->rhqk", query, key, precision=precision, preferred_element_type=jnp.float32)
    if bias is not None:
        logits += bias
    logits = jnp.where(same_text[:, None], logits, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    if dropout is not None:
        weights = dropout(weights)
    return jnp.einsum("rhqk,rhkd->rhqd", weights, value, precision=precision).swapaxes(1, 2)
