"""A run: batches in, checkpoints out. The only file of the trainer that knows the reader."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reader.plan import BatchPlan, plan_batches
from reader.stream import Packing, stream_batches
from schemas.mixture import Mixture
from schemas.tokens import load_tokenizer, max_length
from trainer.checkpoint import Checkpoints
from trainer.config import TrainConfig
from trainer.encode import read_head
from trainer.encoders.fetch import resolve_encoder
from trainer.encoders.weights import load_encoder
from trainer.mesh import make_mesh, replicate, shard_batch
from trainer.step import init_state, jit_train_step, make_optimizer
from trainer.telemetry import Telemetry

CONFIG_FILE = "config.json"
CHECKPOINTS_FOLDER = "checkpoints"
# What may differ between a run and its continuation without changing any step already done.
FREE_TO_CHANGE = (
    "steps",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "evaluation_queries",
    "corpus",
)


@dataclass(frozen=True)
class Trained:
    """How a call of `train` ended."""

    step: int
    """Steps done, earlier calls included."""
    resumed_from: int
    interrupted: bool


def train(config: TrainConfig, folder: str | Path, *, accept_other_batches: bool = False) -> Trained:
    """Train in the run folder, going on from its latest checkpoint.

    SIGINT and SIGTERM end it after the step under way, with a checkpoint. Raises ValueError when
    the folder holds a run with other settings or other data; `accept_other_batches` goes on with another
    mixture or other data. Raises ValueError, too, when the data ends before the run's last step.
    """
    folder = Path(folder)
    _claim(folder, config)
    plan = plan_batches(Mixture.load(config.mixture), config.data, batch_size=config.batch_size, seed=config.seed)
    if plan.end is not None and config.steps > plan.end:
        raise ValueError(
            f"{config.mixture}: max_epochs ends the data after {plan.end:,} steps, the run wants {config.steps:,}; "
            f"--set steps={plan.end}, or allow more epochs"
        )
    base = resolve_encoder(config.encoder)
    mesh = make_mesh()
    encoder = load_encoder(base, dtype=config.compute_dtype, dropout=config.dropout)
    graphdef, state = init_state(encoder, config)
    state = replicate(state, mesh)
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, keep=config.keep_checkpoints)
    origin = {"batches": plan.content_hash, "settings": _settings(config)}
    start = checkpoints.latest_step or 0
    if start:
        state, found = checkpoints.restore(state)
        if not accept_other_batches:
            _refuse_other_origin(folder, origin, found)
    pooling, _ = read_head(base)
    step_fn = jit_train_step(graphdef, make_optimizer(config), config, pooling)
    recent: list[dict[str, jax.Array]] = []
    done = start
    with _stop_on_signal() as stopped, Telemetry(folder, steps=config.steps, start=start) as telemetry:
        since = time.perf_counter()
        for batch in _batches(plan, config, base, start):
            state, metrics = step_fn(state, shard_batch(batch, mesh))
            recent.append({name: value for name, value in metrics.items() if value.ndim == 0})
            done += 1
            last = done == config.steps or bool(stopped)
            if done % config.log_every == 0 or last:
                # The one place where the host waits for the devices.
                means = {name: float(np.mean([one[name] for one in jax.device_get(recent)])) for name in recent[0]}
                now = time.perf_counter()
                means["pairs_per_second"] = len(recent) * config.batch_size / (now - since)
                telemetry.log(done, means)
                recent, since = [], now
            else:
                telemetry.advance(done)
            if done % config.checkpoint_every == 0 or last:
                checkpoints.save(state, done, origin)
            if last:
                break
        checkpoints.close()  # under the handler: a second signal must not cut the save short
    return Trained(done, start, interrupted=bool(stopped) and done < config.steps)


def _batches(plan: BatchPlan, config: TrainConfig, base: Path, start: int) -> Iterator[Any]:
    if start >= config.steps:
        return iter(())
    packing = make_packing(config, base)
    return stream_batches(plan, start, config.steps - start, packing, negatives=config.negatives)


def make_packing(config: TrainConfig, base: Path) -> Packing:
    """Rows and limits of a run's packs, with the base encoder's tokenizer."""
    most = min(max_length(base), config.pack.tokens)
    return Packing(
        tokenizer=load_tokenizer(base),
        pairs=config.pack.pairs,
        rows=config.pack.rows,
        row_tokens=config.pack.tokens,
        max_tokens=(
            min(most, config.pack.max_anchor_tokens or most),
            min(most, config.pack.max_positive_tokens or most),
        ),
    )


def load_config(folder: str | Path) -> TrainConfig:
    """The config that a run saved in its folder. Raises FileNotFoundError or ValueError."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected the folder of a run that `pairstream train` made")
    try:
        return TrainConfig.from_json(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _claim(folder: Path, config: TrainConfig) -> None:
    """Write the config into the run folder; refuse one whose checkpoints belong to another run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG_FILE
    trained = any((folder / CHECKPOINTS_FOLDER).glob("[0-9]*"))  # without a checkpoint there is nothing to protect
    if trained and path.exists():
        ours, theirs = _settings(config), _settings(load_config(folder))
        if different := sorted(name for name in ours if ours[name] != theirs[name]):
            name = different[0]
            mend = "choose another --output or remove the folder"
            if name == "schedule_steps":
                mend = f"--set optimizer.schedule_steps={theirs[name]} goes on with its learning rate; else {mend}"
            raise ValueError(f"{folder} holds a run with {name} {theirs[name]!r}, not {ours[name]!r}; {mend}")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(config.to_json(), indent=2) + "\n")
    os.replace(temporary, path)


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What decides a step, as JSON reads it back."""
    document = {name: value for name, value in config.to_json().items() if name not in FREE_TO_CHANGE}
    return json.loads(json.dumps(document | {"schedule_steps": config.schedule_steps}))


def _refuse_other_origin(folder: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    if ours["batches"] != theirs["batches"]:
        raise ValueError(
            f"{folder}: its checkpoints were trained on another mixture or other data "
            f"({theirs['batches'][:12]}…, now {ours['batches'][:12]}…); choose another --output, or go on "
            "with --accept-other-batches"
        )


@contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """A list that is no longer empty once the process was asked to stop."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
