"""Search in the corpus, and the map of what lies around a query."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.corpus import Corpus
from demo.encoders import SharedEncoder
from demo.vectors import CorpusVectors
from demo.words import Piece, mark, name_groups
from trainer.evaluate.nearest import nearest

SHOWN = 3000
"""Characters of a text that an answer holds."""
TITLE = 120
NAMED_FROM = 600
"""Characters of a text in which words that name its cluster are looked for."""
LEAST_POINTS = 8
POINTS_A_CLUSTER, MOST_CLUSTERS = 35, 8


class NotYetError(RuntimeError):
    """Nothing can be searched yet."""


@dataclass(frozen=True)
class Hit:
    """A text that was found."""

    number: int
    """Its place in the corpus: search from it by this."""
    score: float
    dataset: str
    source: str
    pieces: list[Piece]
    characters: int
    """Of the whole text, of which `pieces` hold the beginning."""


@dataclass(frozen=True)
class Point:
    """A text on the map; x and y in [-1, 1]."""

    number: int
    x: float
    y: float
    score: float
    cluster: int
    dataset: str
    title: str


@dataclass(frozen=True)
class Cluster:
    """A group of texts on the map, with the words that tell it from the others, and its middle."""

    words: list[str]
    points: int
    x: float
    y: float


class Search:
    """A corpus with the vectors that each encoder has of it."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._plain = [text.text for text in corpus.texts]
        self._vectors: dict[str, CorpusVectors] = {}
        self._lock = threading.Lock()

    def vectors(self, encoder: SharedEncoder) -> CorpusVectors:
        """The encoder's vectors, which begin to be made when they are first asked for."""
        with self._lock:
            if encoder.name not in self._vectors:
                made = CorpusVectors(encoder, self._plain, self.corpus.vectors_folder)
                self._vectors[encoder.name] = made.start()
            return self._vectors[encoder.name]

    def progress(self) -> Mapping[str, int]:
        """Encoder → texts encoded, of the encoders that were asked for."""
        with self._lock:
            return {name: vectors.done for name, vectors in self._vectors.items()}

    def errors(self) -> Mapping[str, str]:
        """Encoder → what ended the encoding of its corpus."""
        with self._lock:
            return {name: str(vectors.error) for name, vectors in self._vectors.items() if vectors.error is not None}

    def hits(self, encoder: SharedEncoder, query: str | int, count: int) -> dict[str, Any]:
        """The texts nearest to a text, or to text number `query`, the best first.

        Raises ValueError for a number the corpus does not have, NotYetError while no text is encoded.
        """
        vector, words, rows = self._query(encoder, query)
        numbers, scores = nearest(vector[None], rows, count)
        hits = [
            self._hit(number, score, words)
            for number, score in zip(numbers[0].tolist(), scores[0].tolist(), strict=True)
        ]
        return {"query": words, "hits": [asdict(hit) for hit in hits], **self._searched(rows)}

    def map(self, encoder: SharedEncoder, query: str | int, count: int) -> dict[str, Any]:
        """The `count` nearest texts in two dimensions, by principal components, in clusters. Raises as `hits`."""
        vector, words, rows = self._query(encoder, query)
        numbers, scores = nearest(vector[None], rows, count)
        chosen = numbers[0].tolist()
        if len(chosen) < LEAST_POINTS:
            raise NotYetError(f"{len(chosen)} texts are encoded yet; a map needs {LEAST_POINTS}; ask again")
        near = rows[chosen]
        groups = cluster(near)
        places = lay_out(near, groups, vector)
        names = name_groups(
            [self._plain[number][:NAMED_FROM] for number in chosen], groups.tolist(), int(groups.max()) + 1
        )
        points = [
            Point(
                number, float(places[n, 0]), float(places[n, 1]), score, int(groups[n]), text.dataset, title(text.text)
            )
            for n, (number, score) in enumerate(zip(chosen, scores[0].tolist(), strict=True))
            for text in (self.corpus.texts[number],)
        ]
        clusters = [
            Cluster(name, len(inside), float(inside[:, 0].mean()), float(inside[:, 1].mean()))
            for n, name in enumerate(names)
            for inside in (places[:-1][groups == n],)
        ]
        return {
            "query": {"text": words, "x": float(places[-1, 0]), "y": float(places[-1, 1])},
            "points": [asdict(point) for point in points],
            "clusters": [asdict(one) for one in clusters],
            **self._searched(rows),
        }

    def _query(self, encoder: SharedEncoder, query: str | int) -> tuple[NDArray[np.float32], str, NDArray[np.float32]]:
        """(the query's vector, its text, the vectors of the corpus)."""
        rows = self.vectors(encoder).ready
        if not len(rows):
            raise NotYetError("the corpus is being encoded, and no text is ready yet; ask again in a few seconds")
        if isinstance(query, str):
            return encoder.encode([query], "query")[0], query, rows
        if not 0 <= query < len(self.corpus.texts):
            raise ValueError(f"text {query} is not in the corpus; expected 0 to {len(self.corpus.texts) - 1}")
        text = self._plain[query]
        return (rows[query] if query < len(rows) else encoder.encode([text], "document")[0]), text, rows

    def _hit(self, number: int, score: float, query: str) -> Hit:
        text = self.corpus.texts[number]
        return Hit(number, score, text.dataset, text.source, mark(text.text[:SHOWN], query), len(text.text))

    def _searched(self, rows: Sequence[Any] | NDArray[np.float32]) -> dict[str, int]:
        return {"searched": len(rows), "texts": len(self.corpus.texts)}


def lay_out(vectors: NDArray[np.float32], groups: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """float32[n, D], int64[n], float32[D] → float64[n + 1, 2]: vectors and query on a plane, in [-1, 1] both ways.

    The plane is that of the first two principal components of the groups' means: texts keep their own
    places, and are looked at from where groups are told apart best. Raises ValueError for equal vectors.
    """
    if np.ptp(vectors, axis=0).max() < 1e-6:
        raise ValueError("texts that are all alike have no map")
    sizes = np.bincount(groups)
    if len(sizes) > 2:
        means = np.stack([vectors[groups == group].mean(axis=0) for group in range(len(sizes))])
    else:
        means, sizes = vectors, np.ones(len(vectors))
    middle = np.average(means, axis=0, weights=sizes)
    # The components of the few means, each counted as often as it has texts, instead of those of all texts.
    axes = np.linalg.svd((means - middle) * np.sqrt(sizes)[:, None], full_matrices=False)[2][:2]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    places = (np.concatenate([vectors, query[None]]) - middle) @ axes.T
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    reach = np.maximum((places.max(axis=0) - places.min(axis=0)) / 2, 1e-12)
    return (places - middle) / reach


def cluster(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64[n]: the k-means cluster of each vector, numbered by size; the same for the same vectors."""
    from sklearn.cluster import KMeans

    count = min(MOST_CLUSTERS, max(2, len(vectors) // POINTS_A_CLUSTER), len(np.unique(vectors, axis=0)))
    labels = KMeans(count, random_state=0).fit_predict(vectors)
    sizes = np.bincount(labels, minlength=count)
    by_size = np.argsort(np.argsort(-sizes, kind="stable"))
    return by_size[labels].astype(np.int64)


def title(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE else line[: TITLE - 1] + "…"
