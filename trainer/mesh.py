"""The one mesh: an axis `data` over which whole packs are spread; parameters are on every device.

A device may be of this process or of another host's: the hosts that run one command find each other
through `jax.distributed`, and each puts its own rows of a batch on its own devices.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from schemas.batch import Batch

DATA = "data"
COORDINATOR, HOSTS, HOST = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
Tree = TypeVar("Tree")


def join_hosts() -> None:
    """Meets the other hosts of the run, when the environment names a coordinator; else does nothing.

    JAX_COORDINATOR_ADDRESS is the first host's `address:port`, JAX_NUM_PROCESSES how many hosts
    there are and JAX_PROCESS_ID which this one is, from 0. Where JAX knows the cluster (TPU pods,
    Slurm) the last two may be left out. Comes before anything else of JAX. Raises ValueError for
    numbers that are none.
    """
    if COORDINATOR not in os.environ or jax.distributed.is_initialized():
        return
    numbers = {name: os.environ.get(name) for name in (HOSTS, HOST)}
    for name, value in numbers.items():
        if value is not None and not value.isdecimal():
            raise ValueError(f"{name} is {value!r}; expected a whole number")
    hosts, host = (None if value is None else int(value) for value in numbers.values())
    if (hosts is None) != (host is None) or (hosts is not None and host is not None and host >= hosts):
        raise ValueError(f"{HOSTS} is {hosts} and {HOST} is {host}; expected both, the second below the first")
    jax.distributed.initialize(os.environ[COORDINATOR], hosts, host)


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """One axis over the devices (None: all of all hosts, host after host).

    Its type is Auto, so that the compiler places intermediates: under Explicit an embedding lookup
    must state its own sharding.
    """
    chosen = sorted(jax.devices(), key=lambda device: device.process_index) if devices is None else list(devices)
    # Not `jax.make_mesh`: it may put devices in another order, and the hosts' rows with them.
    return Mesh(np.array(chosen), (DATA,), axis_types=(AxisType.Auto,))


def one_device_mesh() -> Mesh:
    """The mesh of this process's first device: what is not spread lies there."""
    return make_mesh(jax.local_devices()[:1])


def check_divides(packs: int, pairs: int, mesh: Mesh, micro_packs: int | None = None, rows: int | None = None) -> None:
    """Raise ValueError unless every device gets equally many of so many packs, and of micro-batches.

    `packs` are those of the global batch, `pairs` the pairs of each. The message names the nearest batch sizes
    that divide and, where `rows`, those of a pack, are given, the packs into which the same batch divides.
    """
    devices = mesh.devices.size
    if _divides(packs, devices, micro_packs):
        return
    batch = packs * pairs
    reason = f"the {devices} devices" if packs % devices else f"{devices} devices x micro_packs {micro_packs}"
    below = (n for n in range(packs, 0, -1) if _divides(n, devices, micro_packs))
    above = (n for n in itertools.count(packs) if _divides(n, devices, micro_packs))
    sizes = [str(n * pairs) for n in (next(below, None), next(above)) if n is not None]
    mend = f"the nearest batch sizes that divide: {' or '.join(sizes)}"
    if rows is not None:
        mend += f" (--set batch_size={sizes[0]})"
        smaller = (n for n in range(pairs - 1, 0, -1) if not batch % n and _divides(batch // n, devices, micro_packs))
        if (fewer := next(smaller, None)) is not None:
            packed = f"--set pack.pairs={fewer} --set pack.rows={-(-rows * fewer // pairs)}"
            mend += f"; the same batch divides with {packed}"
    found = f"batch_size {batch} is {packs} pack{'s' * (packs > 1)} of {pairs} pairs"
    raise ValueError(f"{found}; expected a multiple of {reason}; {mend}")


def _divides(packs: int, devices: int, micro_packs: int | None) -> bool:
    share, rest = divmod(packs, devices)
    return not rest and (micro_packs is None or share <= micro_packs or not share % micro_packs)


def shard_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Puts this host's packs on its devices; the result is the global batch, split by packs.

    Raises ValueError when the devices would not hold the same number of packs each.
    """
    packs, pairs = batch.pairs.shape[:2]
    hosts = mesh.devices.size // len(mesh.local_devices)
    check_divides(packs * hosts, pairs, mesh)
    sharding = NamedSharding(mesh, PartitionSpec(DATA))
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch)


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """The tree with a whole copy of every array on every device; all hosts must hold the same.

    All are copies: `device_put` would share the one that is in place already (`may_alias=False` or
    not), and when a step donates its state the original would go with it.
    """
    return jax.device_put(jax.tree.map(jnp.copy, tree), NamedSharding(mesh, PartitionSpec()))


def any_host(flag: bool) -> bool:
    """Whether the flag is set on a host; all hosts must ask, and wait for each other."""
    return bool(flag) if jax.process_count() == 1 else bool(np.any(multihost_utils.process_allgather(np.array(flag))))
