"""One step of training: a state and a batch in, a state and what to log out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import ArrayLike

from schemas.batch import Batch
from trainer.config import TrainConfig
from trainer.encoders.bert import BertEncoder
from trainer.loss import contrastive_loss
from trainer.pooling import Pooling, normalize, pool, present_texts

KEY_IMPLEMENTATION = "threefry2x32"  # named, so that no global setting of JAX changes a run

Params = dict[str, Any]
Metrics = dict[str, jax.Array]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "opt_state", "step", "root_key"],
    meta_fields=[],
)
@dataclass
class TrainState:
    """All that changes in a run, as plain arrays: what a checkpoint holds."""

    params: Params
    """The encoder's arrays in nested dicts, float32."""
    opt_state: optax.OptState
    step: jax.Array
    """int32 scalar: steps done."""
    root_key: jax.Array
    """uint32[2]: the words of the key from which every dropout key is folded."""


def init_state(encoder: BertEncoder, config: TrainConfig) -> tuple[nnx.GraphDef, TrainState]:
    """The encoder's structure, which is static, and a state at step 0.

    The state holds copies, since a step donates its state and the encoder stays in use.
    """
    graphdef, variables = nnx.split(encoder)
    params = jax.tree.map(jnp.copy, nnx.to_pure_dict(variables))
    root = jax.random.key(config.seed, impl=KEY_IMPLEMENTATION)
    return graphdef, TrainState(
        params=params,
        opt_state=make_optimizer(config).init(params),
        step=jnp.zeros((), jnp.int32),
        root_key=jax.random.key_data(root),
    )


def learning_rate(config: TrainConfig, step: ArrayLike) -> jax.Array:
    """Rate of the update that follows `step` steps: linear from 0, then linear to 0; float32."""
    warmup, last = config.optimizer.warmup_steps, config.schedule_steps
    step = jnp.asarray(step)
    rising = step / warmup if warmup else 1.0
    falling = (last - step) / max(last - warmup, 1)
    return config.optimizer.learning_rate * jnp.clip(jnp.minimum(rising, falling), 0.0, 1.0)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping by the global norm, then AdamW; biases and layer norms do not decay."""
    options = config.optimizer
    adamw = optax.adamw(
        functools.partial(learning_rate, config),
        b1=options.beta1,
        b2=options.beta2,
        eps=options.epsilon,
        weight_decay=options.weight_decay,
        mask=lambda params: jax.tree.map(lambda array: array.ndim > 1, params),
    )
    if options.clip_norm is None:
        return adamw
    return optax.chain(optax.clip_by_global_norm(options.clip_norm), adamw)


def embed(
    graphdef: nnx.GraphDef,
    params: Params,
    batch: Batch,
    pooling: Pooling = "mean",
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Unit vectors of all texts of the batch, in the order of its pairs.

    Pack k drops out by `fold_in(key, k)`, k counted over the global batch, so the masks do not
    depend on how packs are spread over devices; no key, no dropout. Returns float32[B, T, D] and
    bool[B, T]; a slot without a text has the zero vector and is not present.
    """
    encoder = nnx.merge(graphdef, params)
    packs, pairs, slots = batch.fingerprints.shape[:3]
    texts = pairs * slots

    def embed_pack(tokens, segments, positions, pack_key):
        hidden = encoder(tokens, segments, positions, pack_key)
        vectors = normalize(pool(hidden, segments, positions, texts, pooling))
        return vectors, present_texts(segments, texts)

    keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(packs))
    vectors, present = jax.vmap(embed_pack)(batch.tokens, batch.segments, batch.positions, keys)
    return vectors.reshape(packs * pairs, slots, -1), present.reshape(packs * pairs, slots)


def batch_loss(
    params: Params,
    batch: Batch,
    key: jax.Array | None,
    *,
    graphdef: nnx.GraphDef,
    config: TrainConfig,
    pooling: Pooling = "mean",
) -> tuple[jax.Array, Metrics]:
    """The loss of the global batch (float32 scalar) and its metrics, as `contrastive_loss` says."""
    embeddings, present = embed(graphdef, params, batch, pooling, key)
    size, slots = present.shape
    return contrastive_loss(
        embeddings,
        present,
        jnp.reshape(batch.fingerprints, (size, slots, 2)),
        jnp.reshape(batch.clusters, (size, 2)),
        scale=config.loss.scale,
        symmetric=config.loss.symmetric,
        mask_false_negatives=config.loss.mask_false_negatives,
    )


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    pooling: Pooling = "mean",
) -> tuple[TrainState, Metrics]:
    """One update from one global batch. Pure: equal arguments give an equal state.

    Metrics are those of `contrastive_loss` and `loss`, `gradient_norm` (before clipping) and
    `learning_rate`, float32 scalars.
    """
    root = jax.random.wrap_key_data(state.root_key, impl=KEY_IMPLEMENTATION)
    key = jax.random.fold_in(root, state.step)
    loss_of = functools.partial(batch_loss, graphdef=graphdef, config=config, pooling=pooling)
    (loss, metrics), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params, batch, key)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    metrics |= {
        "loss": loss,
        "gradient_norm": optax.tree.norm(gradients),
        "learning_rate": learning_rate(config, state.step),
    }
    params: Params = optax.apply_updates(state.params, updates)  # pyright: ignore[reportAssignmentType]
    return TrainState(params, opt_state, state.step + 1, state.root_key), metrics


def jit_train_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    pooling: Pooling = "mean",
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """`train_step` compiled; its state is donated, so the one passed in is gone afterwards.

    Where the batch's packs lie decides where they are computed: see `trainer.mesh`.
    """
    step = functools.partial(train_step, graphdef=graphdef, optimizer=optimizer, config=config, pooling=pooling)
    return jax.jit(step, donate_argnums=0)
