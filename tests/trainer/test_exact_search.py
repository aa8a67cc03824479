"""Exact search: what a sort of all products gives, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.exact_search import search


def vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def by_sorting(queries: np.ndarray, documents: np.ndarray, depth: int, hidden: list[np.ndarray]) -> np.ndarray:
    products = queries @ documents.T
    for row, numbers in enumerate(hidden):
        products[row, numbers] = -np.inf
    found = np.argsort(-products, axis=1, kind="stable")[:, :depth]
    return np.where(np.isneginf(np.take_along_axis(products, found, axis=1)), -1, found)


@pytest.mark.parametrize("block", [3, 7, 50, 1000])
@pytest.mark.parametrize("count", [1, 8, 13])
def test_blocks_do_not_show(block: int, count: int) -> None:
    queries, documents = vectors(count, 1), vectors(50, 2)
    rng = np.random.default_rng(3)
    hidden = [np.sort(rng.choice(50, rng.integers(0, 20), replace=False)) for _ in range(count)]
    found, scores = search(queries, documents, 10, hidden=hidden, block_documents=block)
    np.testing.assert_array_equal(found, by_sorting(queries, documents, 10, hidden))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ documents.T, found, axis=1), rtol=1e-5)


def test_where_nothing_is_left_there_is_no_number() -> None:
    found, scores = search(vectors(2, 1), vectors(3, 2), 5, hidden=[np.arange(3), np.array([1])])
    assert found.shape == (2, 3) and found[0].tolist() == [-1, -1, -1]
    assert sorted(found[1].tolist()) == [-1, 0, 2] and np.isneginf(scores[0]).all()


def test_of_equal_scores_the_lower_number_comes_first() -> None:
    documents = np.tile(vectors(1, 1), (9, 1))
    found, _ = search(vectors(2, 2), documents, 4, block_documents=2)
    assert found.tolist() == [[0, 1, 2, 3]] * 2


def test_nothing_to_search_gives_nothing() -> None:
    assert search(vectors(0, 1), vectors(3, 2), 2)[0].shape == (0, 2)
    assert search(vectors(3, 1), vectors(0, 2), 2)[0].shape == (3, 0)
    with pytest.raises(ValueError, match="depth is 0"):
        search(vectors(3, 1), vectors(3, 2), 0)
