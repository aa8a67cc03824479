"""Exact search in blocks: the documents of greatest dot product, some left out of each query's list."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from trainer.mesh import DATA, make_mesh

BLOCK_DOCUMENTS = 1 << 15
MIN_HIDDEN = 64  # places of the list of what is left out, which doubles: few shapes, few compilations


def search(
    queries: NDArray[np.float32],
    documents: NDArray[np.floating],
    depth: int,
    *,
    hidden: Sequence[NDArray[np.int64]] | None = None,
    block_documents: int = BLOCK_DOCUMENTS,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `depth` best documents of each query, best first, on all devices of this process.

    float32[n, D] queries, which are in memory whole; [m, D] documents, of which one block is: they may
    be mapped from a file. `hidden[i]` are numbers of documents that query i must not find. Returns
    int64[n, k] and float32[n, k] with k = min(depth, m); places that nothing is left for are -1 and -inf.
    Of equal scores the lower number comes first.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; expected at least 1")
    count, depth = len(queries), min(depth, len(documents))
    if not count or not depth:
        return np.full((count, depth), -1, np.int64), np.full((count, depth), -np.inf, np.float32)
    mesh = make_mesh(jax.local_devices())
    rows = -(-count // mesh.size) * mesh.size
    split = NamedSharding(mesh, PartitionSpec(DATA))
    held = jax.device_put(np.pad(queries, ((0, rows - count), (0, 0))), split)
    best = jax.device_put(np.full((rows, depth), -np.inf, np.float32), split)
    found = jax.device_put(np.full((rows, depth), -1, np.int32), split)
    out = _pairs_of(hidden or ())
    size = min(block_documents, len(documents))
    for start in range(0, len(documents), size):
        block = np.asarray(documents[start : start + size], np.float32)
        padded = np.pad(block, ((0, size - len(block)), (0, 0)))  # one shape for all blocks
        inside = out[(out[:, 1] >= start) & (out[:, 1] < start + len(block))] - [0, start]
        held_out = _padded(inside, rows)
        best, found = _merge(best, found, held, padded, held_out, np.int32(start), np.int32(len(block)), mesh)
    scores = np.asarray(best)[:count]
    numbers = np.asarray(found)[:count].astype(np.int64)
    return np.where(np.isneginf(scores), -1, numbers), scores


def _pairs_of(hidden: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """[n, 2]: (query, document) of all that is left out."""
    lengths = [len(numbers) for numbers in hidden]
    if not sum(lengths):
        return np.zeros((0, 2), np.int64)
    return np.stack([np.repeat(np.arange(len(lengths)), lengths), np.concatenate(hidden)], axis=1)


def _padded(pairs: NDArray[np.int64], outside: int) -> NDArray[np.int32]:
    """The pairs, and after them some whose query, `outside`, is not there."""
    size = MIN_HIDDEN
    while size < len(pairs):
        size *= 2
    filled = np.full((size, 2), outside, np.int32)
    filled[: len(pairs)] = pairs
    return filled


@functools.partial(jax.jit, static_argnames="mesh", donate_argnums=(0, 1))
def _merge(
    best: jax.Array,
    found: jax.Array,
    queries: jax.Array,
    documents: jax.Array,
    hidden: jax.Array,
    first: jax.Array,
    size: jax.Array,
    mesh: Mesh,
) -> tuple[jax.Array, jax.Array]:
    """The best of what was found before and of a block whose documents are numbered from `first`."""

    def merge(
        best: jax.Array,
        found: jax.Array,
        queries: jax.Array,
        documents: jax.Array,
        hidden: jax.Array,
        first: jax.Array,
        size: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        scores = jnp.matmul(queries, documents.T, precision=jax.lax.Precision.HIGHEST)
        scores = jnp.where(jnp.arange(documents.shape[0]) < size, scores, -jnp.inf)
        mine = hidden[:, 0] - jax.lax.axis_index(DATA) * queries.shape[0]
        # A negative row would count from the end; the other devices' rows are dropped.
        mine = jnp.where(mine < 0, queries.shape[0], mine)
        scores = scores.at[mine, hidden[:, 1]].set(-jnp.inf, mode="drop")
        few, places = jax.lax.top_k(scores, min(best.shape[1], scores.shape[1]))
        # The older list comes first: of equal scores top_k takes the earlier place, and so the lower number.
        every = jnp.concatenate([best, few], axis=1)
        named = jnp.concatenate([found, first + places], axis=1)
        best, places = jax.lax.top_k(every, best.shape[1])
        return best, jnp.take_along_axis(named, places, axis=1)

    split, whole = PartitionSpec(DATA), PartitionSpec()
    mapped = jax.shard_map(
        merge,
        mesh=mesh,
        in_specs=(split, split, split, whole, whole, whole, whole),
        out_specs=(split, split),
        check_vma=False,
    )
    return mapped(best, found, queries, documents, hidden, first, size)
