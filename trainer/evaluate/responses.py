"""Response selection as PolyAI published it: is the true response the first of a hundred?

1-of-100 accuracy: examples go in batches of 100, and each context has to find its own response among the
responses of its batch (Henderson et al., "A Repository of Conversational Datasets", 2019).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.manifest import Manifest, find_manifests
from trainer.evaluate.files import read_columns, stem
from trainer.evaluate.held_out import held_out_pairs
from trainer.evaluate.task import Contender, Outcome

BATCH = 100
BATCHES = 500


@dataclass(frozen=True)
class ResponsesTask:
    """1-of-100 accuracy."""

    name: str
    contexts: tuple[str, ...]
    responses: tuple[str, ...]
    """As many, a multiple of 100."""
    kind: str = "responses"
    needs_vectors: bool = False

    @property
    def size(self) -> Mapping[str, int]:
        return {"examples": len(self.contexts)}

    def evaluate(self, contender: Contender) -> Outcome:
        batches = [self.responses[start : start + BATCH] for start in range(0, len(self.responses), BATCH)]
        scores = contender.score_lists(self.contexts, [batches[n // BATCH] for n in range(len(self.contexts))])
        # Another response with as good a score is no success: the published argmax sees only one of them.
        right = np.array([_is_first(some, n % BATCH) for n, some in enumerate(scores)], np.float64)
        return Outcome(
            {"1-of-100": float(right.mean())}, "1-of-100", len(right), lambda some: float(right[some].mean())
        )


def _is_first(scores: np.ndarray, own: int) -> bool:
    return int(np.argmax(scores)) == own


def read_responses(path: Path, *, name: str | None = None, columns: Sequence[str] = ()) -> list[ResponsesTask]:
    """The held-out pairs of our datasets, or a table of contexts and responses, which are shuffled.

    At most 500 batches, as published. Raises OSError or ValueError, in one line.
    """
    if path.is_dir():
        return [_task(manifest.dataset, manifest) for manifest in map(Manifest.load, find_manifests(path))]
    if columns and len(columns) != 2:
        raise ValueError(f"columns are {', '.join(columns)}; expected two: the context and the response")
    wanted = [[name] for name in columns] or [("context", "anchor", "question"), ("response", "positive", "answer")]
    rows = [(context, response) for context, response in read_columns(path, *wanted)]
    random.Random(0).shuffle(rows)
    return [_cut(name or stem(path), str(path), rows)]


def _task(name: str, manifest: Manifest) -> ResponsesTask:
    pairs = []
    for pair in held_out_pairs(manifest):
        pairs.append((pair.anchor, pair.positive))
        if len(pairs) == BATCH * BATCHES:
            break
    return _cut(name, manifest.folder, pairs)


def _cut(name: str, where: str, pairs: Sequence[tuple[str, str]]) -> ResponsesTask:
    count = min(len(pairs) // BATCH, BATCHES) * BATCH
    if not count:
        raise ValueError(f"{where}: {len(pairs)} pairs; expected at least {BATCH}, one batch")
    contexts, responses = zip(*pairs[:count], strict=True)
    return ResponsesTask(name, contexts, responses)
