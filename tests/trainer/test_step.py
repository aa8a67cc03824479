from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from batches import make_batch, random_pairs, tiny_encoder
from jax.sharding import AxisType

from trainer.config import OptimizerConfig, PackConfig, TrainConfig
from trainer.mesh import make_mesh, replicate, shard_batch
from trainer.step import (
    batch_loss,
    embed,
    init_state,
    jit_train_step,
    learning_rate,
    make_optimizer,
)

PAIRS = random_pairs(32, slots=3)

tiny = functools.partial(tiny_encoder, layers=1)
compiled_embed = jax.jit(embed, static_argnames=("graphdef", "pooling"))
compiled_loss = jax.jit(batch_loss, static_argnames=("graphdef", "config", "pooling"))


@functools.cache
def compiled_step(graphdef, options: TrainConfig):
    return jit_train_step(graphdef, make_optimizer(options), options)


def config(**fields) -> TrainConfig:
    optimizer = OptimizerConfig(learning_rate=1e-2, warmup_steps=2)
    base = TrainConfig(
        name="t",
        encoder="",
        mixture="",
        data="",
        batch_size=32,
        steps=100,
        pack=PackConfig(pairs=4),
        optimizer=optimizer,
    )
    return dataclasses.replace(base, **fields)


def eight_packs(packed: bool = True):
    return make_batch(PAIRS, packs=8, rows=12, tokens=16, packed=packed)


def steps(state, batch, count, graphdef, options):
    step = compiled_step(graphdef, options)
    history = []
    for _ in range(count):
        state, metrics = step(state, batch)
        history.append(metrics)
    return state, history


def test_eight_devices_give_the_loss_and_gradients_of_one_with_dropout_on():
    assert len(jax.devices()) == 8, "tests/trainer/conftest.py was loaded after JAX had started"
    graphdef, state = init_state(tiny(dropout=0.3), config())
    loss_of = functools.partial(batch_loss, graphdef=graphdef, config=config())
    compiled = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    results = []
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = make_mesh(devices)
        batch = shard_batch(eight_packs(), mesh)
        assert all(len(leaf.sharding.device_set) == len(devices) for leaf in jax.tree.leaves(batch))
        results.append(compiled(replicate(state.params, mesh), batch, jax.random.key(3)))
    ((one, one_metrics), one_gradients), ((eight, eight_metrics), eight_gradients) = results
    np.testing.assert_allclose(one, eight, rtol=1e-6)
    np.testing.assert_allclose(one_metrics["row_loss"], eight_metrics["row_loss"], rtol=1e-5, atol=1e-6)
    leaves = zip(jax.tree.leaves(one_gradients), jax.tree.leaves(eight_gradients), strict=True)
    for left, right in leaves:
        left, right = np.asarray(left), np.asarray(right)
        assert np.abs(left - right).max() <= 3e-6 * max(np.abs(left).max(), 1)


def test_five_steps_on_eight_devices_end_where_five_on_one_do():
    mesh = make_mesh()
    graphdef, state = init_state(tiny(dropout=0.3), config())
    spread, spread_history = steps(replicate(state, mesh), shard_batch(eight_packs(), mesh), 5, graphdef, config())
    state, history = steps(state, eight_packs(), 5, graphdef, config())
    assert int(spread.step) == int(state.step) == 5
    for left, right in zip(spread_history, history, strict=True):
        np.testing.assert_allclose(left["loss"], right["loss"], rtol=1e-4)


def test_packed_texts_have_the_embeddings_of_padded_ones():
    graphdef, state = init_state(tiny(), config())
    packed, packed_present = compiled_embed(graphdef, state.params, eight_packs(packed=True))
    padded, padded_present = compiled_embed(graphdef, state.params, eight_packs(packed=False))
    np.testing.assert_array_equal(packed_present, [[bool(text) for text in pair] for pair in PAIRS])
    np.testing.assert_array_equal(packed_present, padded_present)
    np.testing.assert_allclose(packed, padded, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(packed, axis=-1), packed_present, atol=1e-6)


def test_embeddings_come_in_the_order_of_pairs():
    graphdef, state = init_state(tiny(), config())
    whole, _ = compiled_embed(graphdef, state.params, eight_packs())
    for index in (0, 5, 31):
        alone, _ = compiled_embed(graphdef, state.params, make_batch([PAIRS[index]], rows=3, tokens=16))
        np.testing.assert_allclose(whole[index], alone[0], atol=1e-5)


def test_dropout_differs_between_packs_and_between_steps():
    graphdef, state = init_state(tiny(dropout=0.3), config())
    twins = make_batch(PAIRS[:4] * 2, packs=2, rows=12, tokens=16)
    draw = functools.partial(compiled_embed, graphdef, state.params, twins, "mean")
    root = jax.random.key(0)
    first, again, later = (np.asarray(draw(jax.random.fold_in(root, step))[0]) for step in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first[:4], first[4:], atol=1e-3)
    assert not np.allclose(first, later, atol=1e-3)
    still = np.asarray(draw(None)[0])
    np.testing.assert_allclose(still[:4], still[4:], atol=1e-6)


def test_a_packs_dropout_does_not_depend_on_the_other_packs():
    graphdef, state = init_state(tiny(dropout=0.3), config())
    key = jax.random.key(0)
    both, _ = compiled_embed(graphdef, state.params, make_batch(PAIRS[:8], packs=2, rows=12, tokens=16), "mean", key)
    alone, _ = compiled_embed(graphdef, state.params, make_batch(PAIRS[:4], packs=1, rows=12, tokens=16), "mean", key)
    np.testing.assert_allclose(both[:4], alone, atol=1e-6)


def test_a_step_uses_the_key_of_its_own_number():
    graphdef, state = init_state(tiny(dropout=0.3), config())
    batch = eight_packs()
    root = jax.random.key(config().seed)
    expected = [
        compiled_loss(state.params, batch, jax.random.fold_in(root, step), graphdef=graphdef, config=config())[0]
        for step in range(2)  # the rate of step 0 is 0: both see the same parameters
    ]
    _, history = steps(state, batch, 2, graphdef, config())
    np.testing.assert_allclose([metrics["loss"] for metrics in history], expected, rtol=1e-5)
    assert abs(expected[0] - expected[1]) > 1e-3


def test_the_seed_changes_dropout():
    losses = []
    for seed in (0, 1):
        graphdef, state = init_state(tiny(dropout=0.3), config(seed=seed))
        losses.append(float(steps(state, eight_packs(), 1, graphdef, config())[1][0]["loss"]))
    assert losses[0] != losses[1]


def test_equal_arguments_give_an_equal_state():
    ends = []
    for _ in range(2):
        graphdef, state = init_state(tiny(dropout=0.3), config())
        ends.append(steps(state, eight_packs(), 2, graphdef, config())[0])
    left, right = map(jax.tree.leaves, ends)
    assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_on_one_batch_lowers_its_loss(dtype):
    graphdef, state = init_state(tiny(dropout=0.0, dtype=dtype), config())
    _, history = steps(state, eight_packs(), 30, graphdef, config())
    first, last = history[0], history[-1]
    assert last["loss"] < 0.5 * first["loss"]
    assert last["accuracy"] > first["accuracy"]
    assert last["positive_cosine"] - last["negative_cosine"] > first["positive_cosine"] - first["negative_cosine"]
    assert first["loss"].dtype == jnp.float32


def test_a_step_leaves_the_encoder_in_use():
    encoder = tiny(dropout=0.0)
    graphdef, state = init_state(encoder, config())
    steps(state, eight_packs(), 1, graphdef, config())
    assert np.isfinite(np.asarray(encoder.embeddings.word.embedding[...])).all()


def test_the_rate_rises_from_zero_and_falls_to_zero():
    options = config(optimizer=OptimizerConfig(learning_rate=1.0, warmup_steps=10, schedule_steps=30))
    rates = [float(learning_rate(options, step)) for step in (0, 5, 10, 20, 30, 40)]
    np.testing.assert_allclose(rates, [0, 0.5, 1, 0.5, 0, 0], atol=1e-6)


def test_without_warm_up_the_first_step_has_the_full_rate():
    options = config(optimizer=OptimizerConfig(learning_rate=0.5, warmup_steps=0))
    assert float(learning_rate(options, 0)) == 0.5
    assert float(learning_rate(options, 50)) == 0.25


def test_the_logged_rate_is_the_one_of_the_update():
    graphdef, state = init_state(tiny(dropout=0.0), config())
    before = jax.tree.map(np.asarray, state.params)
    state, history = steps(state, eight_packs(), 1, graphdef, config())
    assert float(history[0]["learning_rate"]) == 0
    jax.tree.map(np.testing.assert_array_equal, before, state.params)


def test_the_gradient_norm_is_that_before_clipping():
    graphdef, state = init_state(tiny(dropout=0.0), config())
    _, history = steps(state, eight_packs(), 1, graphdef, config())
    assert float(history[0]["gradient_norm"]) > 1.5 * (config().optimizer.clip_norm or 0)


def first_update(options: OptimizerConfig, gradients: dict, params: dict) -> tuple[Any, Any]:
    optimizer = make_optimizer(config(optimizer=options))
    return optimizer.update(gradients, optimizer.init(params), params)


def test_clipping_bounds_the_gradient_the_optimizer_sees():
    options = OptimizerConfig(learning_rate=1.0, warmup_steps=0, clip_norm=1e-3)
    _, state = first_update(options, {"kernel": jnp.full((3, 3), 5.0)}, {"kernel": jnp.zeros((3, 3))})
    mean = optax.tree.get(state, "mu")["kernel"]  # (1 - beta1) of the gradient
    assert float(jnp.linalg.norm(mean)) == pytest.approx(0.1 * 1e-3, rel=1e-4)


def test_weight_decay_spares_biases_and_layer_norms():
    options = OptimizerConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0.5)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    updates, _ = first_update(options, jax.tree.map(jnp.zeros_like, params), params)
    np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-5)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_known_false_negatives_are_counted():
    pairs = [*PAIRS[:3], [PAIRS[3][0], PAIRS[0][1], []]]  # rows 0 and 3 have one positive
    graphdef, state = init_state(tiny(), config())
    _, metrics = compiled_loss(
        state.params, make_batch(pairs, rows=12, tokens=16), None, graphdef=graphdef, config=config()
    )
    assert int(metrics["masked_false_negatives"]) == 2
    assert metrics["row_loss"].shape == metrics["row_accuracy"].shape == (4,)


def test_the_mesh_has_one_axis_whose_type_is_auto():
    mesh = make_mesh()
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)
    assert mesh.devices.size == 8


def test_a_replica_outlives_its_original():
    original = jnp.arange(3)
    replica = replicate({"x": original}, make_mesh())["x"]
    original.delete()
    assert replica.tolist() == [0, 1, 2] and len(replica.sharding.device_set) == 8


def test_packs_that_do_not_divide_are_refused_with_the_nearest_that_do():
    batch = make_batch(PAIRS[:24], packs=12, rows=6, tokens=16)
    with pytest.raises(ValueError, match=r"batch_size 24 is 12 packs of 2 pairs.* 8 devices.*: 16 or 32$"):
        shard_batch(batch, make_mesh())
    with pytest.raises(ValueError, match=r"that divide: 16$"):
        shard_batch(make_batch(PAIRS[:6], packs=3, rows=6, tokens=16), make_mesh())
