"""Duplicate detection: are the pairs that mean the same the most similar ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.files import numbers, read_columns, read_rows, stem
from trainer.evaluate.sts import LEFT, RIGHT
from trainer.evaluate.task import Contender, Outcome

LABEL = ("is_duplicate", "label", "duplicate", "Quality", "paraphrase", "score")


@dataclass(frozen=True)
class DuplicatesTask:
    """Average precision, and the best F1 and accuracy that a threshold can have."""

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    duplicate: NDArray[np.bool_]
    unlabelled: int = 0
    """Pairs left out since their label is blank."""
    kind: str = "duplicates"
    needs_vectors: bool = False

    @property
    def size(self) -> Mapping[str, int]:
        sizes = {"pairs": len(self.left), "duplicates": int(self.duplicate.sum())}
        return sizes | ({"unlabelled": self.unlabelled} if self.unlabelled else {})

    def evaluate(self, contender: Contender) -> Outcome:
        found = contender.similarities(self.left, self.right)
        order = np.argsort(-found, kind="stable")
        labels = self.duplicate[order].astype(np.float64)
        ends = last_of_equals(found[order])
        ones = np.ones(len(found))

        def resample(some: NDArray[np.intp]) -> float:
            return average_precision(labels, ends, np.bincount(some, minlength=len(order))[order].astype(np.float64))

        best_f1, threshold = best_threshold(labels, found[order], ends)
        said = np.cumsum(labels)[ends] + np.sum(1 - labels) - np.cumsum(1 - labels)[ends]
        accuracy = max(float(said.max()), float(np.sum(1 - labels))) / len(labels)
        scores = {"ap": average_precision(labels, ends, ones), "f1": best_f1, "accuracy": accuracy}
        scores["threshold"] = threshold
        return Outcome(scores, "ap", len(found), resample, no_quality=frozenset({"threshold"}))


def last_of_equals(falling: NDArray[np.float64]) -> NDArray[np.intp]:
    """The place of the last of each run of equal values: a threshold cannot cut between equals."""
    return np.append(np.nonzero(np.diff(falling))[0], len(falling) - 1)


def average_precision(labels: NDArray[np.float64], ends: NDArray[np.intp], weights: NDArray[np.float64]) -> float:
    """Σ (recall gained at a threshold × precision there), of labels in falling order of their scores.

    0 where no weight is on a positive label.
    """
    right = np.cumsum(labels * weights)[ends]
    said = np.cumsum(weights)[ends]
    if right[-1] == 0:
        return 0.0
    precision = right / np.maximum(said, 1)
    return float(np.sum(np.diff(right, prepend=0.0) * precision) / right[-1])


def best_threshold(
    labels: NDArray[np.float64], falling: NDArray[np.float64], ends: NDArray[np.intp]
) -> tuple[float, float]:
    """(best F1, threshold): half-way between the last score that is called a duplicate and the next."""
    right = np.cumsum(labels)[ends]
    f1 = 2 * right / (ends + 1 + labels.sum())
    best = int(np.argmax(f1))
    after = falling[min(ends[best] + 1, len(falling) - 1)]
    return float(f1[best]), float((falling[ends[best]] + after) / 2)


def read_duplicates(path: Path, *, name: str | None = None, columns: Sequence[str] = ()) -> DuplicatesTask:
    """A table of two texts and whether they are duplicates (0 or 1): Quora's, PAWS, MRPC, or any with `columns`.

    A file without a header is read as (label, text, text) or (text, text, label), whichever its first row is.
    Raises OSError or ValueError, in one line.
    """
    if columns:
        if len(columns) != 3:
            raise ValueError(f"columns are {', '.join(columns)}; expected three: two texts and a label")
        rows = read_columns(path, *([name] for name in columns))
    elif places := _without_header(path):
        rows = read_columns(path, *([place] for place in places))
    else:
        rows = read_columns(path, ("question1", "#1 String", *LEFT), ("question2", "#2 String", *RIGHT), LABEL)
    words = {"true": "1", "false": "0", "duplicate": "1", "yes": "1", "no": "0"}
    labels = numbers(path, [words.get(row[2].lower(), row[2]) for row in rows], "label")
    known = ~np.isnan(labels)
    if unknown := sorted(set(labels[known]) - {0.0, 1.0}):
        raise ValueError(f"{path}: a label is {unknown[0]:g}; expected 0 or 1")
    rows = [row for row, some in zip(rows, known, strict=True) if some]
    duplicate = labels[known] == 1
    if duplicate.all() or not duplicate.any():
        raise ValueError(f"{path}: {len(rows)} labelled pairs, all alike; expected both 0 and 1")
    left, right = tuple(row[0] for row in rows), tuple(row[1] for row in rows)
    return DuplicatesTask(name or stem(path), left, right, duplicate, int(np.sum(~known)))


def _without_header(path: Path) -> tuple[str, str, str] | None:
    if {".parquet", ".jsonl", ".json"} & set(path.suffixes):
        return None
    first = [field.strip() for field in next(read_rows(path), [])]
    if len(first) >= 3 and first[0] in ("0", "1"):
        return "2", "3", "1"
    return ("1", "2", "3") if len(first) >= 3 and first[2] in ("0", "1") else None
