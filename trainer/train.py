"""A run: batches in, checkpoints out. The only file of the trainer that knows the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from reader.plan import BatchPlan, host_rows, load_manifests, plan_batches
from reader.stream import Packing, stream_batches
from schemas.batch import Batch
from schemas.lock import locked
from schemas.mixture import Mixture
from schemas.tokens import Prefixes, load_tokenizer, max_length, tokenizer_digest
from trainer.checkpoint import CHECKPOINTS_FOLDER, Checkpoints
from trainer.checkpoint_scores import Evaluation, make_evaluation, say_when_another
from trainer.config import TrainConfig
from trainer.encoders.config import EncoderConfig
from trainer.encoders.fetch import IN_A_RUN, resolve_encoder
from trainer.encoders.head import read_head
from trainer.encoders.transformer import Encoder
from trainer.encoders.weights import init_encoder, load_encoder
from trainer.guards import clear_when_full, report_skipped, watch_stalls
from trainer.mesh import any_host, check_divides, join_hosts, make_mesh, replicate, shard_batch
from trainer.meter import Meter
from trainer.origin import digest_of, make_origin, refuse_other_ids, refuse_other_origin
from trainer.record import write_record
from trainer.run_folder import refuse_other_settings, settings_of, write_config
from trainer.step import Metrics, TrainState, abstract_batch, init_state, jit_train_step, make_optimizer
from trainer.stopping import stop_on_signal
from trainer.telemetry import Telemetry
from trainer.window import Window, means_of


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

    SIGINT and SIGTERM end it after the step under way, with a checkpoint and without the evaluation that may be due,
    and at once when they come again; where several hosts run it (see `trainer.mesh.join_hosts`), after the next step
    that is logged, all of them. Raises ValueError when the folder holds a run with other settings or other data;
    `accept_other_batches` goes on with another mixture or other data, `accept_other_settings` with another config,
    tokenizer or encoder. Raises ValueError, too, when the data ends before the run's last step, and FileExistsError
    while another process trains there. A call that is refused leaves the folder as it was, or absent.
    Raises RuntimeError after too many updates that were not finite and OSError when the disk is full (see
    `trainer.guards`).
    """
    join_hosts()
    folder = Path(folder)
    # Of several hosts, which share the folder, the first one holds it.
    with nullcontext() if jax.process_index() else locked(str(folder)):
        prepared, state = _prepare(config, folder, {"batches": accept_other_batches, "settings": accept_other_settings})
        done = _run(config, folder, prepared, state)
    return Trained(done, prepared.start, done < config.steps, first_host=not jax.process_index())


@dataclass(frozen=True)
class _Prepared:
    """A run that nothing refuses, before its first step."""

    plan: BatchPlan
    packing: Packing
    mesh: Mesh
    encoder: EncoderConfig
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    origin: dict[str, Any]
    evaluation: Evaluation | None
    start: int
    """Steps done."""
    measured: str | None
    """What the scores so far are scores of."""
    scores: dict[str, float]
    """Of the encoder before its first step."""


@dataclass(frozen=True)
class _Earlier:
    """The run's latest checkpoint."""

    step: int
    origin: dict[str, Any]
    measured: str | None


def _prepare(config: TrainConfig, folder: Path, accepted: dict[str, bool]) -> tuple[_Prepared, TrainState]:
    """All that could refuse the run, done before anything is written, and the state it starts from."""
    mixture = _load_mixture(config)
    earlier = _earlier(folder)
    if earlier is not None:
        if not accepted["settings"]:
            refuse_other_settings(folder, settings_of(config), earlier.origin["settings"])
        if earlier.step > config.steps:
            raise ValueError(f"{folder} holds {earlier.step:,} steps, more than steps={config.steps}; set more")
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
    pooling = config.pooling or read_head(base).pooling
    origin = make_origin(
        settings_of(config),
        mixture,
        manifests,
        batches=plan.content_hash,
        tokenizer=tokenizer,
        encoder=digest_of([asdict(encoder.config), pooling]),
    )
    graphdef, state = init_state(encoder, config)
    state = replicate(state, mesh)
    if earlier is not None:
        refuse_other_origin(folder, origin, earlier.origin, accepted)
        with Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True) as checkpoints:
            state, _ = checkpoints.restore(state, earlier.step)
    step = jit_train_step(graphdef, make_optimizer(config), config, pooling, mesh, len(mixture.datasets))
    jax.eval_shape(step, state, abstract_batch(config))  # what the step refuses is refused now
    evaluation = make_evaluation(
        config,
        graphdef,
        manifests.values(),
        tokenizer=packing.tokenizer,
        limit=min(max_length(base), config.pack.tokens),
        pooling=pooling,
    )
    start, measured = (earlier.step, earlier.measured) if earlier is not None else (0, None)
    scores = {}
    if evaluation is not None and start < config.steps and measured != evaluation.measure:
        # Scored before anything is written: a wrong metric is refused now, not when steps could be lost.
        scores = evaluation.score(state.params)
    prepared = _Prepared(
        plan, packing, mesh, encoder.config, step, origin, evaluation, start, measured, {} if start else scores
    )
    return prepared, state


def _earlier(folder: Path) -> _Earlier | None:
    """Nothing is made."""
    # The hosts wait for each other here: before that none has made the folder of checkpoints.
    if not any_host((folder / CHECKPOINTS_FOLDER).is_dir()):
        return None
    with Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True) as checkpoints:
        if (step := checkpoints.latest_step) is None:
            return None
        return _Earlier(step, checkpoints.origin(step), checkpoints.measure)


def _run(config: TrainConfig, folder: Path, prepared: _Prepared, state: TrainState) -> int:
    """The steps that are left, or those until the run is asked to stop; how many are done."""
    folder.mkdir(parents=True, exist_ok=True)
    if not jax.process_index():
        write_config(folder, config)
        write_record(folder)
    evaluation, done = prepared.evaluation, prepared.start
    meter = Meter(prepared.encoder, config.batch_size)
    window = Window(prepared.plan.names)
    with (
        clear_when_full(folder),
        stop_on_signal() as stopped,
        Checkpoints(
            folder / CHECKPOINTS_FOLDER, keep=config.keep_checkpoints, keep_best=config.keep_best
        ) as checkpoints,
        _telemetry(folder, config, done) as telemetry,
    ):
        if evaluation is not None and telemetry is not None:
            say_when_another(prepared.measured, evaluation)
            if prepared.scores:
                telemetry.score(0, prepared.scores)
        batches = _batches(prepared.plan, config, prepared.packing, done)
        for batch in meter.watch(watch_stalls(batches, config.stall_seconds, done)):
            state, metrics = prepared.step(state, shard_batch(batch, prepared.mesh))
            window.add(metrics)
            done += 1
            last = _asked_to_stop(stopped, done, config)
            # Who asks it to stop may not wait for an evaluation.
            scored = evaluation is not None and not last and _every(config.evaluation.every, done, config)
            saved = last or scored or _every(config.checkpoint_every, done, config)
            if not saved and done % config.log_every:
                if telemetry is not None:
                    telemetry.advance(done)
                continue
            # The one place where the host waits for the devices: at lines of the log, of which a checkpoint ends one,
            # so that a run that goes on from it writes the same lines.
            history, of_datasets = window.close()
            means = means_of(history) | meter.read()
            scores = evaluation.score(state.params, _give_up_when(stopped)) if evaluation and scored else {}
            if telemetry is not None:
                telemetry.log(done, means, of_datasets, scores)
            report_skipped(config, done - len(history), history)
            meter.restart()
            last = last or _asked_to_stop(stopped, done, config)
            if saved or last:
                score, measure = scores.get(config.evaluation.metric), evaluation.measure if evaluation else ""
                checkpoints.save(state, done, prepared.origin, score=score, measure=measure)
            if last:
                break
    return done


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


def _every(steps: int, done: int, config: TrainConfig) -> bool:
    return done % steps == 0 or done == config.steps


def _give_up_when(stopped: list[int]) -> Callable[[], bool]:
    """Whether an evaluation is to end without scores; hosts, which must do the same, all go through with it."""
    return lambda: bool(stopped) and jax.process_count() == 1


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
