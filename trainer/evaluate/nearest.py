"""Exact search by dot product, in blocks that bound memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trainer.evaluate.task import Ranking

BLOCK_QUERIES = 256
BLOCK_DOCUMENTS = 65_536
"""Products of a block in float32: 64 MiB."""


def nearest(queries: Any, documents: Any, depth: int) -> Ranking:
    """The `depth` documents of greatest dot product for each query, best first.

    [n, D], [m, D], dense float32 or both sparse → int64[n, k], float64[n, k] with k = min(depth, m). Of
    equal scores the lower number comes first.
    """
    depth = min(depth, documents.shape[0])
    found = np.zeros((queries.shape[0], depth), np.int64)
    scores = np.zeros((queries.shape[0], depth), np.float64)
    for start in range(0, queries.shape[0], BLOCK_QUERIES):
        asked = queries[start : start + BLOCK_QUERIES]
        numbers = np.zeros((asked.shape[0], 0), np.int64)
        values = np.zeros((asked.shape[0], 0), np.float32)
        for first in range(0, documents.shape[0], BLOCK_DOCUMENTS):
            products = _products(asked, documents[first : first + BLOCK_DOCUMENTS])
            some = _best(products, depth)
            numbers = np.concatenate([numbers, some + first], axis=1)
            values = np.concatenate([values, np.take_along_axis(products, some, axis=1)], axis=1)
        # Numbers rise within equal values, since the blocks follow one another.
        order = np.argsort(-values, axis=1, kind="stable")[:, :depth]
        found[start : start + BLOCK_QUERIES] = np.take_along_axis(numbers, order, axis=1)
        scores[start : start + BLOCK_QUERIES] = np.take_along_axis(values, order, axis=1)
    return found, scores


def _products(queries: Any, documents: Any) -> NDArray[np.float32]:
    products = queries @ documents.T
    return products.toarray().astype(np.float32, copy=False) if sparse.issparse(products) else products


def _best(products: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """The columns of the `depth` greatest values of each row, best first; the lower of equals."""
    width = products.shape[1]
    if depth >= width:
        return np.argsort(-products, axis=1, kind="stable")
    some = np.argpartition(-products, depth - 1, axis=1)[:, :depth]
    least = np.take_along_axis(products, some, axis=1).min(axis=1, keepdims=True)
    chosen = products >= least
    # Which of several equals to the least are chosen is left open by a partition.
    for row in np.nonzero(chosen.sum(axis=1) > depth)[0]:
        equal = np.nonzero(products[row] == least[row])[0]
        chosen[row, equal[depth - chosen[row].sum() :]] = False
    columns = np.nonzero(chosen)[1].reshape(-1, depth)
    order = np.argsort(-np.take_along_axis(products, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
