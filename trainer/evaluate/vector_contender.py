"""Any encoder as a contender: a function from texts to vectors, and how these are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.encoders.settings import Prompts, Similarity
from trainer.evaluate.nearest import nearest
from trainer.evaluate.similarity import cosines, dots, unit_rows
from trainer.evaluate.task import Encode, Ranking


@dataclass(frozen=True)
class VectorContender:
    """An encoder, as a function from texts, and the prompt of their side, to float32[n, D]."""

    name: str
    encode: Encode
    similarity: Similarity = "cosine"
    prompts: Prompts = field(default_factory=Prompts)
    has_vectors: bool = True

    def similarities(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """float64[n], each distinct text encoded once."""
        vectors, places = self._encode_once([*left, *right], self.prompts.default)
        compare = cosines if self.similarity == "cosine" else dots
        return compare(vectors[places[: len(left)]], vectors[places[len(left) :]])

    def rank(self, queries: Sequence[str], documents: Sequence[str], depth: int) -> Ranking:
        """By exact search in float32."""
        return nearest(self._sided(queries, self.prompts.query), self._sided(documents, self.prompts.document), depth)

    def score_lists(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """float64[k] for each query and its k candidates."""
        asked = self._sided(queries, self.prompts.query)
        flat = [text for some in candidates for text in some]
        vectors, places = self._encode_once(flat, self.prompts.document)
        if self.similarity == "cosine":
            vectors = unit_rows(vectors).astype(np.float32)
        ends = np.cumsum([len(some) for some in candidates])[:-1]
        return [
            (vectors[some] @ query).astype(np.float64)
            for query, some in zip(asked, np.split(places, ends), strict=True)
        ]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[n, D], each distinct text encoded once."""
        vectors, places = self._encode_once(texts, self.prompts.default)
        return vectors[places]

    def _sided(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        vectors, places = self._encode_once(texts, prompt)
        return (unit_rows(vectors).astype(np.float32) if self.similarity == "cosine" else vectors)[places]

    def _encode_once(self, texts: Sequence[str], prompt: str) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Vectors of the distinct texts, and for each text which is its own."""
        number: dict[str, int] = {}
        places = np.array([number.setdefault(text, len(number)) for text in texts], np.intp)
        vectors = np.asarray(self.encode(list(number), prompt=prompt), np.float32)
        if not np.isfinite(vectors).all():
            raise ValueError(f"{self.name}: some vectors are not finite; is the encoder trained to divergence?")
        return vectors, places
