"""Vectors of any number of texts, on disk: in blocks, each kept once it is finished.

A block's file is named by what it was made of, its texts and the encoder, so a command that was killed and
runs again finds what it has, and what has changed since is made anew. The blocks lie in a folder
beside the output until this is joined from them and renamed: it is whole or not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
import xxhash
from numpy.typing import NDArray

from schemas.shards import open_local
from trainer.encode import TextEncoder

NPY, PARQUET = ".npy", ".parquet"
FORMATS = (NPY, PARQUET)
Precision = Literal["float32", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class BlockOptions:
    """How texts are cut into blocks and what is kept of each vector."""

    texts: int = 16_384
    """Most texts of a block, within which they are sorted by length."""
    characters: int = 1 << 25
    """A block ends with the text that reaches so many: it has to fit in memory."""
    precision: Precision = "float32"
    """Of the vectors on disk."""
    prompt: str | None = None
    """Put before every text; None: the encoder's default prompt."""

    def __post_init__(self) -> None:
        if self.texts < 1 or self.characters < 1:
            raise ValueError(f"a block of {self.texts} texts and {self.characters} characters; expected at least 1")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; expected {' or '.join(PRECISIONS)}")


def encode_to_file(
    encoder: TextEncoder,
    digest: str,
    texts: Iterable[str],
    output: str | Path,
    *,
    options: BlockOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Write the vectors of all texts, in order; returns how many, and how many of these were there before.

    `.npy` is one array [texts, D]; `.parquet` has columns `text` and `vector`, a row group a block.
    `digest` says which encoder it is (`trainer.encoders.digest`). `progress` is called with the
    number of texts done. Memory is that of one block. Raises ValueError for another suffix.
    """
    options = options or BlockOptions()
    output = Path(output)
    if output.suffix not in FORMATS:
        raise ValueError(f"{output}: expected a name that ends in {' or '.join(FORMATS)}")
    folder = blocks_folder(output)
    key = f"{digest} {options.precision} {options.prompt} {encoder.dimensions} {output.suffix}"
    files: list[Path] = []
    done = before = 0
    for number, block in enumerate(cut_blocks(texts, options)):
        path = folder / f"{number:06d}-{_block_digest(key, block)}{output.suffix}"
        if path.is_file():
            before += len(block)
        else:

            def advance(of_block: int, sofar: int = done) -> None:
                if progress is not None:
                    progress(sofar + of_block)

            vectors = encoder.encode(block, prompt=options.prompt, progress=advance).astype(options.precision)
            folder.mkdir(parents=True, exist_ok=True)
            _write_block(path, block, vectors)
        files.append(path)
        done += len(block)
        if progress is not None:
            progress(done)
    folder.mkdir(parents=True, exist_ok=True)
    joined = folder / f"joined{output.suffix}"
    with open_local(str(joined)) as file:
        _join(file, files, output.suffix, (done, encoder.dimensions), options.precision)
    os.replace(joined, output)
    shutil.rmtree(folder)
    return done, before


def blocks_folder(output: Path) -> Path:
    """Where the finished blocks of an output lie until it is whole."""
    return output.with_name(f".{output.name}.blocks")


def cut_blocks(texts: Iterable[str], options: BlockOptions) -> Iterator[list[str]]:
    """Runs of texts, by number and by characters; where they end hangs on the texts alone."""
    block: list[str] = []
    characters = 0
    for text in texts:
        block.append(text)
        characters += len(text)
        if len(block) == options.texts or characters >= options.characters:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _block_digest(key: str, block: Sequence[str]) -> str:
    digest = xxhash.xxh3_128(key.encode())
    for text in block:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _write_block(path: Path, block: Sequence[str], vectors: NDArray[Any]) -> None:
    with open_local(str(path)) as file:
        if path.suffix == NPY:
            np.save(file, vectors)
        else:
            _write_parquet(file, [_table(block, vectors)], _schema(vectors.shape[1], vectors.dtype))


def _join(file: IO[bytes], blocks: Sequence[Path], suffix: str, shape: tuple[int, int], precision: str) -> None:
    """One file of all blocks, one of which is in memory at a time."""
    dtype = np.dtype(precision)
    if suffix == PARQUET:
        import pyarrow.parquet as pq

        _write_parquet(file, (pq.read_table(path) for path in blocks), _schema(shape[1], dtype))
        return
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for path in blocks:
        file.write(np.load(path, allow_pickle=False, mmap_mode="r").tobytes())


def _schema(dimensions: int, dtype: np.dtype[Any]) -> Any:
    import pyarrow as pa

    vector = pa.list_(pa.from_numpy_dtype(dtype), dimensions)
    return pa.schema([pa.field("text", pa.string(), nullable=False), pa.field("vector", vector, nullable=False)])


def _table(block: Sequence[str], vectors: NDArray[Any]) -> Any:
    import pyarrow as pa

    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.Table.from_arrays([pa.array(block, pa.string()), flat], schema=_schema(vectors.shape[1], vectors.dtype))


def _write_parquet(file: IO[bytes], tables: Iterable[Any], schema: Any) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
