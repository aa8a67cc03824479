"""Scores of an encoder while it trains, by which the best of its checkpoints is kept."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx
from tokenizers import Tokenizer

from schemas.manifest import Manifest
from schemas.pair import TEST
from trainer.config import TrainConfig
from trainer.encode import TextEncoder
from trainer.encoders.head import Head
from trainer.encoders.settings import Prompts
from trainer.evaluate.suite import Suite, TaskSpec, evaluate, load_suite, open_tasks, picks_of, scores_of
from trainer.evaluate.vector_contender import VectorContender
from trainer.guards import say
from trainer.origin import digest_of
from trainer.pooling import Pooling


class Score(Protocol):
    """A run's way to score an encoder."""

    def __call__(self, params: Any, give_up: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """An encoder's parameters → {score: value}; none when `give_up`, asked after each batch, says so."""
        ...


class _GivenUpError(Exception):
    """An evaluation is not to be finished."""


@dataclass(frozen=True)
class Evaluation:
    """How a run's encoder is scored."""

    score: Score
    measure: str
    """What its best checkpoint is told by, in words: scores are comparable where these are the same."""


def make_evaluation(
    config: TrainConfig,
    graphdef: nnx.GraphDef,
    manifests: Iterable[Manifest],
    *,
    tokenizer: Tokenizer,
    limit: int,
    pooling: Pooling,
) -> Evaluation | None:
    """How the run's encoder is scored; None for a run that is not.

    Raises ValueError or OSError, in one line, when the suite cannot be read, nothing is held out, or the score that
    the config picks by is none of the suite's or one of which more is not better (found by the first evaluation).
    """
    options = config.evaluation
    if not options.every:
        return None
    suite = load_suite(options.suite) if options.suite else _held_out(config, manifests)

    prompts = Prompts.of_sides({"query": config.anchor_prefix, "document": config.positive_prefix})

    def score(params: Any, give_up: Callable[[], bool] = lambda: False) -> dict[str, float]:
        # A host's own copy: the run's lies on the devices of all hosts.
        local = jax.tree.map(lambda array: np.asarray(array.addressable_data(0)), params)
        encoder: Any = nnx.merge(graphdef, local)
        cosine = config.loss.similarity == "cosine"
        texts = TextEncoder(encoder, tokenizer, limit=limit, head=Head(pooling, cosine))

        def check(done: int) -> None:
            if give_up():
                raise _GivenUpError

        encode = functools.partial(texts.encode, progress=check)
        try:
            outcomes = evaluate(suite.tasks, VectorContender("encoder", encode, config.loss.similarity, prompts))
        except _GivenUpError:
            return {}
        scores, picks = scores_of(outcomes), picks_of(outcomes)
        if options.metric not in picks:
            why = ", of which more is not better" if options.metric in scores else ""
            known = ", ".join(sorted(picks)) or "a suite with a task where more is better"
            raise ValueError(f"evaluation.metric is {options.metric!r}{why}; expected one of {known}")
        return {name: value for name, value in scores.items() if math.isfinite(value)}

    tasks = digest_of([(task.kind, task.name, dict(task.size)) for task in suite.tasks])
    return Evaluation(score, f"{options.metric} of {suite.name} ({tasks[:8]})")


def say_when_another(before: str | None, evaluation: Evaluation) -> None:
    """One line where a run goes on whose scores so far, `before` naming their measure, were of another."""
    if before is not None and before != evaluation.measure:
        say(
            f"the best checkpoint was told by {before}, now by {evaluation.measure}: these are not compared; "
            "the best so far goes when the first of the new scores is there"
        )


def _held_out(config: TrainConfig, manifests: Iterable[Manifest]) -> Suite:
    """Retrieval on the held-out pairs of the run's own datasets."""
    tested = [manifest for manifest in manifests if manifest.kind == "text" and manifest.records(TEST)]
    if not tested:
        raise ValueError(
            f"{config.data}: no dataset of texts holds pairs out to evaluate on; preprocess with --test-fraction 0.1, "
            "name files with --set evaluation.suite=FILE, or switch it off with --set evaluation.every=0"
        )
    specs = [TaskSpec("retrieval", Path(one.folder), candidates=config.evaluation_queries) for one in tested]
    return Suite("held out", open_tasks(specs))
