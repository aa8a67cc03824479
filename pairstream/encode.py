"""`pairstream encode`: lines of text → vectors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from pairstream.arguments import parse
from pairstream.cli import UsageError
from pairstream.quiet import progress_bar, quiet_libraries
from schemas.texts import read_lines, read_texts


@dataclass(frozen=True)
class Arguments:
    """Encode lines of text: JSON lines on stdout, or one .npy file.

    For example: echo "open a file" | pairstream encode runs/quickstart/encoder
    """

    encoder: tyro.conf.Positional[str]
    """Encoder folder or Hub id."""
    input: Path | None = None
    """A text a line; by default stdin."""
    output: Path | None = None
    """A .npy file, float32 [lines, dimensions]; by default JSON lines {"text", "vector"} on stdout."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "encode")
    if arguments.output is not None:
        if arguments.output.suffix != ".npy":
            raise UsageError(f"--output {arguments.output}: expected a name that ends in .npy")
        if not arguments.output.parent.is_dir():
            raise FileNotFoundError(f"{arguments.output.parent}: no such folder for --output")
    if arguments.input is None:
        texts = list(read_lines(sys.stdin.buffer, where="stdin"))
    else:
        texts = [text.text for text in read_texts(arguments.input)]
    quiet_libraries()
    from trainer.encode import TextEncoder
    from trainer.encoders.fetch import resolve_encoder

    encoder = TextEncoder.open(resolve_encoder(arguments.encoder))
    with progress_bar("encoding", len(texts)) as progress:
        vectors = encoder.encode(texts, progress=progress)
    if arguments.output is None:
        import orjson

        for text, vector in zip(texts, vectors, strict=True):
            line = orjson.dumps({"text": text, "vector": vector}, option=orjson.OPT_SERIALIZE_NUMPY)
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
        return
    import numpy as np

    from schemas.shards import open_local

    with open_local(str(arguments.output)) as file:
        np.save(file, vectors)
    print(f"{arguments.output}: {len(vectors):,} vectors of {vectors.shape[1]}")
