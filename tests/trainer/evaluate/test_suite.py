"""Suites: files of tasks, and one call that scores them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made import WORDS, hashed_words

from trainer.evaluate.baselines import Bm25
from trainer.evaluate.suite import MEAN, SUITES, Suite, evaluate, load_suite, run_suite

SMALL = {
    "small-sts": ("spearman", {"pairs": 30}),
    "small-duplicates": ("ap", {"pairs": 24, "duplicates": 12}),
    "small-retrieval": ("ndcg@10", {"queries": 18, "candidates": 20}),
    "small-reranking": ("map", {"queries": 8, "candidates": 33}),
    "small-classification": ("accuracy", {"texts": 32, "classes": 4}),
    "small-clustering": ("v-measure", {"texts": 32, "classes": 4}),
}


@pytest.fixture(scope="module")
def small() -> Suite:
    return load_suite("small")


def test_the_small_suite_has_its_tasks(small: Suite) -> None:
    assert {task.name: task.size for task in small.tasks} == {name: size for name, (_, size) in SMALL.items()}


def test_a_run_of_a_suite_is_flat_scores_and_their_mean(small: Suite) -> None:
    scores = run_suite(small, hashed_words)
    assert all(isinstance(value, float) for value in scores.values())
    mains = [scores[f"{name}/{main}"] for name, (main, _) in SMALL.items()]
    assert scores[MEAN] == pytest.approx(sum(mains) / len(mains))
    assert scores == run_suite(small, hashed_words)
    assert scores != run_suite(small, hashed_words, similarity="dot")


def test_a_contender_without_vectors_is_left_out_where_they_are_needed(small: Suite) -> None:
    assert set(evaluate(small.tasks, Bm25())) == set(SMALL) - {"small-classification", "small-clustering"}
    assert set(evaluate(small.tasks, WORDS)) == set(SMALL)


def test_paths_start_at_the_suite_and_entries_name_tasks(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.csv").write_text("p,q,r\na,b,1\nc,d,2\n")
    entry = {"kind": "sts", "path": "files/a.csv", "columns": ["p", "q", "r"]}
    (tmp_path / "mine.json").write_text(json.dumps({"task": [entry, {**entry, "name": "again"}]}))
    found = load_suite(tmp_path / "mine.json")
    assert (found.name, [task.name for task in found.tasks]) == ("mine", ["a", "again"])
    text = '[[task]]\nkind = "sts"\npath = "files/a.csv"\ncolumns = ["p", "q", "r"]\n'
    (tmp_path / "mine.toml").write_text("\ufeff" + text, encoding="utf-8")
    [task] = load_suite(tmp_path / "mine.toml").tasks
    assert task.size == {"pairs": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task = 1", "no tasks; expected a list `task`"),
        ("[[task]]\nkind = 'sts'", "task 1 has kind; expected at least kind and path"),
        ("[[task]]\nkind = 'stars'\npath = 'a'", "is of kind 'stars'; expected one of sts, "),
        ("[[task]]\nkind = 'sts'\npath = 3", "task 1: path is 3; expected a str"),
        ("[[task]]\nkind = 'sts'\npath = 'a'\ncolumn = []", "task 1 has 'column'; expected kind, path, "),
        ("[[task", "cannot be read"),
        ("[[task]]\nkind = 'sts'\npath = 'a.csv'", "a.csv not found; expected an evaluation file"),
    ],
)
def test_a_suite_that_is_none_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises((ValueError, OSError), match=says) as raised:
        load_suite(tmp_path / "a.toml")
    assert "\n" not in str(raised.value)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = f"[[task]]\nkind = 'sts'\npath = '{SUITES / 'small' / 'sts.tsv'}'\n"
    (tmp_path / "a.toml").write_text(entry * 2)
    with pytest.raises(ValueError, match="two tasks are both called 'sts'"):
        load_suite(tmp_path / "a.toml")


def test_an_unknown_name_says_which_are_known() -> None:
    with pytest.raises(
        FileNotFoundError, match="nosuch: no such suite; expected a TOML or JSON file, or one of: small"
    ):
        load_suite("nosuch")
