"""Names to contenders: baselines, our encoders, and those that sentence-transformers alone opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.encoders.settings import EncoderSettings
from trainer.evaluate.baselines import Bm25, TfIdf
from trainer.evaluate.task import Contender, Encode
from trainer.evaluate.vector_contender import VectorContender

BASELINES: dict[str, Callable[[], Contender]] = {"bm25": Bm25, "tfidf": TfIdf}


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

    def encode(texts: Sequence[str], *, prompt: str) -> NDArray[np.float32]:
        if progress is None:
            return encoder.encode(texts, prompt=prompt)
        with progress(f"encoding with {Path(name).name}", len(texts)) as done:
            return encoder.encode(texts, prompt=prompt, progress=done)

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

    def encode(texts: Sequence[str], *, prompt: str) -> NDArray[np.float32]:
        return np.asarray(model.encode(list(texts), prompt=prompt, show_progress_bar=False), np.float32)

    return encode
