"""The corpus's vectors: made in blocks while the page is up, and kept on disk beside the manifest.

A block's file is named by a hash of the encoder and of the block's texts, so another encoder, another
corpus or a changed text is another file, and a corpus that grows keeps the blocks it has. Each file holds a
hash of its vectors; one that is damaged is made again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from demo.encoders import SharedEncoder
from schemas.shards import open_local

BLOCK = 1024
"""Texts of a file: what is lost at most when the page is closed before the corpus is encoded."""
PIECE = 32
"""Texts encoded at a time: a user waits for no more."""


class CorpusVectors:
    """float32[n, D] that fill from the front; the first `done` rows are there."""

    def __init__(self, encoder: SharedEncoder, texts: Sequence[str], folder: Path) -> None:
        self.done = 0
        self.error: Exception | None = None
        self._encoder, self._texts, self._folder = encoder, texts, folder
        self._rows = np.zeros((len(texts), encoder.dimensions), np.float32)
        self._thread = threading.Thread(target=self._fill, name=f"vectors of {encoder.name}", daemon=True)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def ready(self) -> NDArray[np.float32]:
        """The rows that are there. Raises the error that ended the work, if one did before any was."""
        if self.error is not None and not self.done:
            raise self.error
        return self._rows[: self.done]

    def start(self) -> CorpusVectors:
        """Begin to fill, in a thread of its own."""
        self._thread.start()
        return self

    def wait(self) -> CorpusVectors:
        """Until all rows are there. Raises the error that ended the work."""
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self

    def _fill(self) -> None:
        try:
            for begin in range(0, len(self._texts), BLOCK):
                texts = self._texts[begin : begin + BLOCK]
                path = self._folder / f"{self._key(texts)}.safetensors"
                found = load_block(path, (len(texts), self._encoder.dimensions))
                if found is not None:
                    self._rows[begin : begin + len(texts)] = found
                    self.done = begin + len(texts)
                else:
                    self._encode(begin, texts)
                    save_block(path, self._rows[begin : begin + len(texts)])
        except Exception as error:  # the page says it; the rows that are there can be searched
            self.error = error

    def _key(self, texts: Sequence[str]) -> str:
        prompted = self._encoder.prompted(texts, "document")
        return block_key(self._encoder.digest, [prompt + text for prompt, text in prompted])

    def _encode(self, begin: int, texts: Sequence[str]) -> None:
        """Fill a block piece by piece. A few at first, so that there is something to find within seconds."""
        for first in range(0, len(texts), PIECE):
            piece = texts[first : first + PIECE]
            self._rows[begin + first : begin + first + len(piece)] = self._encoder.encode_later(
                piece, "document"
            ).result()
            self.done = begin + first + len(piece)


def block_key(encoder: str, texts: Sequence[str]) -> str:
    """sha256 in hex over the encoder's digest and the texts."""
    digest = hashlib.sha256(encoder.encode())
    for text in texts:
        encoded = text.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def load_block(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The vectors of a file that is there and whole, or None."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            vectors, said = file.get_tensor("vectors"), (file.metadata() or {}).get("xxh3_128")
    except (SafetensorError, OSError):
        return None
    whole = vectors.shape == shape and vectors.dtype == np.float32 and _hash(vectors) == said
    return vectors if whole else None


def save_block(path: Path, vectors: NDArray[np.float32]) -> None:
    """Write a file of vectors, whole or not at all. Where the folder cannot be written, nothing is kept."""
    vectors = np.ascontiguousarray(vectors)
    try:
        os.makedirs(path.parent, exist_ok=True)
        with open_local(str(path)) as file:
            file.write(save({"vectors": vectors}, {"xxh3_128": _hash(vectors)}))
    except OSError:  # a corpus on a read-only disk is encoded at each start
        return


def _hash(vectors: NDArray[np.float32]) -> str:
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(vectors, "<f4").tobytes())
