"""How gradients become updates: a schedule of rates, an optimizer of optax, clipping before and decay within.

By the time gradients come here they are those of the global batch, summed over devices.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from trainer.config import Decayed, OptimizerConfig, TrainConfig

KERNEL = "kernel"  # what a module calls the matrix it multiplies by


def learning_rate(config: TrainConfig, step: ArrayLike) -> jax.Array:
    """Rate of the update that follows `step` steps, a float32 scalar.

    With warm-up w, end T (`schedule_steps`), decay d and final part f, it is the learning rate times
    the lesser of step / w and f + (1 - f) * g, g being

    - `linear`: (T - step) / (T - w);
    - `cosine`: (1 + cos(π (step - w) / (T - w))) / 2, of Loshchilov and Hutter, "SGDR" (2017);
    - `wsd`: (T - step) / d: warm-up, a stable rate, decay, of Hu et al., "MiniCPM" (2024);
    - `constant`: 1, past T too.

    g between 0 and 1, and but for `constant` f from T on.
    """
    options = config.optimizer
    warmup, last = options.warmup_steps, config.schedule_steps
    step = jnp.asarray(step)
    rising = step / warmup if warmup else 1.0
    if options.schedule == "wsd":
        falling = (last - step) / (options.decay_steps or max(1, last // 10))
    elif options.schedule == "constant":
        falling = jnp.ones_like(step, jnp.float32)
    else:
        falling = (last - step) / max(last - warmup, 1)
    falling = jnp.clip(falling, 0.0, 1.0)
    if options.schedule == "cosine":
        falling = (1 - jnp.cos(math.pi * falling)) / 2
    if options.final_rate:
        falling = options.final_rate + (1 - options.final_rate) * falling
    return options.learning_rate * jnp.clip(jnp.minimum(rising, falling), 0.0, 1.0)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping by the global norm, the optimizer's direction, decay of what decays, the schedule's rate."""
    options = config.optimizer
    update = optax.chain(
        _direction(options),
        optax.add_decayed_weights(options.weight_decay, functools.partial(decay_mask, options.decayed)),
        *([optax.scale_by_trust_ratio()] if options.name == "lamb" else []),
        optax.scale_by_learning_rate(functools.partial(learning_rate, config)),
    )
    return update if options.clip_norm is None else optax.chain(optax.clip_by_global_norm(options.clip_norm), update)


def decay_mask(decayed: Decayed, params: Any) -> Any:
    """The tree of params with True where an array decays.

    `matrices`: arrays of two dimensions and more, which spares biases, layer norms and a learnt scale;
    `kernels`: of these the ones that are called so, which spares embedding tables too.
    """

    def decays(path: tuple[Any, ...], array: jax.Array) -> bool:
        if decayed == "kernels":
            return getattr(path[-1], "key", None) == KERNEL
        return decayed == "all" or array.ndim > 1

    return jax.tree.map_with_path(decays, params)


def _direction(options: OptimizerConfig) -> optax.GradientTransformation:
    """What is multiplied by the rate. Weight decay comes after, so it is decoupled from the gradient's size.

    `adamw`: Loshchilov and Hutter (2019); `lamb`: You et al. (2020), whose trust ratio comes after the
    decay; `lion`: Chen et al. (2023); `adafactor`: Shazeer and Stern (2018), with their defaults and
    the rate relative to each array's RMS, or to 1e-3 where that is less.
    """
    match options.name:
        case "adamw" | "lamb":
            return optax.scale_by_adam(b1=options.beta1, b2=options.beta2, eps=options.epsilon)
        case "lion":
            return optax.scale_by_lion(b1=options.beta1, b2=options.beta2)
        case "adafactor":
            return optax.chain(
                optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms()
            )
        case "sgd":
            return optax.trace(decay=options.momentum)
