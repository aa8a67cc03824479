"""What an encoder has to beat: BM25 and TF-IDF, whose word statistics come from the texts of the task itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from trainer.evaluate.nearest import nearest
from trainer.evaluate.similarity import cosines, dots
from trainer.evaluate.task import Ranking

WORD = r"(?u)[^\W_]+"
"""Words are cut at underscores, so that `read_file` can match "read a file"."""


@dataclass(frozen=True)
class Bm25:
    """BM25 with its usual settings (k1 = 1.5, b = 0.75); the first text of a pair is the query."""

    name: str = "bm25"
    has_vectors: bool = False

    def similarities(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """float64[n]: the score of document i for query i, among all n documents."""
        queries, documents = _weigh(left, right)
        return dots(queries, documents)

    def rank(self, queries: Sequence[str], documents: Sequence[str], depth: int) -> Ranking:
        """Of documents without a word of the query the lower number comes first."""
        asked, weighed = _weigh(queries, documents)
        return nearest(asked, weighed, depth)

    def score_lists(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """float64[k] for each query and its k candidates; rareness is counted over all distinct candidates."""
        flat, places = _distinct([text for some in candidates for text in some])
        asked, weighed = _weigh(queries, flat)
        return _score_lists(asked, weighed, places, candidates)

    def vectors(self, texts: Sequence[str]) -> Any:
        raise ValueError("bm25 has no vectors; it scores pairs of texts alone")


@dataclass(frozen=True)
class TfIdf:
    """Cosine of TF-IDF vectors over words."""

    name: str = "tfidf"
    has_vectors: bool = True

    def similarities(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """float64[n], in [0, 1]."""
        vectors = self.vectors([*left, *right])
        return cosines(vectors[: len(left)], vectors[len(left) :])

    def rank(self, queries: Sequence[str], documents: Sequence[str], depth: int) -> Ranking:
        """Of documents without a word of the query the lower number comes first."""
        weigh = self._fit(documents)
        return nearest(weigh(queries), weigh(documents), depth)

    def score_lists(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """float64[k] for each query and its k candidates; rareness is counted over all distinct candidates."""
        flat, places = _distinct([text for some in candidates for text in some])
        weigh = self._fit(flat)
        return _score_lists(weigh(queries), weigh(flat), places, candidates)

    def vectors(self, texts: Sequence[str]) -> Any:
        """scipy.sparse float32[n, V], rows of unit length or, without a word, zero."""
        return self._fit(texts)(texts)

    def _fit(self, texts: Sequence[str]) -> Any:
        words = TfidfVectorizer(token_pattern=WORD, dtype=np.float32)  # pyright: ignore[reportArgumentType]
        try:
            return words.fit(texts).transform
        except ValueError:  # no text has a word
            return lambda some: sparse.csr_matrix((len(some), 1), dtype=np.float32)


def _weigh(queries: Sequence[str], documents: Sequence[str]) -> tuple[Any, Any]:
    """float32[n, V] how often each word is in a query, float32[m, V] what it is worth in a document."""
    import bm25s  # it starts JAX when imported, which must not happen before the hosts of a run have joined

    cut = bm25s.tokenize(list(documents), token_pattern=WORD, show_progress=False, return_ids=False)
    asked = bm25s.tokenize(list(queries), token_pattern=WORD, show_progress=False, return_ids=False)
    number = {word: n for n, word in enumerate(dict.fromkeys(word for words in cut for word in words))}
    if not number:  # the library indexes no empty corpus
        return sparse.csr_matrix((len(queries), 1), dtype=np.float32), sparse.csr_matrix(
            (len(documents), 1), dtype=np.float32
        )
    index = bm25s.BM25()
    cut_ids = [[number[word] for word in words] for words in cut]
    index.index((cut_ids, number), create_empty_token=False, show_progress=False)
    parts = index.scores
    weights = sparse.csc_matrix(
        (parts["data"], parts["indices"], parts["indptr"][: len(number) + 1]), shape=(len(documents), len(number))
    )
    counts = [Counter(number[word] for word in words if word in number) for words in asked]
    starts = np.cumsum([0, *(len(count) for count in counts)])
    words = np.fromiter((word for count in counts for word in count), np.int64, starts[-1])
    times = np.fromiter((n for count in counts for n in count.values()), np.float32, starts[-1])
    return sparse.csr_matrix((times, words, starts), shape=(len(queries), len(number))), weights.tocsr()


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    number: dict[str, int] = {}
    places = np.array([number.setdefault(text, len(number)) for text in texts], np.intp)
    return list(number), places


def _score_lists(
    queries: Any, documents: Any, places: NDArray[np.intp], candidates: Sequence[Sequence[str]]
) -> list[NDArray[np.float64]]:
    sizes = [len(some) for some in candidates]
    scores = dots(queries[np.repeat(np.arange(len(sizes)), sizes)], documents[places])
    return np.split(scores, np.cumsum(sizes)[:-1])
