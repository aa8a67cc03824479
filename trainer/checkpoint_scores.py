"""Scores of an encoder while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from tokenizers import Tokenizer

from schemas.manifest import Manifest
from schemas.pair import TEST
from trainer.config import TrainConfig
from trainer.encode import TextEncoder
from trainer.evaluate.suite import Suite, TaskSpec, load_suite, open_tasks, run_suite
from trainer.pooling import Pooling

Evaluate = Callable[[Any], dict[str, float]]
"""An encoder's parameters → {score: value}."""


def make_evaluation(
    config: TrainConfig,
    graphdef: nnx.GraphDef,
    manifests: Iterable[Manifest],
    *,
    tokenizer: Tokenizer,
    limit: int,
    pooling: Pooling,
) -> Evaluate | None:
    """How the run's encoder is scored; None for a run that is not.

    Raises ValueError or OSError, in one line, when the suite cannot be read, nothing is held out, or no score
    has the name that the config picks by (found on the untrained parameters' first evaluation).
    """
    options = config.evaluation
    if not options.every:
        return None
    suite = load_suite(options.suite) if options.suite else _held_out(config, manifests)

    def evaluate(params: Any) -> dict[str, float]:
        # A host's own copy: the run's lies on the devices of all hosts.
        local = jax.tree.map(lambda array: np.asarray(array.addressable_data(0)), params)
        encoder: Any = nnx.merge(graphdef, local)
        cosine = config.loss.similarity == "cosine"
        texts = TextEncoder(encoder, tokenizer, limit=limit, pooling=pooling, unit_length=cosine)
        scores = run_suite(suite, texts.encode, similarity=config.loss.similarity)
        if options.metric not in scores:
            raise ValueError(f"evaluation.metric is {options.metric!r}; expected one of {', '.join(sorted(scores))}")
        return {name: value for name, value in scores.items() if math.isfinite(value)}

    return evaluate


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
