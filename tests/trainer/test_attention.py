from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.encoders.attention import METHODS, attention
from trainer.encoders.relative import relative_buckets

ROWS, LENGTH, HEADS, WIDTH = 3, 12, 2, 8
SEGMENTS = jnp.array([[1] * 5 + [2] * 4 + [0] * 3, [3] * 12, [0] * 12])


def inputs(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 4)
    arrays = [jax.random.normal(key, (ROWS, LENGTH, HEADS, WIDTH)).astype(dtype) for key in keys[:3]]
    return *arrays, SEGMENTS[:, :, None] == SEGMENTS[:, None, :], jax.random.normal(keys[3], (HEADS, LENGTH, LENGTH))


def by_hand(query, key, value, same_text, bias):
    """Softmax over the keys of the same text alone, one query at a time."""
    out = np.zeros((ROWS, LENGTH, HEADS, WIDTH))
    query, key, value, same_text, bias = (
        np.asarray(array, np.float64) for array in (query, key, value, same_text, bias)
    )
    for row, place, head in np.ndindex(ROWS, LENGTH, HEADS):
        seen = same_text[row, place] > 0
        logits = key[row, seen, head] @ query[row, place, head] / np.sqrt(WIDTH) + bias[head, place, seen]
        weights = np.exp(logits - logits.max())
        out[row, place, head] = weights @ value[row, seen, head] / weights.sum()
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("biased", [True, False])
def test_every_method_attends_within_texts(method, biased):
    query, key, value, same_text, bias = inputs()
    found = attention(query, key, value, same_text, bias if biased else None, method=method)
    np.testing.assert_allclose(found, by_hand(query, key, value, same_text, bias * biased), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_dropout_is_applied_to_the_weights_by_every_method(method):
    query, key, value, same_text, bias = inputs()
    halved = attention(query, key, value, same_text, bias, lambda weights: weights / 2, method=method)
    np.testing.assert_allclose(halved, by_hand(query, key, value, same_text, bias) / 2, atol=1e-5)


def test_bfloat16_has_its_softmax_in_float32():
    query, key, value, same_text, bias = inputs(jnp.bfloat16)
    jaxpr = jax.make_jaxpr(lambda bias: attention(query, key, value, same_text, bias))(bias)
    exponentials = [line for line in str(jaxpr).splitlines() if " = exp " in line]
    assert exponentials and all(":f32" in line for line in exponentials)
    assert attention(query, key, value, same_text, bias).dtype == jnp.bfloat16


def test_an_unknown_method_is_refused():
    query, key, value, same_text, _ = inputs()
    with pytest.raises(ValueError, match="attention method is 'flash'; expected one of plain, library, cudnn"):
        attention(query, key, value, same_text, method="flash")  # pyright: ignore[reportArgumentType]


def test_buckets_are_single_near_and_grow_by_powers_up_to_128():
    distances = np.arange(-200, 201)
    buckets = dict(zip(distances.tolist(), relative_buckets(distances, 32).tolist(), strict=True))
    assert set(buckets.values()) == set(range(32)) - {16}  # no key is after its query and at distance 0
    for distance in range(1, 201):
        # Bucket 8 + k begins at 8 · 16^(k/8), that is where n^8 ≥ 2^(24 + 4k): whole numbers alone.
        wide = max(k for k in range(8) if distance**8 >= 2 ** (24 + 4 * k)) if distance >= 8 else 0
        expected = distance if distance < 8 else 8 + wide
        assert buckets[-distance] == expected, distance
        assert buckets[distance] == 16 + expected, distance
    assert buckets[0] == 0
