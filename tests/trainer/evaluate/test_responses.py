"""1-of-100 response selection."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora import topic_pairs, write_dataset
from made import WORDS

from schemas.pair import Pair
from trainer.evaluate.baselines import Bm25, TfIdf
from trainer.evaluate.responses import read_responses


def rare_pairs(count: int) -> list[Pair]:
    return [Pair("d", f"question about subject{n}", f"an answer on subject{n}", group=str(n)) for n in range(count)]


@pytest.mark.parametrize("contender", [WORDS, Bm25(), TfIdf()], ids=lambda contender: contender.name)
def test_what_shares_a_rare_word_is_selected(tmp_path: Path, contender) -> None:
    write_dataset(tmp_path / "d", "d", {"test": rare_pairs(250)})
    [task] = read_responses(tmp_path)
    assert (task.name, task.size) == ("d", {"examples": 200})
    assert task.evaluate(contender).scores["1-of-100"] > 0.9


def test_one_in_a_hundred_is_right_by_chance(tmp_path: Path) -> None:
    pairs = [Pair("d", f"alpha{n}", f"beta{n}", group=str(n)) for n in range(1000)]
    write_dataset(tmp_path / "d", "d", {"test": pairs})
    [task] = read_responses(tmp_path)
    assert task.evaluate(WORDS).scores["1-of-100"] < 0.03
    # Without a word in common every response scores nought, and the first of each batch is chosen.
    assert task.evaluate(Bm25()).scores["1-of-100"] == 0.01


def test_the_batches_of_a_table_are_shuffled_with_a_fixed_seed(tmp_path: Path) -> None:
    rows = "".join(f'{{"context": "c{n}", "response": "r{n}"}}\n' for n in range(150))
    (tmp_path / "a.jsonl").write_text(rows)
    [task], [again] = read_responses(tmp_path / "a.jsonl"), read_responses(tmp_path / "a.jsonl")
    assert task == again and task.contexts[:5] != tuple(f"c{n}" for n in range(5))
    assert [text[1:] for text in task.contexts] == [text[1:] for text in task.responses]


def test_fewer_than_a_batch_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", "d", {"train": topic_pairs("d", 50, 1), "test": topic_pairs("d", 99, 2)})
    with pytest.raises(ValueError, match=r"\d+ pairs; expected at least 100"):
        read_responses(tmp_path)
