from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.pooling import normalize, pool, present_texts

# Row 0: text 1 (two tokens), text 3 (one), padding; row 1: text 4 (three tokens). Text 2 is absent.
SEGMENTS = jnp.array([[1, 1, 3, 0], [4, 4, 4, 0]])
POSITIONS = jnp.array([[0, 1, 0, 0], [0, 1, 2, 0]])
HIDDEN = jnp.arange(16, dtype=jnp.float32).reshape(2, 4, 2) ** 1.5


def test_the_mean_is_over_the_texts_own_tokens():
    pooled = pool(HIDDEN, SEGMENTS, POSITIONS, 5, "mean")
    expected = [HIDDEN[0, :2].mean(0), np.zeros(2), HIDDEN[0, 2], HIDDEN[1, :3].mean(0), np.zeros(2)]
    np.testing.assert_allclose(pooled, np.array(expected), rtol=1e-6)


def test_cls_takes_the_first_token_of_each_text():
    pooled = pool(HIDDEN, SEGMENTS, POSITIONS, 5, "cls")
    expected = [HIDDEN[0, 0], np.zeros(2), HIDDEN[0, 2], HIDDEN[1, 0], np.zeros(2)]
    np.testing.assert_array_equal(pooled, np.array(expected))


def test_present_texts_are_those_with_tokens():
    assert present_texts(SEGMENTS, 5).tolist() == [True, False, True, True, False]


def test_bfloat16_hidden_states_are_summed_in_float32():
    hidden = jnp.ones((1, 4096, 1), jnp.bfloat16) * 3  # bfloat16 sums of ones stop at 256
    segments = jnp.ones((1, 4096), jnp.int32)
    pooled = pool(hidden, segments, segments - 1, 1, "mean")
    assert pooled.dtype == jnp.float32
    assert pooled.tolist() == [[3.0]]


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="pooling mode is 'max'; expected 'mean' or 'cls'"):
        pool(HIDDEN, SEGMENTS, POSITIONS, 5, "max")  # pyright: ignore[reportArgumentType]


def test_normalize_gives_unit_length_and_leaves_zero_alone():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-12, 0.0]])
    np.testing.assert_allclose(normalize(x), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)


def test_absent_texts_send_no_gradient_and_no_nan():
    def total(hidden):
        return jnp.sum(normalize(pool(hidden, SEGMENTS, POSITIONS, 5)) * jnp.array([1.0, -2.0]))

    gradient = np.asarray(jax.grad(total)(HIDDEN.at[0, 2].set(0)))
    assert np.isfinite(gradient).all()
    assert (gradient[:, 3] == 0).all() and (gradient[0, 2] == 0).all()
    assert (gradient[1, :3] != 0).all()


def test_the_gradient_of_normalize_is_that_of_division_by_the_norm():
    x, direction = jnp.array([0.5, -2.0, 1.0]), jnp.array([1.0, 2.0, 3.0])
    ours = jax.grad(lambda v: normalize(v) @ direction)(x)
    plain = jax.grad(lambda v: v @ direction / jnp.linalg.norm(v))(x)
    np.testing.assert_allclose(ours, plain, rtol=1e-5)
