"""One step of training: a state and a batch in, a state and what to log out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike

from schemas.batch import Batch
from trainer.config import LossConfig, TrainConfig
from trainer.encoders.transformer import Encoder
from trainer.loss import contrastive_loss
from trainer.mesh import DATA, one_device_mesh
from trainer.optimizer import learning_rate, make_optimizer
from trainer.pooling import Pooling, normalize, pool, present_texts

KEY_IMPLEMENTATION = "threefry2x32"  # named, so that no global setting of JAX changes a run

Params = dict[str, Any]
Trained = tuple[Params, jax.Array | None]
"""What the optimizer changes: the encoder's params and the loss's log scale, None where that is not learnt."""
Metrics = dict[str, jax.Array]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "log_scale", "opt_state", "step", "root_key", "skipped"],
    meta_fields=[],
)
@dataclass
class TrainState:
    """All that changes in a run, as plain arrays: what a checkpoint holds."""

    params: Params
    """The encoder's arrays in nested dicts, float32."""
    log_scale: jax.Array | None
    """float32 scalar: logarithm of the loss's scale, where that is learnt."""
    opt_state: optax.OptState
    """Of (params, log_scale)."""
    step: jax.Array
    """int32 scalar: steps done."""
    root_key: jax.Array
    """uint32[2]: the words of the key from which every dropout key is folded."""
    skipped: jax.Array
    """int32[2]: steps without an update, since loss or gradient was not finite: of all, of the latest in a row."""


def init_state(encoder: Encoder, config: TrainConfig) -> tuple[nnx.GraphDef, TrainState]:
    """The encoder's structure, which is static, and a state at step 0.

    The state holds copies, since a step donates its state and the encoder stays in use.
    """
    graphdef, variables = nnx.split(encoder)
    return graphdef, state_of(jax.tree.map(jnp.copy, nnx.to_pure_dict(variables)), config)


def state_of(params: Params, config: TrainConfig) -> TrainState:
    """A state at step 0 that holds these params."""
    log_scale = jnp.log(jnp.float32(config.loss.scale)) if config.loss.learn_scale else None
    root = jax.random.key(config.seed, impl=KEY_IMPLEMENTATION)
    return TrainState(
        params=params,
        log_scale=log_scale,
        opt_state=make_optimizer(config).init(cast(Any, (params, log_scale))),
        step=jnp.zeros((), jnp.int32),
        root_key=jax.random.key_data(root),
        skipped=jnp.zeros(2, jnp.int32),
    )


def embed(
    graphdef: nnx.GraphDef,
    params: Params,
    batch: Batch,
    pooling: Pooling = "mean",
    key: jax.Array | None = None,
    *,
    unit_length: bool = True,
    mesh: Mesh | None = None,
    micro_packs: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Vectors of all texts of the batch, in the order of its pairs; each device embeds its packs.

    Pack k drops out by `fold_in(key, k)`, k counted over the global batch, so the masks do not
    depend on how packs are spread over devices (`mesh`; None: one device); no key, no dropout.

    With `micro_packs` a device embeds so many packs after one another, and none of their
    activations is kept: the backward pass embeds each micro-batch again when its turn comes, with the
    same masks. So memory is that of a micro-batch, time is a forward pass more, and numbers are the
    same. This is the gradient cache of Gao et al., "Scaling Deep Contrastive Learning Batch Size
    under Memory Limited Setup" (2021). It must divide a device's packs, or be at least as many.

    Returns float32[B, T, D] and bool[B, T]; a slot without a text has the zero vector and is not
    present.
    """
    packs, pairs, slots = batch.fingerprints.shape[:3]
    texts = pairs * slots

    def embed_pack(params, tokens, segments, positions, pack_key):
        hidden = nnx.merge(graphdef, params)(tokens, segments, positions, pack_key)
        vectors = pool(hidden, segments, positions, texts, pooling)
        return (normalize(vectors) if unit_length else vectors), present_texts(segments, texts)

    def embed_share(params, tokens, segments, positions, key):
        share = len(tokens)
        numbers = jax.lax.axis_index(DATA) * share + jnp.arange(share)
        keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
        embed_packs = jax.vmap(functools.partial(embed_pack, params))
        return _in_micro_batches(embed_packs, micro_packs or share, (tokens, segments, positions, keys))

    by_packs, everywhere = PartitionSpec(DATA), PartitionSpec()
    # Unchecked, a replicated argument's gradient is summed over devices once, on the way out. Checked, it would
    # be summed wherever the argument meets a device's own data: in the loop, for every micro-batch.
    run = jax.shard_map(
        embed_share,
        mesh=mesh or one_device_mesh(),
        in_specs=(everywhere, by_packs, by_packs, by_packs, everywhere),
        out_specs=by_packs,
        check_vma=False,
    )
    vectors, present = jax.jit(run)(params, batch.tokens, batch.segments, batch.positions, key)
    return vectors.reshape(packs * pairs, slots, -1), present.reshape(packs * pairs, slots)


def _in_micro_batches(function: Callable[..., Any], size: int, arguments: tuple[Any, ...]) -> Any:
    """`function` over arrays [packs, …], `size` packs at a time; nothing inside is kept for the backward pass."""
    packs = len(arguments[0])
    if packs <= size:
        return function(*arguments)
    parts = jax.tree.map(lambda x: x.reshape(packs // size, size, *x.shape[1:]), arguments)
    results = jax.lax.map(jax.checkpoint(lambda part: function(*part), prevent_cse=False), parts)
    return jax.tree.map(lambda x: x.reshape(packs, *x.shape[2:]), results)


def batch_loss(
    trained: Trained,
    batch: Batch,
    key: jax.Array | None,
    *,
    graphdef: nnx.GraphDef,
    config: TrainConfig,
    pooling: Pooling = "mean",
    mesh: Mesh | None = None,
) -> tuple[jax.Array, Metrics]:
    """The loss of the global batch (float32 scalar) and its metrics, as `contrastive_loss` says.

    `trained` is the encoder's params and the learnt log scale, None where the config's is used.
    """
    params, log_scale = trained
    options = config.loss
    embeddings, present = embed(
        graphdef,
        params,
        batch,
        pooling,
        key,
        unit_length=options.similarity == "cosine",
        mesh=mesh,
        micro_packs=config.micro_packs,
    )
    size, slots = present.shape
    return contrastive_loss(
        embeddings,
        present,
        jnp.reshape(batch.fingerprints, (size, slots, 2)),
        jnp.reshape(batch.clusters, (size, 2)),
        scale=options.scale if log_scale is None else jnp.exp(log_scale),
        similarity=options.similarity,
        symmetric=options.symmetric,
        mask_false_negatives=options.mask_false_negatives,
        dimensions=options.weighted_dimensions,
        mesh=mesh,
    )


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    pooling: Pooling = "mean",
    mesh: Mesh | None = None,
    datasets: int = 0,
) -> tuple[TrainState, Metrics]:
    """One update from one global batch. Pure: equal arguments give an equal state.

    When the loss or the gradient's norm is not finite, the step is counted and changes nothing else:
    params, scale and optimizer stay as they were, its place in the learning rate's schedule with them.

    Metrics are those of `contrastive_loss` and `loss`, `gradient_norm` (before clipping),
    `learning_rate`, `skipped` (1 where no update was made), `skipped_in_row` and, where it is learnt,
    `scale`, float32 scalars; and with `datasets`, how many the mixture has, `by_dataset` float32[D, 3]:
    the sums over the batch's pairs of each of 1, their loss and their accuracy.
    """
    root = jax.random.wrap_key_data(state.root_key, impl=KEY_IMPLEMENTATION)
    key = jax.random.fold_in(root, state.step)
    loss_of = functools.partial(batch_loss, graphdef=graphdef, config=config, pooling=pooling, mesh=mesh)
    trained = (state.params, state.log_scale)
    (loss, metrics), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, batch, key)
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    updated = _update(optimizer, gradients, state.opt_state, trained, config.loss)
    (params, log_scale), opt_state = jax.tree.map(
        functools.partial(jnp.where, finite), updated, (trained, state.opt_state)
    )
    skipped = jnp.where(finite, state.skipped * jnp.array([1, 0]), state.skipped + 1)
    metrics |= {
        "loss": loss,
        "gradient_norm": norm,
        "learning_rate": learning_rate(config, state.step - state.skipped[0]),
        "skipped": jnp.float32(~finite),
        "skipped_in_row": jnp.float32(skipped[1]),
    }
    if datasets:
        metrics["by_dataset"] = _by_dataset(metrics, batch.datasets, datasets)
    if state.log_scale is not None:
        metrics["scale"] = jnp.exp(state.log_scale)
    return TrainState(params, log_scale, opt_state, state.step + 1, state.root_key, skipped), metrics


def _by_dataset(metrics: Metrics, numbers: ArrayLike, datasets: int) -> jax.Array:
    rows = jnp.stack([jnp.ones_like(metrics["row_loss"]), metrics["row_loss"], metrics["row_accuracy"]], axis=1)
    member = jnp.reshape(jnp.asarray(numbers), (-1, 1)) == jnp.arange(datasets)
    # Chosen, not multiplied: a row that is not finite spoils the sum of its own dataset alone.
    return jnp.where(member[:, :, None], rows[:, None], 0).sum(axis=0)


def _update(
    optimizer: optax.GradientTransformation,
    gradients: Trained,
    opt_state: optax.OptState,
    trained: Trained,
    options: LossConfig,
) -> tuple[Trained, optax.OptState]:
    updates, opt_state = optimizer.update(cast(Any, gradients), opt_state, cast(Any, trained))
    params, log_scale = cast(Trained, optax.apply_updates(cast(Any, trained), updates))
    if log_scale is not None:
        # The parameter is clamped, not what is made of it: beyond a bound it would have no gradient to come back by.
        log_scale = jnp.clip(log_scale, math.log(options.min_scale), math.log(options.max_scale))
    return (params, log_scale), opt_state


def jit_train_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    pooling: Pooling = "mean",
    mesh: Mesh | None = None,
    datasets: int = 0,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """`train_step` compiled; its state is donated, so the one passed in is gone afterwards.

    Batches are computed on the devices of `mesh`, where state and batch must lie (None: one device).
    """
    step = functools.partial(
        train_step,
        graphdef=graphdef,
        optimizer=optimizer,
        config=config,
        pooling=pooling,
        mesh=mesh,
        datasets=datasets,
    )
    return jax.jit(step, donate_argnums=0)


def abstract_batch(config: TrainConfig) -> Batch:
    """The shapes and types of a run's global batch: what its step is traced with where there is no data."""
    packs, pairs, texts = config.packs, config.pack.pairs, 2 + config.negatives
    layout = jax.ShapeDtypeStruct((packs, config.pack.rows, config.pack.tokens), jnp.int32)
    words = jax.ShapeDtypeStruct((packs, pairs, 2), jnp.uint32)
    abstract: Any = Batch
    return abstract(
        tokens=layout,
        segments=layout,
        positions=layout,
        fingerprints=jax.ShapeDtypeStruct((packs, pairs, texts, 2), jnp.uint32),
        clusters=words,
        pairs=words,
        datasets=jax.ShapeDtypeStruct((packs, pairs), jnp.int32),
        shortened=jax.ShapeDtypeStruct((packs,), jnp.int32),
    )
