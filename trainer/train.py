"""A run: batches in, checkpoints out. The only file of the trainer that knows the reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reader.plan import BatchPlan, host_rows, load_manifests, plan_batches
from reader.stream import Packing, stream_batches
from schemas.mixture import Mixture
from schemas.tokens import Prefixes, load_tokenizer, max_length, tokenizer_digest
from trainer.checkpoint import CHECKPOINTS_FOLDER, Checkpoints
from trainer.checkpoint_scores import make_evaluation, say_when_another
from trainer.config import TrainConfig
from trainer.encoders.fetch import IN_A_RUN, resolve_encoder
from trainer.encoders.head import read_head
from trainer.encoders.transformer import Encoder
from trainer.encoders.weights import init_encoder, load_encoder
from trainer.guards import clear_when_full, means_of, report_skipped, watch_stalls
from trainer.mesh import any_host, check_divides, join_hosts, make_mesh, replicate, shard_batch
from trainer.meter import Meter
from trainer.origin import make_origin, refuse_other_ids, refuse_other_origin
from trainer.record import write_record
from trainer.run_folder import refuse_other_settings, settings_of, write_config
from trainer.step import TrainState, abstract_batch, init_state, jit_train_step, make_optimizer
from trainer.stopping import stop_on_signal
from trainer.telemetry import Telemetry


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

    SIGINT and SIGTERM end it after the step under way, with a checkpoint, and at once when they come again; where
    several hosts run it (see `trainer.mesh.join_hosts`), after the next step that is logged, all of them. Raises
    ValueError when the folder holds a run with other settings or other data; `accept_other_batches` goes on with
    another mixture or other data, `accept_other_settings` with another config or tokenizer. Raises ValueError, too,
    when the data ends before the run's last step. A call that is refused leaves the folder as it was, or absent.
    Raises RuntimeError after too many updates that were not finite and OSError when the disk is full (see
    `trainer.guards`).
    """
    join_hosts()
    folder = Path(folder)
    mixture = _load_mixture(config)
    if not accept_other_settings:
        refuse_other_settings(folder, config)
    plan = plan_batches(mixture, config.data, batch_size=config.batch_size, seed=config.seed)
    if plan.end is not None and config.steps > plan.end:
        raise ValueError(
            f"{config.mixture}: max_epochs ends the data after {plan.end:,} steps, the run wants {config.steps:,}; "
            f"--set steps={plan.end}, or allow more epochs"
        )
    base = resolve_encoder(config.encoder, IN_A_RUN, weights=config.initial == "pretrained")
    manifests = load_manifests(config.data, mixture.drawn)
    packing = make_packing(config, base)
    tokenizer = tokenizer_digest(packing.tokenizer, packing.prefixes)
    refuse_other_ids(manifests.values(), tokenizer, packing.prefixes)
    mesh = make_mesh()
    check_divides(config.packs, config.pack.pairs, mesh, config.micro_packs, config.pack.rows)
    encoder = make_encoder(config, base)
    encoder.config.check_inputs(
        vocabulary=packing.tokenizer.get_vocab_size(), longest=min(max(packing.max_tokens), config.pack.tokens)
    )
    graphdef, state = init_state(encoder, config)
    origin = make_origin(settings_of(config), mixture, manifests, batches=plan.content_hash, tokenizer=tokenizer)
    accepted = {"batches": accept_other_batches, "settings": accept_other_settings}
    state, start, measure = _latest(folder, replicate(state, mesh), origin, accepted)
    pooling = config.pooling or read_head(base).pooling
    names = [entry.name for entry in mixture.datasets]
    step_fn = jit_train_step(graphdef, make_optimizer(config), config, pooling, mesh, len(names))
    jax.eval_shape(step_fn, state, abstract_batch(config))  # what the step refuses is refused now
    evaluation = make_evaluation(
        config,
        graphdef,
        manifests.values(),
        tokenizer=packing.tokenizer,
        limit=min(max_length(base), config.pack.tokens),
        pooling=pooling,
    )
    # Scored before anything is written: a wrong metric is refused now, not when steps could be lost.
    scores = evaluation.score(state.params) if evaluation is not None and start < config.steps else {}
    folder.mkdir(parents=True, exist_ok=True)
    if not jax.process_index():
        write_config(folder, config)
        write_record(folder)
    meter = Meter(encoder.config, config.batch_size)
    recent: list[dict[str, jax.Array]] = []
    done = start
    with (
        clear_when_full(folder),
        stop_on_signal() as stopped,
        Checkpoints(
            folder / CHECKPOINTS_FOLDER, keep=config.keep_checkpoints, keep_best=config.keep_best
        ) as checkpoints,
        _telemetry(folder, config, start) as telemetry,
    ):
        if evaluation is not None and telemetry is not None:
            say_when_another(measure, evaluation)
            if scores and not start:
                telemetry.score(0, scores)
        batches = watch_stalls(_batches(plan, config, packing, start), config.stall_seconds, start)
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


def _latest(
    folder: Path, state: TrainState, origin: dict[str, Any], accepted: dict[str, bool]
) -> tuple[TrainState, int, str | None]:
    """The state of the run's latest checkpoint, its step and what scores were so far; without one, the state given.

    Nothing is made. Raises ValueError for a checkpoint of another origin, unless the difference is accepted.
    """
    # The hosts wait for each other here: before that none has made the folder.
    if not any_host((folder / CHECKPOINTS_FOLDER).is_dir()):
        return state, 0, None
    with Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True) as checkpoints:
        if (step := checkpoints.latest_step) is None:
            return state, 0, None
        refuse_other_origin(folder, origin, checkpoints.origin(step), accepted)
        state, _ = checkpoints.restore(state, step)
        return state, step, checkpoints.measure


def _batches(plan: BatchPlan, config: TrainConfig, packing: Packing, start: int) -> Iterator[Any]:
    if start >= config.steps:
        return iter(())
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
        prefixes=Prefixes(config.anchor_prefix, config.positive_prefix),
    )
