import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.encoders.dropout import Dropout

KEYS = jax.random.split(jax.random.key(0))


def one_text_a_row(key, rows: int, tokens: int) -> Dropout:
    segments = jnp.broadcast_to(jnp.arange(1, rows + 1)[:, None], (rows, tokens))
    return Dropout.of(key, segments, jnp.broadcast_to(jnp.arange(tokens), (rows, tokens)))


def dropped_hidden(key, shape=(20, 20, 500), rate=0.5):
    return np.asarray(one_text_a_row(key, *shape[:2]).hidden(jnp.ones(shape), rate))


def dropped_weights(key, shape=(40, 6, 30, 30), rate=0.5):
    return np.asarray(one_text_a_row(key, shape[0], shape[2]).weights(jnp.ones(shape), rate))


@pytest.mark.parametrize(
    ("drop", "shape"),
    [
        (dropped_hidden, (10, 10, 1000)),
        (dropped_hidden, (10, 10, 1001)),
        (dropped_weights, (20, 12, 20, 20)),
        (dropped_weights, (20, 11, 20, 20)),
    ],
)
def test_the_stated_share_is_zero_and_the_mean_is_kept(drop, shape):
    dropped = drop(KEYS[0], shape, 0.1)
    assert dropped.shape == shape
    assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.005)
    assert dropped.mean() == pytest.approx(1, abs=0.005)
    assert dropped.max() == pytest.approx(1 / 0.9, rel=1e-4)
    np.testing.assert_array_equal(drop(KEYS[0], shape, 0.0), np.ones(shape))


@pytest.mark.parametrize("drop", [dropped_hidden, dropped_weights])
def test_each_element_is_decided_on_its_own(drop):
    # Some 200,000 decisions of probability 1/2; the share of equal ones has a standard deviation of about 0.0011.
    first, other = (drop(key) == 0 for key in KEYS)
    assert (first == other).mean() == pytest.approx(0.5, abs=0.007)
    for axis in range(first.ndim):
        for distance in (1, 2, first.shape[axis] // 2):
            left, right = (np.take(first, range(*part), axis) for part in _apart(first.shape[axis], distance))
            assert (left == right).mean() == pytest.approx(0.5, abs=0.01), (axis, distance)
            shifted = np.take(other, range(distance, first.shape[axis]), axis)
            assert (left == shifted).mean() == pytest.approx(0.5, abs=0.01), (axis, distance)


def _apart(length: int, distance: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, length - distance), (distance, length)


def test_small_arrays_under_neighbouring_keys_are_even():
    # The share of 20,000 decisions, 8 a key, and of each of the 8 places.
    keys = jax.random.split(jax.random.key(1), 2500)
    dropped = np.asarray(jax.vmap(lambda key: one_text_a_row(key, 1, 2).hidden(jnp.ones((1, 2, 4)), 0.1))(keys)) == 0
    assert dropped.mean() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(dropped.mean(axis=0), 0.1, atol=0.03)


def test_a_text_is_dropped_out_alike_wherever_it_lies():
    """Text 7 has three tokens: alone in a row, and after another text in a longer one."""
    alone = Dropout.of(KEYS[0], jnp.array([[7, 7, 7, 0]]), jnp.array([[0, 1, 2, 0]]))
    packed = Dropout.of(KEYS[0], jnp.array([[9, 9, 7, 7, 7, 0]]), jnp.array([[0, 1, 0, 1, 2, 0]]))
    ours, theirs = alone.hidden(jnp.ones((1, 4, 64)), 0.5), packed.hidden(jnp.ones((1, 6, 64)), 0.5)
    np.testing.assert_array_equal(ours[:, :3], theirs[:, 2:5])
    assert (np.asarray(theirs[:, :2]) != np.asarray(theirs[:, 2:4])).any()
    ours, theirs = alone.weights(jnp.ones((1, 12, 4, 4)), 0.5), packed.weights(jnp.ones((1, 12, 6, 6)), 0.5)
    np.testing.assert_array_equal(ours[:, :, :3, :3], theirs[:, :, 2:5, 2:5])
    assert (np.asarray(theirs[:, :, 2]) != np.asarray(theirs[:, :, 3])).any()
