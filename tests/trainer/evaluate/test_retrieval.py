"""Retrieval: held-out pairs, the ranking, the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import topic_pairs, write_dataset
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from schemas.pair import Pair
from trainer.evaluate import nearest as search
from trainer.evaluate.baselines import Bm25
from trainer.evaluate.held_out import held_out_collection
from trainer.evaluate.nearest import nearest
from trainer.evaluate.retrieval import RetrievalTask, read_retrieval
from trainer.evaluate.retrieval_files import Collection
from trainer.evaluate.vector_contender import VectorContender


def collection(*relevant: dict[int, int] | set[int], documents: int = 12, same: tuple[int | None, ...] = ()):
    graded = tuple(one if isinstance(one, dict) else dict.fromkeys(one, 1) for one in relevant)
    queries = tuple(f"query {n}" for n in range(len(relevant)))
    return Collection("made", queries, tuple(f"document {n}" for n in range(documents)), graded, same=same)


class FixedRanking(VectorContender):
    def __init__(self, *rows: list[int]):
        super().__init__("fixed", lambda texts, prompt: np.zeros((len(texts), 1), np.float32))
        self.__dict__["rows"] = rows

    def rank(self, queries, documents, depth):
        found = np.array(self.__dict__["rows"], np.int64)[:, :depth]
        return found, np.zeros(found.shape)


def scores(task: Collection, *rows: list[int]) -> dict[str, float]:
    return dict(RetrievalTask(task).evaluate(FixedRanking(*rows)).scores)


def test_scores_are_those_of_a_hand_computation() -> None:
    # First query: its document at rank 1. Second: at rank 3 of 10. Third: not among the ten, but eleventh.
    found = scores(
        collection({4}, {7}, {11}),
        [4, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10],
        [0, 1, 7, 2, 3, 4, 5, 6, 8, 9, 10],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11],
    )
    assert found["mrr@10"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(4) + 0) / 3)
    assert found["recall@10"] == pytest.approx(2 / 3)
    assert found["recall@100"] == 1
    assert found["map"] == pytest.approx((1 + 1 / 3 + 1 / 11) / 3)


def test_every_paired_document_counts_as_right() -> None:
    found = scores(collection({0, 5}), [1, 5, 2, 0, 3, 4, 6, 7, 8, 9])
    assert found["mrr@10"] == pytest.approx(1 / 2)
    assert found["recall@10"] == 1
    assert found["ndcg@10"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3)))


def test_a_higher_grade_gains_more_and_grade_nought_is_wrong() -> None:
    found = scores(collection({0: 1, 1: 3, 2: 0}), [2, 1, 0, 3])
    assert found["ndcg@10"] == pytest.approx((3 / np.log2(3) + 1 / np.log2(4)) / (3 + 1 / np.log2(3)))
    assert found["mrr@10"] == pytest.approx(1 / 2)


def test_a_missing_document_cannot_be_found() -> None:
    assert scores(collection({0: 1, -1: 1}), [0, 1, 2])["recall@10"] == pytest.approx(1 / 2)


def test_the_query_itself_is_not_ranked() -> None:
    assert scores(collection({1}, same=(0,)), [0, 1, 2])["mrr@10"] == 1
    assert scores(collection({1}), [0, 1, 2])["mrr@10"] == pytest.approx(1 / 2)


def test_equal_scores_are_ranked_as_the_ranking_has_them() -> None:
    assert scores(collection({9}), [9, 0, 1, 2, 3, 4, 5, 6, 7, 8])["mrr@10"] == 1


def test_equal_texts_are_one_text(tmp_path: Path) -> None:
    pairs = [
        Pair("d", "Read a file", "def read(): ..."),
        Pair("d", "read  a FILE", "def load(): ..."),
        Pair("d", "Open it", "DEF READ(): ..."),
    ]
    manifest = write_dataset(tmp_path / "d", "d", {"test": pairs})
    task = held_out_collection(manifest, 100)
    assert (len(task.queries), len(task.documents)) == (2, 2)
    by_query = {
        query.lower().replace("  ", " "): {task.documents[n].lower() for n in relevant}
        for query, relevant in zip(task.queries, task.relevant, strict=True)
    }
    assert by_query == {
        "read a file": {"def read(): ...", "def load(): ..."},
        "open it": {"def read(): ..."},
    }


def test_candidates_bound_the_collection(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", "d", {"test": topic_pairs("d", 60, 5)})
    [task] = read_retrieval(tmp_path, candidates=25)
    assert (task.name, len(task.collection.documents)) == ("d", 25)


def test_a_dataset_without_test_split_is_refused(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "d", "d", {"train": topic_pairs("d", 20, 5)})
    with pytest.raises(ValueError, match="no test split"):
        held_out_collection(manifest, 10)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 12), st.integers(0, 3), st.booleans())
def test_nearest_is_a_stable_sort_of_all_products(queries, documents, depth, seed, is_sparse) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(-2, 3, (queries, 3)).astype(np.float32)  # small integers: ties abound
    right = rng.integers(-2, 3, (documents, 3)).astype(np.float32)
    blocks = pytest.MonkeyPatch()
    with blocks.context() as patch:
        patch.setattr(search, "BLOCK_QUERIES", 7)
        patch.setattr(search, "BLOCK_DOCUMENTS", 8)
        make = sparse.csr_matrix if is_sparse else np.asarray
        found, values = nearest(make(left), make(right), depth)
    products = left @ right.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :depth]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(products, expected, axis=1))


def test_bm25_finds_the_rare_word() -> None:
    documents = [f"def read_{word}(): return {word}" for word in ("apple", "pear", "plum", "cherry")]
    found, _ = Bm25().rank(["how to read a plum"], documents, 10)
    assert found[0, 0] == 2
