"""The one mesh: an axis `data` over which whole packs are spread; parameters are on every device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from schemas.batch import Batch

DATA = "data"
Tree = TypeVar("Tree")


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """One axis over the devices (None: all of all hosts).

    Its type is Auto, so that the compiler places intermediates: `jax.make_mesh` defaults to
    Explicit, under which an embedding lookup must state its own sharding.
    """
    chosen = list(jax.devices() if devices is None else devices)
    return jax.make_mesh((len(chosen),), (DATA,), axis_types=(AxisType.Auto,), devices=chosen)


def shard_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Puts this host's packs on its devices; the result is the global batch, split by packs.

    Raises ValueError when the devices would not hold the same number of packs each.
    """
    packs, pairs = batch.pairs.shape[:2]
    devices = len(mesh.local_devices)
    if packs % devices:
        hosts = mesh.devices.size // devices
        below = packs // devices * devices
        near = " or ".join(str(n * pairs * hosts) for n in (below, below + devices) if n)
        raise ValueError(
            f"batch_size {packs * pairs * hosts} is {packs * hosts} packs of {pairs} pairs; "
            f"expected a multiple of the {mesh.devices.size} devices; "
            f"the nearest batch sizes that divide: {near}"
        )
    sharding = NamedSharding(mesh, PartitionSpec(DATA))
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch)


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """The tree with a whole copy of every array on every device.

    All are copies: `device_put` would share the one that is in place already (`may_alias=False` or
    not), and when a step donates its state the original would go with it.
    """
    return jax.device_put(jax.tree.map(jnp.copy, tree), NamedSharding(mesh, PartitionSpec()))
