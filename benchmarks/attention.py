"""Attention's methods against one another, forward and backward, on packed rows; needs jax alone.

    python -m benchmarks.attention

What it shows on a device decides what `trainer.encoders.attention.fastest` says of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.row import Row
from trainer.encoders.attention import METHODS, Method, attention, fastest

TEXT = 25  # tokens of a text, as in the corpus on average
TOKENS = {"cpu": 2**12, "gpu": 2**17, "tpu": 2**17}
REPEATS = 7
# Name, heads, width of a head, tokens of a row, with a bias.
SHAPES = (
    ("MiniLM", 12, 32, 128, False),
    ("MiniLM", 12, 32, 256, False),
    ("MPNet", 12, 64, 128, True),
    ("MPNet", 12, 64, 256, True),
)


def measure() -> list[Row]:
    """The chosen method against each other one, for each shape; the best of some interleaved runs."""
    device = jax.default_backend()
    dtype = jnp.dtype("float32" if device == "cpu" else "bfloat16")
    chosen, rows = fastest(), []
    for name, heads, width, length, biased in SHAPES:
        runs = {
            method: _compiled(method, (TOKENS[device] // length, length, heads, width), biased, dtype)
            for method in METHODS
            if method != "cudnn" or (device == "gpu" and not biased)
        }
        seconds = dict.fromkeys(runs, float("inf"))
        for _ in range(REPEATS):
            for method, run in runs.items():
                since = time.perf_counter()
                jax.block_until_ready(run())
                seconds[method] = min(seconds[method], time.perf_counter() - since)
        rates = {method: TOKENS[device] / taken for method, taken in seconds.items()}
        what = f"{name}, rows of {length}, {dtype.name}, {device}: {chosen}"
        rows += [Row(what, rates[chosen], method, rates[method], "tokens/s") for method in runs if method != chosen]
    return rows


def _compiled(method: Method, shape: tuple[int, ...], biased: bool, dtype: jnp.dtype) -> Callable[[], object]:
    """The gradient of all inputs, compiled and warm."""
    rows, length, heads, _ = shape
    keys = jax.random.split(jax.random.key(0), 4)
    arrays = [jax.random.normal(key, shape, jnp.float32).astype(dtype) for key in keys[:3]]
    bias = jax.random.normal(keys[3], (heads, length, length)) if biased else None
    segments = jnp.asarray(np.arange(length) // TEXT) + jnp.zeros((rows, 1), jnp.int32)
    same_text = segments[:, :, None] == segments[:, None, :]

    @jax.jit
    def gradients(inputs):
        def total(inputs):
            query, key, value, bias = inputs
            attended = attention(query, key, value, same_text, bias, method=method)
            return jnp.sum(attended.astype(jnp.float32) ** 2)

        return jax.grad(total)(inputs)

    def run() -> object:
        return gradients((*arrays, bias))

    jax.block_until_ready(run())
    return run


if __name__ == "__main__":
    for row in measure():
        ratio = row.rate / row.other_rate
        print(f"{row.what} {row.rate:,.0f} against {row.against} {row.other_rate:,.0f} {row.unit}: {ratio:.2f}")
