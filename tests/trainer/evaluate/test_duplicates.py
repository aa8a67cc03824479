"""Duplicates: formats, average precision, the best threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import placed
from sklearn.metrics import average_precision_score, f1_score

from trainer.evaluate.duplicates import average_precision, best_threshold, last_of_equals, read_duplicates

TABLES = {
    "quora.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta\tb\t1\n1\t3\t4\tc\td\t0\n",
    "bimpm.tsv": "1\ta\tb\t18\n0\tc\td\t19\n",
    "paws.tsv": "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t1\n2\tc\td\t0\n",
    "mrpc.txt": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n0\t5\t6\tc\td\n",
    "plain.csv": "a,b,1\nc,d,0\n",
    "true.csv": "text1,text2,duplicate\na,b,True\nc,d,false\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_each_format_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name])
    task = read_duplicates(tmp_path / name)
    assert (task.left, task.right, task.duplicate.tolist()) == (("a", "c"), ("b", "d"), [True, False])


@pytest.mark.parametrize(
    ("rows", "says"),
    [("a\tb\t1\nc\td\t1\n", "all alike"), ("a\tb\t2\n", "a label is 2"), ("a\tb\tperhaps\n", "label of row 1")],
)
def test_labels_that_are_no_labels_are_refused(tmp_path: Path, rows: str, says: str) -> None:
    (tmp_path / "a.tsv").write_text("sentence1\tsentence2\tlabel\n" + rows)
    with pytest.raises(ValueError, match=says):
        read_duplicates(tmp_path / "a.tsv")


def test_unlabelled_pairs_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("sentence1\tsentence2\tlabel\na\tb\t1\nx\ty\t\nc\td\t0\n")
    assert read_duplicates(tmp_path / "a.tsv").size == {"pairs": 2, "duplicates": 1, "unlabelled": 1}


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
        lambda r: any(y for _, y in r)
    )
)
def test_measures_are_those_of_sklearn_ties_included(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], np.float64)
    truth = np.array([label for _, label in rows], np.float64)
    order = np.argsort(-scores, kind="stable")
    ends = last_of_equals(scores[order])
    assert average_precision(truth[order], ends, np.ones(len(rows))) == pytest.approx(
        average_precision_score(truth, scores)
    )
    some = np.random.default_rng(len(rows)).integers(len(rows), size=len(rows))
    if truth[some].any():
        weights = np.bincount(some, minlength=len(rows))[order].astype(np.float64)
        expected = average_precision_score(truth[some], scores[some])
        assert average_precision(truth[order], ends, weights) == pytest.approx(expected)
    best, threshold = best_threshold(truth[order], scores[order], ends)
    every = [f1_score(truth, scores >= cut) for cut in set(scores.tolist())]
    assert best == pytest.approx(max(every)) == pytest.approx(f1_score(truth, scores >= threshold))


def test_the_threshold_lies_between_duplicates_and_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,1\na,c,0\na,d,0\n")
    contender = placed(a=[1, 0], b=[0.8, 0.6], c=[0.6, 0.8], d=[0, 1])
    scores = read_duplicates(tmp_path / "a.csv").evaluate(contender).scores
    assert scores == pytest.approx({"ap": 1.0, "f1": 1.0, "accuracy": 1.0, "threshold": 0.7})
