"""Rates, decay and the optimizers by name."""

from __future__ import annotations

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import Optimizer, OptimizerConfig, TrainConfig
from trainer.optimizer import decay_mask, learning_rate, make_optimizer


def config(**options) -> TrainConfig:
    optimizer = OptimizerConfig(**{"learning_rate": 1.0, "warmup_steps": 10, "schedule_steps": 110, **options})
    return TrainConfig(name="t", encoder="e", mixture="m", data="d", optimizer=optimizer)


def rates(steps: list[int], **options) -> np.ndarray:
    return np.asarray(learning_rate(config(**options), jnp.asarray(steps)))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd", "constant"])
def test_every_schedule_warms_up_from_0_to_the_rate(schedule: str) -> None:
    np.testing.assert_allclose(rates([0, 5, 10], schedule=schedule), [0, 0.5, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "linear"}, [0.5, 0.1, 0, 0]),
        ({"schedule": "cosine"}, [0.5, (1 + np.cos(0.9 * np.pi)) / 2, 0, 0]),
        ({"schedule": "wsd", "decay_steps": 20}, [1, 0.5, 0, 0]),
        ({"schedule": "constant"}, [1, 1, 1, 1]),
        ({"schedule": "linear", "final_rate": 0.2}, [0.6, 0.28, 0.2, 0.2]),
    ],
)
def test_schedules_fall_as_their_formulas_say(options: dict, expected: list[float]) -> None:
    np.testing.assert_allclose(rates([60, 100, 110, 500], **options), expected, atol=1e-6)


def test_a_run_that_stops_before_its_schedule_ends_has_the_schedules_rate() -> None:
    published = OptimizerConfig(warmup_steps=500, schedule_steps=1_000_000)
    run = TrainConfig(name="t", encoder="e", mixture="m", data="d", steps=100_000, optimizer=published)
    assert float(learning_rate(run, 100_000)) == pytest.approx(2e-5 * 900_000 / 999_500)


PARAMS: Any = {"table": {"embedding": jnp.ones((4, 3))}, "layer": {"kernel": jnp.ones((3, 3)), "bias": jnp.ones(3)}}


@pytest.mark.parametrize(
    ("decayed", "expected"),
    [("matrices", {"embedding", "kernel"}), ("kernels", {"kernel"}), ("all", {"embedding", "kernel", "bias"})],
)
def test_what_decays_is_what_the_mask_names(decayed, expected: set[str]) -> None:
    found = jax.tree.leaves_with_path(decay_mask(decayed, PARAMS))
    assert {path[-1].key for path, decays in found if decays} == expected


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_every_optimizer_descends(name) -> None:
    options = {"adafactor": 0.05}.get(name, 0.02)
    optimizer = make_optimizer(config(name=name, learning_rate=options, warmup_steps=0, schedule="constant"))

    def loss(params) -> jax.Array:
        return jnp.sum(jnp.stack([jnp.sum((array - 0.5) ** 2) for array in jax.tree.leaves(params)]))

    params: Any
    params, state = PARAMS, optimizer.init(PARAMS)
    before = float(loss(params))
    for _ in range(20):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = jax.tree.map(jnp.add, params, updates)
    assert float(loss(params)) < 0.7 * before


def test_decay_without_a_gradient_takes_its_part_of_kernels_alone() -> None:
    optimizer = make_optimizer(
        config(learning_rate=0.1, warmup_steps=0, schedule="constant", weight_decay=0.5, decayed="kernels")
    )
    nothing = jax.tree.map(jnp.zeros_like, PARAMS)
    updates: Any
    updates, _ = optimizer.update(nothing, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["layer"]["kernel"], -0.05, rtol=1e-6)
    assert not updates["layer"]["bias"].any() and not updates["table"]["embedding"].any()


def test_gradients_are_clipped_to_the_global_norm_before_the_optimizer_sees_them() -> None:
    optimizer = make_optimizer(
        config(name="sgd", momentum=0.0, learning_rate=1.0, warmup_steps=0, schedule="constant", clip_norm=1.0)
    )
    gradients = jax.tree.map(lambda array: 100 * array, PARAMS)
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    assert float(sum(jnp.sum(array**2) for array in jax.tree.leaves(updates))) == pytest.approx(1.0, rel=1e-5)
