"""Semantic textual similarity: do similarities of pairs rise with what people said?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.files import lines, numbers, read_columns, read_rows, stem
from trainer.evaluate.similarity import pearson, spearman
from trainer.evaluate.task import Contender, Outcome

LEFT = ("sentence1", "sentence_A", "text1", "s1", "sent1", "sentence 1", "left", "anchor")
RIGHT = ("sentence2", "sentence_B", "text2", "s2", "sent2", "sentence 2", "right", "positive")
SCORE = ("score", "relatedness_score", "similarity_score", "similarity", "label", "gold", "rating")


@dataclass(frozen=True)
class StsTask:
    """Spearman's and Pearson's correlation of the similarities with the scores people gave."""

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: NDArray[np.float64]
    unscored: int = 0
    """Pairs left out since their score is blank."""
    kind: str = "sts"
    needs_vectors: bool = False

    @property
    def size(self) -> Mapping[str, int]:
        return {"pairs": len(self.left)} | ({"unscored": self.unscored} if self.unscored else {})

    def evaluate(self, contender: Contender) -> Outcome:
        found = contender.similarities(self.left, self.right)
        return Outcome(
            scores={"spearman": spearman(found, self.gold), "pearson": pearson(found, self.gold)},
            main="spearman",
            items=len(self.gold),
            resample=lambda some: spearman(found[some], self.gold[some]),
        )


def read_sts(path: Path, *, name: str | None = None, columns: Sequence[str] = ()) -> StsTask:
    """STS-B's file, SICK's, SemEval's `STS.input.*.txt` beside `STS.gs.*.txt` or a folder of them, or any table.

    A folder is one task of all its pairs, as SemEval's yearly sets are reported. `columns` names the two texts
    and the score where they have unusual names. Pairs with a blank score are left out and counted. Raises
    OSError or ValueError, in one line.
    """
    if path.is_dir():
        inputs = sorted(file for file in path.iterdir() if _is_semeval(file))
        if not inputs:
            raise FileNotFoundError(f"{path}: no STS.input.*.txt here; expected a file, or a folder of SemEval's")
        rows = [row for file in inputs for row in _read_semeval(file)]
    elif _is_semeval(path):
        rows = _read_semeval(path)
    else:
        rows = _read_table(path, columns)
    gold = numbers(path, [row[2] for row in rows], "score")
    scored = [row for row, value in zip(rows, gold, strict=True) if not np.isnan(value)]
    known = gold[~np.isnan(gold)]
    if len(known) < 2 or np.ptp(known) == 0:
        raise ValueError(f"{path}: {len(known)} scored pairs of {len(rows)}; expected at least two different scores")
    return StsTask(
        name or stem(path),
        tuple(row[0] for row in scored),
        tuple(row[1] for row in scored),
        known,
        len(rows) - len(known),
    )


def _read_table(path: Path, columns: Sequence[str]) -> list[list[str]]:
    if columns:
        if len(columns) != 3:
            raise ValueError(f"columns are {', '.join(columns)}; expected three: two texts and a score")
        return read_columns(path, *([name] for name in columns))
    if _is_stsb(path):
        return read_columns(path, ["6"], ["7"], ["5"])
    return read_columns(path, LEFT, RIGHT, SCORE)


def _is_stsb(path: Path) -> bool:
    """Whether a file is as STS-B was published: tabs, no header, the score in field 5, the sentences in 6 and 7."""
    if {".parquet", ".jsonl", ".json"} & set(path.suffixes):
        return False
    first = next(read_rows(path), [])
    return len(first) >= 7 and re.fullmatch(r"\s*\d+(\.\d*)?\s*|\s*", first[4]) is not None


def _is_semeval(path: Path) -> bool:
    return path.name.startswith("STS.input.") and path.is_file()


def _read_semeval(path: Path) -> list[list[str]]:
    """Pairs of an input file with the line of the gold file beside it, which is blank where nobody scored."""
    other = path.with_name(path.name.replace("STS.input.", "STS.gs.", 1))
    pairs = [line.rstrip("\n").split("\t") for line in lines(path)]
    scores = [line.strip() for line in lines(other)]
    if len(pairs) != len(scores):
        raise ValueError(f"{path} has {len(pairs)} lines and {other.name} {len(scores)}; expected as many")
    for number, pair in enumerate(pairs, start=1):
        if len(pair) < 2:
            raise ValueError(f"{path}: line {number} has no tab; expected two sentences")
    return [[pair[0].strip(), pair[1].strip(), score] for pair, score in zip(pairs, scores, strict=True)]
