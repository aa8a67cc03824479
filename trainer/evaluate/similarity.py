"""Similarities of paired vectors, and how two lists of numbers agree; all in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def unit_rows(vectors: Any) -> Any:
    """Rows of length one, in float64, of a dense or a sparse matrix; rows of zeros stay zero."""
    if sparse.issparse(vectors):
        vectors = sparse.csr_matrix(vectors, dtype=np.float64)
        lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
        return sparse.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ vectors
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def dots(left: Any, right: Any) -> NDArray[np.float64]:
    """[n, D] and [n, D], dense or sparse → float64[n]: the dot product of each row of one with that of the other."""
    if sparse.issparse(left):
        return np.asarray(left.multiply(right).sum(axis=1), np.float64).ravel()
    return np.einsum("nd,nd->n", np.asarray(left, np.float64), np.asarray(right, np.float64))


def cosines(left: Any, right: Any) -> NDArray[np.float64]:
    """[n, D] and [n, D] → float64[n]: the cosine of each row of one with that of the other."""
    return dots(unit_rows(left), unit_rows(right))


def pearson(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Pearson's correlation, in [-1, 1]; 0 where one side does not vary.

    >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    1.0
    """
    left, right = left - left.mean(), right - right.mean()
    scale = np.sqrt((left @ left) * (right @ right))
    return float(np.clip(left @ right / scale, -1, 1)) if scale > 0 else 0.0


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    from scipy.stats import rankdata  # a second to import, which the demo's page would wait for

    return pearson(rankdata(left), rankdata(right))
