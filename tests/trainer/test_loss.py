from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.loss import Known, contrastive_loss, false_negatives
from trainer.mesh import make_mesh


def words(numbers) -> np.ndarray:
    """Each number as (low, high) words that differ in the high word alone for odd numbers."""
    numbers = np.asarray(numbers, np.uint32)
    return np.stack([numbers // 2, numbers % 2], axis=-1)


def unit_vectors(*shape: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def plain_mask(texts, clusters) -> tuple[np.ndarray, np.ndarray]:
    """The rule of docs, word by word, over lists of numbers: texts[i][slot], clusters[i] (0: none)."""
    size, slots = len(texts), len(texts[0])
    anchors, positives = [t[0] for t in texts], [t[1] for t in texts]
    forward = np.zeros((size, size * (slots - 1)), bool)
    backward = np.zeros((size, size), bool)
    for i in range(size):
        for j in range(size):
            if i != j:
                related = clusters[i] != 0 and clusters[i] == clusters[j]
                forward[i, j] = related or positives[j] in (positives[i], anchors[i]) or anchors[j] == anchors[i]
                backward[i, j] = related or anchors[j] in (anchors[i], positives[i]) or positives[j] == positives[i]
            for slot in range(2, slots):
                column = size + j * (slots - 2) + slot - 2
                forward[i, column] = texts[j][slot] in (positives[i], anchors[i])
    return forward, backward


def plain_loss(embeddings, present, forward_mask, backward_mask, scale, symmetric) -> list[float]:
    """The formula of the docstring by loops in double precision: a loss a row."""
    size, slots = present.shape
    columns = [(j, 1) for j in range(size)] + [(j, slot) for j in range(size) for slot in range(2, slots)]
    vectors = embeddings.astype(np.float64)
    losses = []
    for i in range(size):
        own = scale * vectors[i, 0] @ vectors[i, 1]
        total = 0.0
        for column, (j, slot) in enumerate(columns):
            if present[j, slot] and not forward_mask[i, column]:
                total += math.exp(scale * vectors[i, 0] @ vectors[j, slot])
        loss = math.log(total) - own
        if symmetric:
            total = sum(math.exp(scale * vectors[i, 1] @ vectors[j, 0]) for j in range(size) if not backward_mask[i, j])
            loss = (loss + math.log(total) - own) / 2
        losses.append(loss)
    return losses


def masks_of(fingerprints, clusters) -> tuple[np.ndarray, np.ndarray]:
    """Ours in the order of `plain_mask`: all positives, then hard negatives row after row; and the other direction."""
    size, slots = fingerprints.shape[:2]
    known = Known(
        jnp.ones((size, slots), bool), jnp.asarray(fingerprints), jnp.asarray(clusters), jnp.arange(size, dtype=int)
    )
    mask = np.asarray(false_negatives(known, known))
    return np.concatenate([mask[:, :, 0], mask[:, :, 1:].reshape(size, -1)], axis=1), mask[:, :, 0].T


def tables(size: int, slots: int):
    """Texts and clusters of a batch; few shapes, since JAX compiles for each."""
    row = st.lists(st.integers(1, 6), min_size=slots, max_size=slots)
    clusters = st.lists(st.integers(0, 2), min_size=size, max_size=size)
    return st.tuples(st.lists(row, min_size=size, max_size=size), clusters)


@settings(max_examples=60, deadline=None)
@given(st.one_of(tables(1, 2), tables(4, 2), tables(4, 4)))
def test_masks_are_those_of_the_plain_rule(drawn):
    texts, clusters = drawn
    documents, anchors = masks_of(words(texts), words(clusters))
    forward, backward = plain_mask(texts, clusters)
    np.testing.assert_array_equal(documents, forward)
    np.testing.assert_array_equal(anchors, backward)


DIFFERENT = [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("texts", "clusters", "documents", "anchors"),
    [
        pytest.param(DIFFERENT, [0, 0], [], [], id="different texts"),
        pytest.param([[1, 2, 3], [4, 2, 6]], [0, 0], [(0, 1), (1, 0)], [(0, 1), (1, 0)], id="one positive"),
        pytest.param([[1, 2, 3], [1, 5, 6]], [0, 0], [(0, 1), (1, 0)], [(0, 1), (1, 0)], id="one anchor"),
        pytest.param([[1, 2, 3], [4, 1, 6]], [0, 0], [(0, 1)], [(1, 0)], id="a positive is an anchor"),
        pytest.param(DIFFERENT, [7, 7], [(0, 1), (1, 0)], [(0, 1), (1, 0)], id="one cluster"),
        pytest.param(DIFFERENT, [7, 8], [], [], id="two clusters"),
        pytest.param([[1, 2, 3], [4, 5, 2]], [0, 0], [(0, 3)], [], id="a hard negative is a positive"),
        pytest.param([[1, 2, 3], [4, 5, 1]], [0, 0], [(0, 3)], [], id="a hard negative is an anchor"),
        pytest.param([[1, 2, 2], [4, 5, 6]], [0, 0], [(0, 2)], [], id="own hard negative is own positive"),
        pytest.param([[1, 1, 3], [4, 5, 6]], [0, 0], [], [], id="own positive is own anchor"),
    ],
)
def test_exactly_the_known_false_negatives_are_masked(texts, clusters, documents, anchors):
    forward, backward = masks_of(words(texts), words(clusters))
    assert list(zip(*np.nonzero(forward), strict=True)) == documents
    assert list(zip(*np.nonzero(backward), strict=True)) == anchors


def test_texts_whose_fingerprints_share_one_word_are_not_the_same():
    texts = np.array([[[1, 1], [2, 2]], [[3, 3], [2, 9]], [[4, 4], [8, 2]]], np.uint32)
    documents, anchors = masks_of(texts, np.zeros((3, 2), np.uint32))
    assert not documents.any() and not anchors.any()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("mask", [True, False])
def test_the_loss_is_that_of_the_plain_loop(symmetric, mask):
    embeddings = unit_vectors(6, 4, 8)
    present = np.random.default_rng(1).random((6, 4)) < 0.6
    present[:, :2] = True
    embeddings[~present] = 0
    texts = np.random.default_rng(2).integers(1, 12, (6, 4)).tolist()
    clusters = [0, 3, 0, 3, 4, 0]
    forward, backward = plain_mask(texts, clusters)
    assert forward[:, :6].any() and forward[:, 6:].any() and backward.any(), "the case must exercise the masks"
    if not mask:
        forward, backward = np.zeros_like(forward), np.zeros_like(backward)
    expected = plain_loss(embeddings, present, forward, backward, 20.0, symmetric)
    loss, metrics = contrastive_loss(
        jnp.asarray(embeddings),
        jnp.asarray(present),
        jnp.asarray(words(texts)),
        jnp.asarray(words(clusters)),
        scale=20.0,
        symmetric=symmetric,
        mask_false_negatives=mask,
    )
    np.testing.assert_allclose(metrics["row_loss"], expected, rtol=1e-5, atol=1e-5)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)
    assert loss.dtype == jnp.float32


def loss_of(embeddings, texts, present=None, clusters=None, **options):
    size, slots = embeddings.shape[:2]
    return contrastive_loss(
        jnp.asarray(embeddings, jnp.float32),
        jnp.ones((size, slots), bool) if present is None else jnp.asarray(present),
        jnp.asarray(words(texts)),
        jnp.asarray(words([0] * size if clusters is None else clusters)),
        **options,
    )


def test_orthogonal_rows_have_the_loss_known_in_closed_form():
    embeddings = np.repeat(np.eye(4)[:, None], 2, axis=1)
    loss, metrics = loss_of(embeddings, np.arange(1, 9).reshape(4, 2), scale=2.0)
    assert float(loss) == pytest.approx(math.log(math.exp(2) + 3) - 2, rel=1e-6)
    assert float(metrics["accuracy"]) == 1
    assert float(metrics["positive_cosine"]) == 1
    assert float(metrics["negative_cosine"]) == 0
    assert int(metrics["masked_false_negatives"]) == 0


def test_collapsed_embeddings_have_the_loss_of_chance_and_find_nothing():
    embeddings = np.ones((4, 2, 1))
    loss, metrics = loss_of(embeddings, np.arange(1, 9).reshape(4, 2))
    assert float(loss) == pytest.approx(math.log(4), rel=1e-6)
    assert float(metrics["accuracy"]) == 0


def test_metrics_count_what_the_forward_direction_sees():
    # Rows 0 and 1 have one positive: each ignores the other's, and the two of row 2 stay.
    embeddings = np.array([[[1, 0], [1, 0]], [[1, 0], [1, 0]], [[0, 1], [0.6, 0.8]]])
    _, metrics = loss_of(embeddings, [[1, 9], [2, 9], [3, 4]])
    assert int(metrics["masked_false_negatives"]) == 2
    assert float(metrics["negative_cosine"]) == pytest.approx((0.6 + 0.6 + 0 + 0) / 4)
    assert float(metrics["positive_cosine"]) == pytest.approx((1 + 1 + 0.8) / 3)
    assert metrics["row_accuracy"].tolist() == [1, 1, 1]


def test_an_ignored_document_gets_no_gradient_from_the_row_that_ignores_it():
    embeddings = unit_vectors(3, 2, 5)

    def row_zero(x, texts):
        return loss_of(x, texts, symmetric=False)[1]["row_loss"][0]

    ignored = jax.grad(row_zero)(embeddings, [[1, 9], [2, 9], [3, 4]])
    seen = jax.grad(row_zero)(embeddings, [[1, 9], [2, 8], [3, 4]])
    assert (np.asarray(ignored[1, 1]) == 0).all()
    assert (np.asarray(seen[1, 1]) != 0).all()


def test_absent_hard_negatives_change_nothing():
    embeddings = unit_vectors(4, 3, 5)
    texts = np.arange(1, 13).reshape(4, 3)
    present = np.ones((4, 3), bool)
    present[:, 2] = False
    with_slot, _ = loss_of(embeddings, texts, present)
    without_slot, _ = loss_of(embeddings[:, :2], texts[:, :2])
    assert float(with_slot) == pytest.approx(float(without_slot), rel=1e-6)


def test_a_row_without_a_positive_has_no_loss_and_is_no_document():
    embeddings = unit_vectors(4, 2, 5)
    texts = np.arange(1, 9).reshape(4, 2)
    present = np.ones((4, 2), bool)
    present[3] = False
    embeddings[3] = 0
    whole, metrics = loss_of(embeddings, texts, present)
    three, _ = loss_of(embeddings[:3], texts[:3])
    assert float(whole) == pytest.approx(float(three), rel=1e-6)
    assert float(metrics["row_loss"][3]) == 0


def test_gradients_are_those_of_finite_differences():
    embeddings = unit_vectors(3, 3, 4).astype(np.float64)
    texts, clusters = [[1, 2, 3], [4, 2, 6], [7, 8, 9]], [0, 0, 0]
    forward, backward = plain_mask(texts, clusters)
    present = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1]], bool)

    def plain(x) -> float:
        return float(np.mean(plain_loss(x, present, forward, backward, 5.0, True)))

    gradient = jax.grad(lambda x: loss_of(x, texts, present, clusters, scale=5.0)[0])(
        jnp.asarray(embeddings, jnp.float32)
    )
    for index in [(0, 0, 1), (0, 1, 2), (1, 1, 0), (2, 2, 3), (0, 2, 0), (1, 2, 1)]:
        step = np.zeros_like(embeddings)
        step[index] = 1e-5
        slope = (plain(embeddings + step) - plain(embeddings - step)) / 2e-5
        assert float(gradient[index]) == pytest.approx(slope, abs=1e-4)


def case(size: int, slots: int, width: int = 8, seed: int = 0) -> dict:
    """A batch in which every kind of mask is at work, as arguments of `contrastive_loss`."""
    rng = np.random.default_rng(seed)
    present = rng.random((size, slots)) < 0.6
    present[:, :2] = True
    present[size // 2, 0] = False
    return {
        "embeddings": jnp.asarray(unit_vectors(size, slots, width, seed=seed) * present[:, :, None]),
        "present": jnp.asarray(present),
        "fingerprints": jnp.asarray(words(rng.integers(1, 2 * size, (size, slots)))),
        "clusters": jnp.asarray(words(rng.integers(0, size, size))),
    }


def loss_and_gradients(case: dict, scale: float = 20.0, **options):
    """((loss, metrics), gradients with respect to embeddings and scale)."""

    def loss_at(embeddings, scale):
        return contrastive_loss(**{**case, "embeddings": embeddings}, scale=scale, **options)

    return jax.jit(jax.value_and_grad(loss_at, argnums=(0, 1), has_aux=True))(case["embeddings"], scale)


MATRYOSHKA = ((8, 1.0), (4, 0.5))


@pytest.mark.parametrize(
    ("negatives", "symmetric", "similarity", "dimensions"),
    [
        (0, True, "cosine", ()),
        (1, False, "cosine", MATRYOSHKA),
        (1, True, "dot", MATRYOSHKA),
        (3, True, "cosine", MATRYOSHKA),
        (3, False, "dot", ()),
    ],
)
def test_neither_devices_nor_blocks_change_the_loss_or_its_gradients(negatives, symmetric, similarity, dimensions):
    given = case(16, 2 + negatives)
    options = {"symmetric": symmetric, "similarity": similarity, "dimensions": dimensions}
    (loss, metrics), gradients = loss_and_gradients(given, **options)
    assert float(metrics["masked_false_negatives"]) > 0
    for devices, block_rows in ((8, 16), (2, 4)):
        spread = {"mesh": make_mesh(jax.devices()[:devices]), "block_rows": block_rows}
        (other_loss, other_metrics), other_gradients = loss_and_gradients(given, **options, **spread)
        assert float(other_loss) == pytest.approx(float(loss), rel=1e-6)
        assert other_metrics.keys() == metrics.keys()
        for name, value in metrics.items():
            np.testing.assert_allclose(other_metrics[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
        for ours, theirs in zip(other_gradients, gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * float(jnp.abs(theirs).max()))


def test_no_device_holds_the_whole_matrix_of_logits():
    size = 2048
    given = case(size, 2)
    without = {name: value for name, value in given.items() if name != "embeddings"}
    compiled = {}
    for name, devices, block_rows in (("whole", 1, size), ("blocks", 1, 64), ("devices", 8, size)):
        mesh = make_mesh(jax.devices()[:devices])
        loss_of = functools.partial(contrastive_loss, **without, mesh=mesh, block_rows=block_rows)
        memory = jax.jit(jax.grad(loss_of, has_aux=True)).lower(given["embeddings"]).compile().memory_analysis()
        assert memory is not None
        compiled[name] = memory.temp_size_in_bytes
    matrix = 4 * size * size
    assert compiled["whole"] > matrix
    assert compiled["blocks"] < min(matrix, compiled["whole"] / 4)
    assert compiled["devices"] < compiled["whole"] / 4


def test_large_dot_products_do_not_overflow():
    given = case(8, 3)
    given["embeddings"] = 30 * given["embeddings"]
    (loss, _), gradients = loss_and_gradients(given, similarity="dot")
    assert np.isfinite(float(loss)) and all(np.isfinite(gradient).all() for gradient in gradients)


def test_dot_products_of_unit_vectors_are_cosines():
    given = case(8, 3)
    cosine, metrics = contrastive_loss(**given)
    dot, others = contrastive_loss(**given, similarity="dot")
    assert float(dot) == float(cosine)
    assert float(others["negative_dot"]) == float(metrics["negative_cosine"])


def test_a_matryoshka_loss_is_the_weighted_sum_of_the_losses_of_truncated_unit_vectors():
    given = case(8, 3)

    def truncated(width: int) -> float:
        cut = given["embeddings"][..., :width]
        norm = jnp.linalg.norm(cut, axis=-1, keepdims=True)
        return float(contrastive_loss(**{**given, "embeddings": cut / jnp.maximum(norm, 1e-9)})[0])

    loss, metrics = contrastive_loss(**given, dimensions=((3, 0.5), (8, 2.0)))
    assert float(loss) == pytest.approx(0.5 * truncated(3) + 2 * truncated(8), rel=1e-5)
    assert float(metrics["accuracy"]) == float(contrastive_loss(**given)[1]["accuracy"])


def test_matryoshka_dimensions_must_hold_the_whole_vector():
    with pytest.raises(ValueError, match=r"dimensions are \(2, 4\); expected the greatest to be the encoder's 8"):
        contrastive_loss(**case(4, 2), dimensions=((4, 1.0), (2, 1.0)))


def test_the_gradient_of_the_scale_is_that_of_finite_differences():
    given = case(8, 3)
    _, (_, gradient) = loss_and_gradients(given, scale=3.0)
    ends = [float(contrastive_loss(**given, scale=scale)[0]) for scale in (3.01, 2.99)]
    assert float(gradient) == pytest.approx((ends[0] - ends[1]) / 0.02, rel=1e-3)
