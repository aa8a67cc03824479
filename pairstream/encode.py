"""`pairstream encode`: texts of any file → vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pairstream.arguments import Encoder, at_least, parse
from pairstream.cli import UsageError
from pairstream.quiet import progress_bar, quiet_libraries
from schemas.texts import FIELD, Which, count_texts, read_lines, read_texts

FORMATS = (".npy", ".parquet")


@dataclass(frozen=True)
class Arguments:
    """Encode texts: JSON lines on stdout, or a .npy or .parquet file of any size.

    With --output the vectors of each block are kept when they are made: after a kill the same command goes on.

    For example: echo "open a file" | pairstream encode runs/quickstart/encoder
    """

    encoder: Encoder
    """Encoder folder or Hub id."""
    input: Path | None = None
    """Folder of a preprocessed dataset, a shard, Parquet, CSV, TSV, JSON lines or a file with a text a line; by
    default stdin."""
    output: Path | None = None
    """.npy: one array [texts, dimensions]; .parquet: text and vector. By default JSON lines {"text", "vector"} on
    stdout."""
    field: str = FIELD
    """Field of JSON lines, or column of Parquet, CSV or TSV, that holds the text."""
    which: Which = "positives"
    """Texts of a dataset's pairs: `positives`, `anchors`, or `all`: anchor, positive and negatives in turn."""
    precision: Literal["float32", "float16"] = "float32"
    """Of the vectors in --output."""
    prompt: str | None = None
    """Put before every text: a prompt's name in the encoder's folder, or the words themselves; by default the folder's
    default prompt, which most have not."""
    block: int = 16_384
    """Texts of a block: memory, and what a kill costs, grow with it."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "encode")
    _check(arguments)
    texts = _texts(arguments)
    first = next(texts, None)  # what is wrong with the input is said before the encoder is opened
    quiet_libraries()
    from trainer.encode import TextEncoder
    from trainer.encoders.fetch import resolve_encoder

    folder = resolve_encoder(arguments.encoder)
    encoder = TextEncoder.open(folder)
    every = (text for part in ((first,) if first is not None else (), texts) for text in part)
    prompt = None if arguments.prompt is None else encoder.prompts.named.get(arguments.prompt, arguments.prompt)
    if arguments.output is None:
        _print_vectors(encoder, every, prompt, arguments.block)
    else:
        _write_vectors(encoder, folder, every, prompt, arguments)


def _check(arguments: Arguments) -> None:
    at_least(arguments, block=1)
    if arguments.output is None:
        return
    if arguments.output.suffix not in FORMATS:
        raise UsageError(f"--output {arguments.output}: expected a name that ends in {' or '.join(FORMATS)}")
    if arguments.output.is_dir():
        raise UsageError(f"--output {arguments.output} is a folder; expected the name of a file")
    if not arguments.output.parent.is_dir():
        raise FileNotFoundError(f"{arguments.output.parent}: no such folder for --output")


def _texts(arguments: Arguments) -> Iterator[str]:
    if arguments.input is None:
        return read_lines(sys.stdin.buffer, where="stdin")
    return (text.text for text in read_texts(arguments.input, field=arguments.field, which=arguments.which))


def _print_vectors(encoder: Any, texts: Iterator[str], prompt: str | None, block: int) -> None:
    import orjson

    from trainer.encode_blocks import BlockOptions, cut_blocks

    for some in cut_blocks(texts, BlockOptions(texts=block)):
        for text, vector in zip(some, encoder.encode(some, prompt=prompt), strict=True):
            line = orjson.dumps({"text": text, "vector": vector}, option=orjson.OPT_SERIALIZE_NUMPY)
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _write_vectors(encoder: Any, folder: Path, texts: Iterator[str], prompt: str | None, arguments: Arguments) -> None:
    from trainer.encode_blocks import BlockOptions, encode_to_file
    from trainer.encoders.digest import encoder_digest

    assert arguments.output is not None
    options = BlockOptions(arguments.block, precision=arguments.precision, prompt=prompt)
    total = None if arguments.input is None else count_texts(arguments.input, which=arguments.which)
    with progress_bar("encoding", total) as progress:
        done, before = encode_to_file(
            encoder, encoder_digest(folder), texts, arguments.output, options=options, progress=progress
        )
    earlier = f", {before:,} of them earlier" if before else ""
    print(f"{arguments.output}: {done:,} vectors of {encoder.dimensions}{earlier}")
