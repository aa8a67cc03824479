from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from batches import make_batch, random_pairs, tiny_encoder

from trainer.config import LossConfig, OptimizerConfig, PackConfig, TrainConfig
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
compiled_embed = jax.jit(embed, static_argnames=("graphdef", "pooling", "mesh", "micro_packs"))
compiled_loss = jax.jit(batch_loss, static_argnames=("graphdef", "config", "pooling"))


@functools.cache
def compiled_step(graphdef, options: TrainConfig, mesh=None):
    return jit_train_step(graphdef, make_optimizer(options), options, mesh=mesh)


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


def steps(state, batch, count, graphdef, options, mesh=None):
    step = compiled_step(graphdef, options, mesh)
    history = []
    for _ in range(count):
        state, metrics = step(state, batch)
        history.append(metrics)
    return state, history


def test_five_steps_on_eight_devices_end_where_five_on_one_do():
    mesh = make_mesh()
    graphdef, state = init_state(tiny(dropout=0.3), config())
    spread, spread_history = steps(
        replicate(state, mesh), shard_batch(eight_packs(), mesh), 5, graphdef, config(), mesh
    )
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
        compiled_loss((state.params, None), batch, jax.random.fold_in(root, step), graphdef=graphdef, config=config())[
            0
        ]
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
    batch = make_batch(pairs, rows=12, tokens=16)
    _, metrics = compiled_loss((state.params, None), batch, None, graphdef=graphdef, config=config())
    assert int(metrics["masked_false_negatives"]) == 2
    assert metrics["row_loss"].shape == metrics["row_accuracy"].shape == (4,)


def learnt(**fields) -> TrainConfig:
    return config(loss=LossConfig(scale=5.0, learn_scale=True, **fields))


def test_a_learnt_scale_starts_at_the_configs_and_is_trained_without_decay():
    options = dataclasses.replace(learnt(), optimizer=OptimizerConfig(learning_rate=0.1, warmup_steps=0))
    graphdef, state = init_state(tiny(dropout=0.0), options)
    state, history = steps(state, eight_packs(), 2, graphdef, options)
    assert float(history[0]["scale"]) == pytest.approx(5)
    assert abs(float(history[1]["scale"]) - 5) > 0.1
    assert state.log_scale is not None and float(jnp.exp(state.log_scale)) != float(history[1]["scale"])
    optimizer = make_optimizer(config(optimizer=OptimizerConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0.5)))
    trained: Any = ({"kernel": jnp.ones((2, 2))}, jnp.ones(()))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, trained), optimizer.init(trained), trained)
    decay, scale_decay = jax.tree.leaves(updates)
    assert float(jnp.abs(decay).min()) > 0 and float(scale_decay) == 0


@pytest.mark.parametrize("bound", [{"min_scale": 4.99}, {"max_scale": 5.01}])
def test_a_learnt_scale_stays_within_its_bounds_and_can_come_back(bound):
    options = dataclasses.replace(learnt(**bound), optimizer=OptimizerConfig(learning_rate=0.1, warmup_steps=0))
    graphdef, state = init_state(tiny(dropout=0.0), options)
    state, history = steps(state, eight_packs(), 3, graphdef, options)
    low, high = options.loss.min_scale, options.loss.max_scale
    assert all(low * 0.9999 <= float(metrics["scale"]) <= high * 1.0001 for metrics in history)
    gradients = jax.grad(
        lambda trained: batch_loss(trained, eight_packs(), None, graphdef=graphdef, config=options)[0]
    )((state.params, jnp.log(jnp.float32(high))))
    assert float(gradients[1]) != 0


def test_a_run_without_a_learnt_scale_has_none():
    _, state = init_state(tiny(), config())
    assert state.log_scale is None


def test_vectors_for_dot_products_keep_their_length():
    graphdef, state = init_state(tiny(dropout=0.0), config())
    vectors, present = embed(graphdef, state.params, eight_packs(), unit_length=False)
    lengths = np.linalg.norm(vectors, axis=-1)[present]
    assert lengths.std() > 1e-3
    units, _ = embed(graphdef, state.params, eight_packs())
    np.testing.assert_allclose(np.asarray(vectors)[present] / lengths[:, None], np.asarray(units)[present], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_optimizer_and_loss_are_float32_whatever_the_activations_are(dtype):
    options = learnt(dimensions=(16, 8))
    graphdef, state = init_state(tiny(dropout=0.1, dtype=dtype), options)
    state, history = steps(state, eight_packs(), 1, graphdef, options)
    kinds = {leaf.dtype for leaf in jax.tree.leaves((state.params, state.log_scale, history[0]))}
    assert kinds == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(state.opt_state)} <= {jnp.dtype("float32"), jnp.dtype("int32")}


def test_a_state_is_donated():
    graphdef, state = init_state(tiny(), config())
    before = jax.tree.leaves(state.params)
    steps(state, eight_packs(), 1, graphdef, config())
    assert all(leaf.is_deleted() for leaf in before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0.0}, "loss.scale is 0.0; expected more than 0"),
        ({"similarity": "euclid"}, "loss.similarity is 'euclid'; expected cosine or dot"),
        ({"learn_scale": True, "max_scale": 10.0}, "loss.scale is 20.0; expected a number from"),
        ({"dimensions": (8, 8)}, "expected different numbers"),
        ({"dimensions": (8,), "dimension_weights": (1.0, 2.0)}, "has 2 numbers; expected one for each of the 1"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_in_one_line(fields, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**fields)


def test_a_config_of_a_loss_survives_json():
    options = learnt(similarity="dot", dimensions=(16, 8), dimension_weights=(1.0, 0.5))
    assert TrainConfig.from_json(json.loads(json.dumps(options.to_json()))) == options
