"""Classification and clustering of texts with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made import WORDS

from trainer.evaluate.baselines import TfIdf
from trainer.evaluate.labelled import read_classification, read_clustering
from trainer.evaluate.suite import SUITES
from trainer.evaluate.vector_contender import VectorContender

SMALL = SUITES / "small" / "labelled.csv"


def topics(path: Path, each: int, *, start: int = 0) -> Path:
    rows = [f"word{topic} word{topic} other{start + n},{topic}" for topic in "abc" for n in range(each)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("utterance,intent\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("contender", [WORDS, TfIdf()], ids=lambda contender: contender.name)
def test_labels_that_words_tell_are_found(tmp_path: Path, contender) -> None:
    path = topics(tmp_path / "a.csv", 12)
    assert read_clustering(path).evaluate(contender).scores == {"v-measure": pytest.approx(1)}
    task = read_classification(path)
    assert task.size == {"texts": 36, "classes": 3}
    assert set(task.evaluate(contender).scores.values()) == {1.0}


def test_labels_that_vectors_do_not_tell_are_guessed(tmp_path: Path) -> None:
    def encode(texts, *, prompt):
        return np.random.default_rng(0).standard_normal((len(texts), 8)).astype("f")

    noise = VectorContender("noise", encode)
    scores = read_classification(topics(tmp_path / "a.csv", 40)).evaluate(noise).scores
    assert all(0.15 < value < 0.5 for value in scores.values())
    assert read_clustering(tmp_path / "a.csv").evaluate(noise).scores["v-measure"] < 0.2


def test_a_training_set_of_its_own_is_fitted_on_and_not_scored(tmp_path: Path) -> None:
    topics(tmp_path / "intents/train.csv", 8)
    topics(tmp_path / "intents/test.csv", 3, start=8)
    task = read_classification(tmp_path / "intents")
    assert task.name == "intents"
    assert task.size == {"texts": 9, "classes": 3, "training texts": 24}
    outcome = task.evaluate(WORDS)
    assert outcome.items == 9 and outcome.scores["accuracy"] == 1


def test_scores_repeat() -> None:
    for read in (read_classification, read_clustering):
        assert read(SMALL).evaluate(WORDS).scores == read(SMALL).evaluate(WORDS).scores


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("text,label\na,x\nb,x\n", "every label is 'x'"),
        ("text,label\na,\n,y\n", "no row has both a text and a label"),
        ("text,label\n" + "a,x\n" * 9 + "b,y\n" * 4 + "c,z\n" * 2, "a label has 2 texts; expected at least 5"),
        ("body,kind\na,x\n", "columns are body, kind; expected one called text"),
    ],
)
def test_labels_that_cannot_be_learnt_are_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_classification(tmp_path / "a.csv")


def test_a_folder_wants_both_splits_and_known_labels(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,x\nb,y\n")
    with pytest.raises(ValueError, match="files of the test split: none"):
        read_classification(tmp_path)
    (tmp_path / "test.csv").write_text("text,label\na,z\n")
    with pytest.raises(ValueError, match="label 'z' is in the test split alone"):
        read_classification(tmp_path)
