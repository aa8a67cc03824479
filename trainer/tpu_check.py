"""Will a run fit, and how fast would it be: its real step, compiled for a TPU on a machine that has none.

The compiler is libtpu's own, told the topology in place of finding one. What it reports is its plan:
memory is what it would reserve, time its estimate; neither is a measurement on the chips.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.config import TrainConfig
from trainer.encoders.shapes import shape_of
from trainer.encoders.transformer import Encoder
from trainer.mesh import DATA, check_divides, make_mesh
from trainer.step import abstract_batch, jit_train_step, make_optimizer, state_of

GIB = 1 << 30
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
MEMORY_GIB = {"v2": 8, "v3": 16, "v4": 16, "v5e": 16, "v5p": 95, "v6e": 32}
"""Of a device as JAX counts them: a core on v2 and v3, and on v4 as the compiler is asked here; else a chip."""
TOPOLOGIES = ("v2:2x2", "v3:2x2", "v4:2x2x1", "v5e:2x4", "v5p:2x2x1", "v6e:2x4")
"""Of each kind the topology of a usual machine."""
_KNOWN = f"expected one of {', '.join(TOPOLOGIES)}, or another grid of such chips"


@dataclass(frozen=True)
class StepReport:
    """What the compiler says of one step on one topology."""

    topology: str
    devices: int
    batch_size: int
    """Pairs a global batch."""
    fits: bool
    reason: str
    """Why it does not fit, in the compiler's words; empty where it does."""
    memory_gib: float
    """Of a device."""
    arguments_gib: float | None
    """State and batch of a device; None, as all below, where the step does not fit."""
    temporaries_gib: float | None
    """Activations and buffers of a device at the fullest moment."""
    flops: float | None
    """Floating-point operations of a device, as the compiler counts them."""
    seconds: float | None
    """Time of a step by the compiler's estimate; None where it gives none."""
    collectives: dict[str, int] | None
    """How often each appears in the compiled program; None where this JAX cannot read the compiler's program."""
    compile_seconds: float


def check_call(config: TrainConfig, topology: str) -> Mesh:
    """The topology's devices, over which the run's batch can be spread; nothing is compiled.

    Raises ValueError, in one line, for a topology that the compiler does not know or that does not divide the
    batch, RuntimeError where there is no libtpu.
    """
    mesh = make_mesh(_devices(topology))
    try:
        check_divides(config.packs, config.pack.pairs, mesh, config.micro_packs, config.pack.rows)
    except ValueError as error:
        raise ValueError(f"{topology}: {error}") from None
    return mesh


def check_step(config: TrainConfig, topology: str) -> StepReport:
    """Compile the run's step for a topology such as `v3:2x2`.

    Raises as `check_call`, and RuntimeError where the compiler fails for another reason than memory.
    """
    mesh = check_call(config, topology)
    devices = mesh.devices.size
    graphdef, state = _abstract_state(config)
    everywhere, by_packs = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(DATA))
    state, batch = _with_sharding(state, everywhere), _with_sharding(abstract_batch(config), by_packs)
    step: Any = jit_train_step(graphdef, make_optimizer(config), config, config.pooling or "mean", mesh)
    memory = MEMORY_GIB[topology.partition(":")[0]]
    began = time.perf_counter()
    try:
        compiled = step.lower(state, batch).compile()
    except jax.errors.JaxRuntimeError as error:
        reason = _out_of_memory(str(error))
        if reason is None:
            raise RuntimeError(f"{topology}: the compiler failed: {str(error).splitlines()[0]}") from None
        took = time.perf_counter() - began
        return StepReport(
            topology, devices, config.batch_size, False, reason, memory, None, None, None, None, None, took
        )
    took = time.perf_counter() - began
    sizes, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    arguments, temporaries = sizes.argument_size_in_bytes / GIB, sizes.temp_size_in_bytes / GIB
    # The state is donated, so outputs take the place of arguments.
    needed = arguments + temporaries + (sizes.output_size_in_bytes - sizes.alias_size_in_bytes) / GIB
    fits = needed <= memory
    return StepReport(
        topology=topology,
        devices=devices,
        batch_size=config.batch_size,
        fits=fits,
        reason="" if fits else f"needs {needed:.2f} GiB of {memory} GiB",
        memory_gib=memory,
        arguments_gib=arguments,
        temporaries_gib=temporaries,
        flops=cost.get("flops"),
        seconds=cost.get("optimal_seconds") if cost.get("optimal_seconds", 0) > 0 else None,
        collectives=collectives_of(compiled),
        compile_seconds=took,
    )


def largest_batch(config: TrainConfig, topology: str, check: Callable[[TrainConfig, str], StepReport]) -> int | None:
    """Pairs of the largest global batch that fits, in whole packs on every device; None: not even one each.

    Doubles from a pack a device until a batch does not fit, then halves the gap: `check` runs some
    2 log2(n) times.
    """
    unit = len(_devices(topology)) * (config.micro_packs or 1) * config.pack.pairs

    def fits(units: int) -> bool:
        return check(dataclasses.replace(config, batch_size=units * unit), topology).fits

    if not fits(1):
        return None
    low, high = 1, 2
    while fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low * unit


def collectives_of(compiled: Any) -> dict[str, int] | None:
    """As `count_collectives`, of a compiled step; None where its program cannot be read.

    The program comes back in the compiler's own format, of which a libtpu newer than JAX may use forms that JAX
    does not know (seen on v5p and v6e); memory and time do not depend on it.
    """
    try:
        return count_collectives(compiled.as_text())
    except jax.errors.JaxRuntimeError:
        return None


def count_collectives(program: str) -> dict[str, int]:
    """How often each collective is called in the text of a compiled program; an asynchronous pair counts once."""
    found = {name: len(re.findall(rf"\s{name}(?:-start)?\(", program)) for name in COLLECTIVES}
    return {name: count for name, count in found.items() if count}


def _devices(topology: str) -> list[Any]:
    kind, _, shape = topology.partition(":")
    if kind not in MEMORY_GIB or not re.fullmatch(r"\d+(x\d+){1,2}", shape):
        raise ValueError(f"{topology}: no such topology; {_KNOWN}")
    if importlib.util.find_spec("libtpu") is None:
        raise RuntimeError(
            "no libtpu to compile with; expected the extra [tpu], on Linux (x86-64): "
            "uv pip install libtpu, in an environment of its own"
        )
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)
    except Exception as error:  # the plugin raises what it likes
        said = str(error).strip().splitlines()[0]
        raise ValueError(f"{topology}: the compiler knows no such topology ({said}); {_KNOWN}") from None


def _with_sharding(tree: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def _abstract_state(config: TrainConfig) -> tuple[nnx.GraphDef, Any]:
    shape = shape_of(config.encoder)
    options: dict[str, Any] = {"dtype": config.compute_dtype, "dropout": config.dropout, "remat": config.remat}
    abstract = nnx.eval_shape(lambda: Encoder(shape, **options, rngs=nnx.Rngs(0)))
    graphdef, variables = nnx.split(abstract)
    params = nnx.to_pure_dict(variables)
    return graphdef, jax.eval_shape(lambda held: state_of(held, config), params)


def _out_of_memory(message: str) -> str | None:
    if "RESOURCE_EXHAUSTED" not in message and "Ran out of memory" not in message:
        return None
    for form in (
        r"Used ([\d.]+\w) of ([\d.]+\w) hbm",
        r"HLO temporaries \(([\d.]+\w)\) exceeds available HBM \(([\d.]+\w)\)",
    ):
        if used := re.search(form, message):
            return f"needs {used[1]} of {used[2]}"
    return message.strip().splitlines()[0]
