"""Texts with labels: can a simple classifier read the label off the vector, and do clusters follow it?"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, v_measure_score
from sklearn.model_selection import StratifiedKFold

from trainer.evaluate.files import read_columns, stem
from trainer.evaluate.nearest import nearest
from trainer.evaluate.similarity import unit_rows
from trainer.evaluate.task import Contender, Outcome

TEXT = ("text", "sentence", "utterance", "query", "title")
LABEL = ("label", "category", "intent", "class", "labels", "topic")
NEIGHBOURS = 5
FOLDS = 5
ITERATIONS = 1000
STARTS = 3


@dataclass(frozen=True)
class Labelled:
    """Texts and their labels, numbered from 0."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: int


@dataclass(frozen=True)
class ClassificationTask:
    """Accuracy and macro F1 of a logistic probe on frozen vectors, and accuracy of the five nearest neighbours.

    Where there is no training set, the probe is fitted on four fifths of the texts and asked about the rest, five
    times over, and a text's neighbours are all others.
    """

    name: str
    data: Labelled
    train: int = 0
    """How many of the texts, the first ones, are a training set of their own."""
    kind: str = "classification"
    needs_vectors: bool = True

    @property
    def size(self) -> Mapping[str, int]:
        sizes = {"texts": len(self.data.texts) - self.train, "classes": self.data.classes}
        return sizes | ({"training texts": self.train} if self.train else {})

    def evaluate(self, contender: Contender) -> Outcome:
        vectors = unit_rows(contender.vectors(self.data.texts)).astype(np.float32)
        vectors = sparse.csr_matrix(vectors) if sparse.issparse(vectors) else vectors
        labels = self.data.labels
        said = _probe(vectors, labels, self.train)
        truth = labels[self.train :]
        right = (said == truth).astype(np.float64)
        scores = {
            "accuracy": float(right.mean()),
            "macro f1": float(f1_score(truth, said, average="macro")),
            f"{NEIGHBOURS}-nn accuracy": float(np.mean(_neighbours(vectors, labels, self.train) == truth)),
        }
        return Outcome(scores, "accuracy", len(right), lambda some: float(right[some].mean()))


def _probe(vectors: Any, labels: NDArray[np.int64], train: int) -> NDArray[np.int64]:
    """What a logistic regression says of each text that is not in the training set."""

    def fit_and_say(known: NDArray[np.intp], asked: NDArray[np.intp]) -> NDArray[np.int64]:
        probe = LogisticRegression(max_iter=ITERATIONS, C=10.0)
        return probe.fit(vectors[known], labels[known]).predict(vectors[asked])

    if train:
        return fit_and_say(np.arange(train), np.arange(train, len(labels)))
    said = np.zeros_like(labels)
    for known, asked in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(np.zeros(len(labels)), labels):
        said[asked] = fit_and_say(known, asked)
    return said


def _neighbours(vectors: Any, labels: NDArray[np.int64], train: int) -> NDArray[np.int64]:
    """The label most of the nearest have; of equally frequent ones that of the nearest."""
    known = train or len(labels)
    found, _ = nearest(vectors[train:], vectors[:known], NEIGHBOURS + (not train))
    said = np.zeros(len(found), np.int64)
    for row, some in enumerate(found):
        some = some[:NEIGHBOURS] if train else some[some != row][:NEIGHBOURS]
        # most_common keeps the order of first sight, which is nearness.
        said[row] = Counter(labels[some].tolist()).most_common(1)[0][0]
    return said


@dataclass(frozen=True)
class ClusteringTask:
    """V-measure of k-means with as many clusters as there are labels."""

    name: str
    data: Labelled
    kind: str = "clustering"
    needs_vectors: bool = True

    @property
    def size(self) -> Mapping[str, int]:
        return {"texts": len(self.data.texts), "classes": self.data.classes}

    def evaluate(self, contender: Contender) -> Outcome:
        vectors = unit_rows(contender.vectors(self.data.texts)).astype(np.float32)
        vectors = sparse.csr_matrix(vectors) if sparse.issparse(vectors) else vectors
        labels = self.data.labels
        means = KMeans(self.data.classes, n_init=STARTS, random_state=0)  # pyright: ignore[reportArgumentType]
        with warnings.catch_warnings():
            # Fewer distinct vectors than labels are no error of the user's: there are fewer clusters.
            warnings.simplefilter("ignore", ConvergenceWarning)
            clusters = means.fit_predict(vectors)
        # Repeated texts share their cluster, which would raise the measure: nothing to resample.
        return Outcome({"v-measure": float(v_measure_score(labels, clusters))}, "v-measure", len(labels), None)


def read_classification(path: Path, *, name: str | None = None, columns: Sequence[str] = ()) -> ClassificationTask:
    """A table of texts and labels, or a folder with `train.*` and `test.*` tables."""
    if not path.is_dir():
        data = _number(path, _read(path, columns))
        if (fewest := int(np.bincount(data.labels).min())) < FOLDS:
            raise ValueError(f"{path}: a label has {fewest} texts; expected at least {FOLDS}, or a folder with train.*")
        return ClassificationTask(name or stem(path), data)
    files = {split: sorted(file for file in path.iterdir() if stem(file) == split) for split in ("train", "test")}
    for split, found in files.items():
        if len(found) != 1:
            said = ", ".join(file.name for file in found) or "none"
            raise ValueError(f"{path}: files of the {split} split: {said}; expected one called {split}.csv or the like")
    train, test = (_read(files[split][0], columns) for split in ("train", "test"))
    if unknown := sorted({label for _, label in test} - {label for _, label in train}):
        raise ValueError(f"{path}: label {unknown[0]!r} is in the test split alone; expected it in the train split too")
    return ClassificationTask(name or stem(path.resolve()), _number(path, [*train, *test]), len(train))


def read_clustering(path: Path, *, name: str | None = None, columns: Sequence[str] = ()) -> ClusteringTask:
    """A table of texts and labels."""
    return ClusteringTask(name or stem(path), _number(path, _read(path, columns)))


def _read(path: Path, columns: Sequence[str]) -> list[tuple[str, str]]:
    if columns and len(columns) != 2:
        raise ValueError(f"columns are {', '.join(columns)}; expected two: the text and its label")
    wanted = [[name] for name in columns] or [TEXT, LABEL]
    rows = [(text, label) for text, label in read_columns(path, *wanted) if text and label]
    if not rows:
        raise ValueError(f"{path}: no row has both a text and a label; expected some")
    return rows


def _number(path: Path, rows: Sequence[tuple[str, str]]) -> Labelled:
    classes, labels = np.unique([label for _, label in rows], return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"{path}: every label is {str(classes[0])!r}; expected at least two")
    return Labelled(tuple(text for text, _ in rows), labels.astype(np.int64), len(classes))
