"""A run: batches in, checkpoints out. The only file of the trainer that knows the reader."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reader.plan import BatchPlan, host_rows, load_manifests, plan_batches
from reader.stream import Packing, stream_batches
from schemas.manifest import Manifest
from schemas.mixture import Mixture
from schemas.tokens import load_tokenizer, max_length, tokenizer_digest
from trainer.checkpoint import CHECKPOINTS_FOLDER, Checkpoints
from trainer.checkpoint_scores import make_evaluation, say_when_another
from trainer.config import TrainConfig
from trainer.encode import read_head
from trainer.encoders.fetch import resolve_encoder
from trainer.encoders.transformer import Encoder
from trainer.encoders.weights import init_encoder, load_encoder
from trainer.guards import clear_when_full, means_of, report_skipped, watch_stalls
from trainer.mesh import any_host, check_divides, join_hosts, make_mesh, replicate, shard_batch
from trainer.meter import Meter
from trainer.origin import different_data, different_tokenizer, make_origin
from trainer.record import write_record
from trainer.step import init_state, jit_train_step, make_optimizer
from trainer.telemetry import Telemetry

CONFIG_FILE = "config.json"
# What may differ between a run and its continuation without changing any step already done.
FREE_TO_CHANGE = (
    "steps",
    "data",  # the batches' digest tells other pairs from the same ones as ids or in another place
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_best",
    "stop_after_skipped",
    "stall_seconds",
    "evaluation_queries",
    "evaluation",
    "corpus",
    "micro_packs",  # where and when a pack is embedded changes memory and time
    "remat",
)


@dataclass(frozen=True)
class Trained:
    """How a call of `train` ended."""

    step: int
    """Steps done, earlier calls included."""
    resumed_from: int
    interrupted: bool
    first_host: bool = True
    """Whether this process is the first of those that ran it together."""


def train(
    config: TrainConfig,
    folder: str | Path,
    *,
    accept_other_batches: bool = False,
    accept_other_settings: bool = False,
) -> Trained:
    """Train in the run folder, going on from its latest checkpoint.

    SIGINT and SIGTERM end it after the step under way, with a checkpoint; where several hosts run it (see
    `trainer.mesh.join_hosts`), after the next step that is logged, all of them. Raises ValueError when
    the folder holds a run with other settings or other data; `accept_other_batches` goes on with another
    mixture or other data, `accept_other_settings` with another config or tokenizer. Raises ValueError, too,
    when the data ends before the run's last step, RuntimeError after too many updates that were not finite
    and OSError when the disk is full (see `trainer.guards`).
    """
    join_hosts()
    folder = Path(folder)
    mixture = _load_mixture(config)
    if not accept_other_settings:
        _refuse_other_settings(folder, config)
    plan = plan_batches(mixture, config.data, batch_size=config.batch_size, seed=config.seed)
    if plan.end is not None and config.steps > plan.end:
        raise ValueError(
            f"{config.mixture}: max_epochs ends the data after {plan.end:,} steps, the run wants {config.steps:,}; "
            f"--set steps={plan.end}, or allow more epochs"
        )
    base = resolve_encoder(config.encoder, weights=config.initial == "pretrained")
    manifests = load_manifests(config.data, mixture.drawn)
    tokenizer = _refuse_other_ids(manifests, config, base)
    mesh = make_mesh()
    check_divides(config.packs, config.pack.pairs, mesh, config.micro_packs)
    encoder = make_encoder(config, base)
    graphdef, state = init_state(encoder, config)
    state = replicate(state, mesh)
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, keep=config.keep_checkpoints, keep_best=config.keep_best)
    origin = make_origin(_settings(config), mixture, manifests, batches=plan.content_hash, tokenizer=tokenizer)
    start = checkpoints.latest_step or 0
    if start:
        found = checkpoints.origin()
        if not accept_other_batches and (what := different_data(origin, found)):
            raise ValueError(
                f"{folder}: its checkpoints were trained on another mixture or other data: {what}; "
                "choose another --output, or go on with --accept-other-batches"
            )
        if not accept_other_settings and (what := different_tokenizer(origin, found)):
            raise ValueError(
                f"{folder}: its checkpoints were trained with another {what}; "
                "choose another --output, or go on with --accept-other-settings"
            )
        state, _ = checkpoints.restore(state)
    pooling = config.pooling or read_head(base)[0]
    names = [entry.name for entry in mixture.datasets]
    step_fn = jit_train_step(graphdef, make_optimizer(config), config, pooling, mesh, len(names))
    evaluation = make_evaluation(
        config,
        graphdef,
        manifests.values(),
        tokenizer=load_tokenizer(base),
        limit=min(max_length(base), config.pack.tokens),
        pooling=pooling,
    )
    folder.mkdir(parents=True, exist_ok=True)
    if not jax.process_index():  # not before: a call that is refused leaves the config as it was
        _write_config(folder, config)
        write_record(folder)
    meter = Meter(encoder.config, config.batch_size)
    recent: list[dict[str, jax.Array]] = []
    done = start
    with (
        clear_when_full(folder),
        _stop_on_signal() as stopped,
        checkpoints,
        _telemetry(folder, config, start) as telemetry,
    ):
        if evaluation is not None and start < config.steps:
            scores = evaluation.score(state.params)  # a wrong metric is refused now, not when steps could be lost
            if telemetry is not None:
                say_when_another(checkpoints.measure, evaluation)
                if not start:
                    telemetry.score(0, scores)
            meter.restart()
        batches = watch_stalls(_batches(plan, config, base, start), config.stall_seconds, start)
        for batch in meter.watch(batches):
            state, metrics = step_fn(state, shard_batch(batch, mesh))
            recent.append({name: value for name, value in metrics.items() if not name.startswith("row_")})
            done += 1
            last = done == config.steps or _asked_to_stop(stopped, done, config)
            scored = evaluation is not None and (done % config.evaluation.every == 0 or done == config.steps)
            score = None
            if done % config.log_every == 0 or last or scored:
                # The one place where the host waits for the devices.
                fetched = jax.device_get(recent)
                history = [{name: float(one[name]) for name in one if name != "by_dataset"} for one in fetched]
                means = means_of(history) | meter.read()
                scores = evaluation.score(state.params) if evaluation is not None and scored else {}
                score = scores.get(config.evaluation.metric)
                if telemetry is not None:
                    updated = [one for one in fetched if not one["skipped"]] or fetched
                    sums = np.sum([one["by_dataset"] for one in updated], axis=0).tolist()
                    of_datasets = dict(zip(names, sums, strict=True))
                    telemetry.log(done, means, of_datasets, scores)
                report_skipped(config, done - len(history), history)
                recent = []
                meter.restart()
            elif telemetry is not None:
                telemetry.advance(done)
            if done % config.checkpoint_every == 0 or last or scored:
                measure = evaluation.measure if evaluation is not None else ""
                checkpoints.save(state, done, origin, score=score, measure=measure)
            if last:
                break
    return Trained(done, start, interrupted=done < config.steps, first_host=not jax.process_index())


def _batches(plan: BatchPlan, config: TrainConfig, base: Path, start: int) -> Iterator[Any]:
    if start >= config.steps:
        return iter(())
    packing = make_packing(config, base)
    rows = host_rows(config.batch_size, jax.process_count(), jax.process_index())
    return stream_batches(plan, start, config.steps - start, packing, negatives=config.negatives, rows=rows)


def _telemetry(folder: Path, config: TrainConfig, start: int) -> AbstractContextManager[Telemetry | None]:
    """The run's logs, which the first host writes."""
    if jax.process_index():
        return nullcontext()
    return Telemetry(folder, steps=config.steps, start=start, batch_size=config.batch_size)


def _asked_to_stop(stopped: list[int], done: int, config: TrainConfig) -> bool:
    """Hosts must stop after the same step; they agree on it where they wait for their devices anyway."""
    if jax.process_count() == 1:
        return bool(stopped)
    return done % config.log_every == 0 and any_host(bool(stopped))


def _refuse_other_ids(manifests: Mapping[str, Manifest], config: TrainConfig, base: Path) -> str:
    """The digest of the run's tokenizer and prefixes; ValueError for a dataset of ids that they would not give."""
    of_ids = [(one, part) for one in manifests.values() if one.kind == "tokens" for part in one.parts]
    packing = make_packing(config, base)
    expected = tokenizer_digest(packing.tokenizer, packing.prefixes)
    for manifest, part in of_ids:
        if (found := part.options.get("tokenizer", "")) != expected:
            raise ValueError(
                f"{manifest.folder}: ids of tokenizer {found[:12]}… with prefixes {part.options.get('prefixes')}; "
                f"expected {expected[:12]}… of {base} with {list(packing.prefixes)}; "
                "run `pairstream tokenize` again, without prefixes"
            )
    return expected


def _load_mixture(config: TrainConfig) -> Mixture:
    try:
        return Mixture.load(config.mixture)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; --set mixture=PATH says where the run's lies") from None


def make_encoder(config: TrainConfig, base: Path) -> Encoder:
    """The run's encoder at step 0: the base's weights, or random ones in its shape."""
    options: Any = {"dtype": config.compute_dtype, "dropout": config.dropout, "remat": config.remat}
    if config.initial == "random":
        return init_encoder(base, seed=config.seed, **options)
    return load_encoder(base, **options)


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


def _refuse_other_settings(folder: Path, config: TrainConfig) -> None:
    """Raise ValueError where the folder's checkpoints belong to a run with other settings."""
    path = folder / CONFIG_FILE
    # Without a whole checkpoint there is nothing to protect.
    trained = any(one.name.isdecimal() for one in (folder / CHECKPOINTS_FOLDER).glob("*"))
    if trained and path.exists():
        ours, theirs = _settings(config), _settings(load_config(folder))
        if different := sorted(name for name in ours if ours[name] != theirs[name]):
            name = different[0]
            mend = "choose another --output, remove the folder, or go on with --accept-other-settings"
            if name == "schedule_steps":
                mend = f"--set optimizer.schedule_steps={theirs[name]} goes on with its learning rate; else {mend}"
            raise ValueError(f"{folder} holds a run with {name} {theirs[name]!r}, not {ours[name]!r}; {mend}")


def _write_config(folder: Path, config: TrainConfig) -> None:
    path = folder / CONFIG_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(config.to_json(), indent=2) + "\n")
    os.replace(temporary, path)


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What decides a step, as JSON reads it back."""
    document = {name: value for name, value in config.to_json().items() if name not in FREE_TO_CHANGE}
    return json.loads(json.dumps(document | {"schedule_steps": config.schedule_steps}))


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
