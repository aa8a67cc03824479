"""Bitext mining: is a sentence's translation the nearest of all sentences of the other language?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from trainer.evaluate.files import lines, read_columns, read_rows, stem
from trainer.evaluate.task import Contender, Outcome

FORTH, BACK = "accuracy →", "accuracy ←"


@dataclass(frozen=True)
class BitextTask:
    """Accuracy of the nearest in both directions, and the weighted F1 of the first direction."""

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    kind: str = "bitext"
    needs_vectors: bool = False

    @property
    def size(self) -> Mapping[str, int]:
        return {"pairs": len(self.left)}

    def evaluate(self, contender: Contender) -> Outcome:
        own = np.arange(len(self.left))
        found = contender.rank(self.left, self.right, 1)[0][:, 0]
        forth, back = found == own, contender.rank(self.right, self.left, 1)[0][:, 0] == own
        both = (forth.astype(np.float64) + back) / 2
        scores = {
            "accuracy": float(both.mean()),
            FORTH: float(forth.mean()),
            BACK: float(back.mean()),
            "f1": float(f1_score(own, found, average="weighted")),
        }
        return Outcome(scores, "accuracy", len(own), lambda some: float(both[some].mean()))


def read_bitext(
    path: Path, *, other: Path | None = None, name: str | None = None, columns: Sequence[str] = ()
) -> BitextTask:
    """Two files whose lines belong together, or one table of two columns (by name, else the first two).

    Pairs with an empty side are left out. Raises OSError or ValueError, in one line.
    """
    if other is not None:
        left, right = ([line.strip() for line in lines(file)] for file in (path, other))
        if len(left) != len(right):
            raise ValueError(f"{path} has {len(left)} lines and {other} {len(right)}; expected as many")
        rows = [[*pair] for pair in zip(left, right, strict=True)]
    elif columns:
        if len(columns) != 2:
            raise ValueError(f"columns are {', '.join(columns)}; expected two: the sides of the bitext")
        rows = read_columns(path, *([name] for name in columns))
    elif {".jsonl", ".json", ".parquet"} & set(path.suffixes):
        rows = read_columns(path, ("sentence1", "source", "left"), ("sentence2", "target", "right"))
    else:
        rows = [[field.strip() for field in row[:2]] for row in read_rows(path)]
        if any(len(row) < 2 for row in rows):
            raise ValueError(f"{path}: a row has one field; expected two, or a second file with the other language")
    rows = [row for row in rows if all(row)]
    if len(rows) < 2:
        raise ValueError(f"{path}: {len(rows)} pairs; expected at least two")
    return BitextTask(name or stem(path), tuple(row[0] for row in rows), tuple(row[1] for row in rows))
