"""What all evaluation shares: a contender that is scored, a task that scores it, and the outcome.

A contender is an encoder or a baseline without one (`contenders.py`); a task is one file or folder read
(`sts.py`, `retrieval.py`, …). They meet in the methods of `Contender` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.statistics import Resample


class Encode(Protocol):
    """A function from texts to vectors, such as `TextEncoder.encode` or that of sentence-transformers."""

    def __call__(self, texts: Sequence[str], /, *, prompt: str) -> NDArray[np.float32]:
        """float32[n, D], row i for text i with `prompt` before it."""
        ...


Ranking = tuple[NDArray[np.int64], NDArray[np.float64]]
"""int64[n, k] numbers of documents and float64[n, k] scores, the best first, k = min(depth, documents)."""


class Contender(Protocol):
    """What is scored."""

    @property
    def name(self) -> str: ...

    @property
    def has_vectors(self) -> bool:
        """Whether `vectors` may be called: BM25 scores pairs of texts and knows no vectors."""
        ...

    def similarities(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """float64[n]: how alike text i of one list is to text i of the other; more is more alike."""
        ...

    def rank(self, queries: Sequence[str], documents: Sequence[str], depth: int) -> Ranking:
        """The `depth` best documents for each query. Of equal scores the lower number comes first."""
        ...

    def score_lists(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """float64[k] for each query: how well each of its own k candidates belongs to it."""
        ...

    def vectors(self, texts: Sequence[str]) -> Any:
        """[n, D], dense or scipy.sparse, row i for text i; rows are compared by their cosine."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What one contender scored on one task."""

    scores: Mapping[str, float]
    """Name → value; shares and correlations as fractions (0.867, not 86.7)."""
    main: str
    """Which of the scores stands for the task: it is compared between contenders and picks checkpoints."""
    items: int
    """What a comparison resamples: pairs, queries, texts."""
    resample: Resample | None
    """The main score on the items whose numbers are given, repeats counted; None where repeats would distort it."""
    higher_is_better: bool = True
    """Of the main score; where not, no other score of the task says how good a contender is either."""
    no_quality: frozenset[str] = frozenset()
    """Scores of which neither more nor less is better, such as a threshold."""
    details: Any = None
    """What a task tells beyond scores: a dataclass that JSON can hold."""

    @property
    def picks(self) -> frozenset[str]:
        """The scores of which more is better: those that may pick a checkpoint."""
        return frozenset(self.scores) - self.no_quality if self.higher_is_better else frozenset()


class Task(Protocol):
    """One file or folder, read and checked, ready to score contenders."""

    @property
    def name(self) -> str:
        """Unique within a suite."""
        ...

    @property
    def kind(self) -> str:
        """Such as "sts" or "retrieval": a table is printed for each kind."""
        ...

    @property
    def size(self) -> Mapping[str, int]:
        """What is in it, such as {"pairs": 1500}."""
        ...

    @property
    def needs_vectors(self) -> bool:
        """Whether a contender without vectors has to be left out."""
        ...

    def evaluate(self, contender: Contender) -> Outcome:
        """Scores one contender. Deterministic."""
        ...


def mean_outcome(values: Mapping[str, NDArray[np.float64]], main: str) -> Outcome:
    """The outcome of a task whose scores are means of a value an item: {score: float64[items]}."""
    of_main = values[main]
    return Outcome(
        scores={name: float(of_one.mean()) for name, of_one in values.items()},
        main=main,
        items=len(of_main),
        resample=lambda some: float(of_main[some].mean()),
    )
