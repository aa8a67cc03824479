"""Which encoder it was: one digest over all that decides a text's vector."""

from __future__ import annotations

import hashlib
from pathlib import Path

from schemas.shards import checksum

DECIDES = (".json", ".safetensors", ".txt")
"""Suffixes of the files that do: shape, weights, tokenizer, pooling, prompts; not of cards or of copies in ONNX."""


def encoder_digest(folder: str | Path) -> str:
    """sha256, in hex, over the names and contents of an encoder folder's files: equal digests, equal vectors."""
    folder = Path(folder)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in DECIDES and path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\x00{checksum(path)}\x00".encode())
    return digest.hexdigest()
