"""Held-out retrieval: the collection, the ranking, the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import topic_pairs, write_dataset
from hypothesis import given
from hypothesis import strategies as st

from schemas.pair import Pair
from trainer.evaluate.retrieval import (
    Collection,
    held_out_collection,
    nearest,
    rank_by_bm25,
    score,
)


def collection(*relevant: set[int], documents: int = 12) -> Collection:
    return Collection(
        "made",
        tuple(f"query {n}" for n in range(len(relevant))),
        tuple(f"document {n}" for n in range(documents)),
        tuple(map(frozenset, relevant)),
    )


def fixed_ranking(*rows: list[int]):
    found = np.array(rows, np.int64)
    scores = np.tile(np.arange(found.shape[1], 0, -1, dtype=np.float32), (len(rows), 1))
    return lambda queries, documents: (found, scores)


def test_scores_are_those_of_a_hand_computation() -> None:
    # First query: its document at rank 1. Second: at rank 3 of 10. Third: not among the ten.
    task = collection({4}, {7}, {11})
    scores = score(
        task, fixed_ranking([4, 0, 1, 2, 3, 5, 6, 8, 9, 10], [0, 1, 7, 2, 3, 4, 5, 6, 8, 9], list(range(10)))
    )
    assert scores["mrr@10"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert scores["ndcg@10"] == pytest.approx((1 + 1 / np.log2(4) + 0) / 3)
    assert scores["recall@10"] == pytest.approx(2 / 3)
    assert (scores["queries"], scores["candidates"]) == (3, 12)


def test_every_paired_document_counts_as_right() -> None:
    scores = score(collection({0, 5}), fixed_ranking([1, 5, 2, 0, 3, 4, 6, 7, 8, 9]))
    assert scores["mrr@10"] == pytest.approx(1 / 2)
    assert scores["recall@10"] == 1
    assert scores["ndcg@10"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3)))


def test_equal_scores_are_ranked_as_the_ranking_has_them() -> None:
    task = collection({9})
    ranking = np.array([[9, 0, 1, 2, 3, 4, 5, 6, 7, 8]])
    assert score(task, lambda q, d: (ranking, np.zeros((1, 10), np.float32)))["mrr@10"] == 1


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
    manifest = write_dataset(tmp_path / "d", "d", {"test": topic_pairs("d", 60, 5)})
    assert len(held_out_collection(manifest, 25).documents) == 25


def test_a_dataset_without_test_split_is_refused(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "d", "d", {"train": topic_pairs("d", 20, 5)})
    with pytest.raises(ValueError, match="no test split"):
        held_out_collection(manifest, 10)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 12), st.integers(0, 3))
def test_nearest_is_a_stable_sort_of_all_products(queries: int, documents: int, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(-2, 3, (queries, 3)).astype(np.float32)  # small integers: ties abound
    right = rng.integers(-2, 3, (documents, 3)).astype(np.float32)
    found, scores = nearest(left, right, depth)
    products = left @ right.T
    expected = -np.sort(-products, axis=1)[:, :depth]
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(np.take_along_axis(products, found, axis=1), expected)


def test_bm25_finds_the_rare_word() -> None:
    documents = [f"def read_{word}(): return {word}" for word in ("apple", "pear", "plum", "cherry")]
    found, _ = rank_by_bm25(["how to read a plum"], documents)
    assert found[0, 0] == 2
