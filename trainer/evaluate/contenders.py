"""Encoders as contenders: ours, and those that sentence-transformers alone opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.encoders.settings import EncoderSettings, Prompts, Similarity
from trainer.evaluate.baselines import Bm25, TfIdf
from trainer.evaluate.nearest import nearest
from trainer.evaluate.similarity import cosines, dots, unit_rows
from trainer.evaluate.task import Contender, Encode, Ranking

BASELINES: dict[str, Callable[[], Contender]] = {"bm25": Bm25, "tfidf": TfIdf}


@dataclass(frozen=True)
class VectorContender:
    """An encoder, as a function from texts to float32[n, D]."""

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
        vectors = np.asarray(self.encode([prompt + text for text in number]), np.float32)
        if not np.isfinite(vectors).all():
            raise ValueError(f"{self.name}: some vectors are not finite; is the encoder trained to divergence?")
        return vectors, places


Progress = Callable[[str, int], Any]
"""(label, number of texts) → a context manager whose value is called with the number of texts done."""


def open_contender(name: str, progress: Progress | None = None) -> Contender:
    """`bm25`, `tfidf`, or an encoder: a folder, a Hub id or a name that `resolve_encoder` knows.

    A folder that is not of our families is opened by sentence-transformers where that is installed.
    Raises FileNotFoundError or ValueError, in one line, when nothing opens it.
    """
    if name in BASELINES:
        return BASELINES[name]()
    from trainer.encode import TextEncoder
    from trainer.encoders.fetch import resolve_encoder

    folder = resolve_encoder(name)
    settings = EncoderSettings.load(folder)
    similarity, prompts = settings.similarity, settings.prompts
    try:
        encoder = TextEncoder.open(folder)
    except (ValueError, FileNotFoundError) as error:
        return VectorContender(name, _open_elsewhere(folder, error), similarity, prompts)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        if progress is None:
            return encoder.encode(texts, prompt="")
        with progress(f"encoding with {Path(name).name}", len(texts)) as done:
            return encoder.encode(texts, prompt="", progress=done)

    return VectorContender(name, encode, similarity, prompts)


def _open_elsewhere(folder: Path, error: Exception) -> Encode:
    """The encoder as sentence-transformers opens it, in float32. Raises `error`, with a hint, without that package."""
    try:
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(f"{error}, or install sentence-transformers, which may open it") from None
    try:
        model = SentenceTransformer(str(folder)).float()
    except Exception as other:  # that package raises whatever its parts do
        said = (str(other).strip() or type(other).__name__).splitlines()[0]
        raise ValueError(f"{error}; sentence-transformers does not open it either ({said})") from None

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        # The prompts are put before the texts by `VectorContender`.
        return np.asarray(model.encode(list(texts), prompt="", show_progress_bar=False), np.float32)

    return encode
