"""Raw input files: found by globs, opened on any Beam filesystem, decompressed, cut into lines."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import zstandard
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

CHUNK_BYTES = 1 << 16  # compressed bytes at a time: what one chunk expands to stays small
BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 26


class InputFile(NamedTuple):
    """A file that a glob matched."""

    path: str
    bytes: int


class UnreadableFileError(ValueError):
    """One line that names the file, what is wrong with it and what to do."""


class _Format(NamedTuple):
    name: str
    magic: tuple[bytes, ...]
    decompressor: Callable[[], Any]


def _zstd_stream() -> Any:
    # Reddit's dumps use windows of up to 2 GiB, which the library refuses unless told. The streams of
    # one ZstdDecompressor share its state, so each file has its own.
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


# A frame, or one of the skippable frames with which parallel compressors begin.
_ZSTD_MAGIC = (b"\x28\xb5\x2f\xfd", *(bytes((low,)) + b"\x2a\x4d\x18" for low in range(0x50, 0x60)))
_FORMATS = {
    ".zst": _Format("zstd", _ZSTD_MAGIC, _zstd_stream),
    ".bz2": _Format("bzip2", (b"BZh",), bz2.BZ2Decompressor),
    ".xz": _Format("xz", (b"\xfd7zXZ\x00",), lzma.LZMADecompressor),
    ".gz": _Format("gzip", (b"\x1f\x8b",), lambda: zlib.decompressobj(wbits=31)),
}


def match_files(globs: tuple[str, ...]) -> list[InputFile]:
    """The files that the globs match, each once, sorted.

    Raises FileNotFoundError naming every glob that matches nothing.
    """
    try:
        results = FileSystems.match(list(globs))
    except BeamIOError as error:
        raise FileNotFoundError(f"cannot look for {', '.join(globs)}: {error}") from None
    if empty := [glob for glob, result in zip(globs, results, strict=True) if not result.metadata_list]:
        raise FileNotFoundError(f"no file matches {', '.join(empty)}; expected the path or glob of raw files")
    found = {item.path: item.size_in_bytes for result in results for item in result.metadata_list}
    return [InputFile(path, size) for path, size in sorted(found.items())]


def open_raw(path: str) -> IO[bytes]:
    """The file's own bytes, compressed or not."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)  # type: ignore[return-value]


def read_lines(path: str) -> Iterator[list[bytes]]:
    """The lines of a plain or compressed file, in blocks of about a megabyte, without line ends.

    Compression goes by the file's ending and is checked against its first bytes.
    Raises UnreadableFileError when the file cannot be read to its end.
    """
    try:
        with open_raw(path) as file:
            yield from _split_lines(path, _decompress(path, file))
    except (OSError, BeamIOError) as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error})") from None


def _decompress(path: str, file: IO[bytes]) -> Iterator[bytes]:
    format_ = next((made for ending, made in _FORMATS.items() if path.endswith(ending)), None)
    if format_ is None:
        while chunk := file.read(BLOCK_BYTES):
            yield chunk
        return
    stream = format_.decompressor()
    first = True
    while chunk := file.read(CHUNK_BYTES):
        if first and not chunk.startswith(format_.magic):
            raise UnreadableFileError(
                f"{path}: not a {format_.name} file, as its name says; rename it or fetch it again"
            )
        first = False
        try:
            while chunk:
                if stream.eof:  # another member or frame follows; zeros are padding
                    chunk = chunk.lstrip(b"\0")
                    if not chunk:
                        break
                    stream = format_.decompressor()
                yield stream.decompress(chunk)
                chunk = stream.unused_data if stream.eof else b""
        except (OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError) as error:
            raise UnreadableFileError(f"{path}: damaged {format_.name} data ({error}); fetch it again") from None
    if not stream.eof:
        raise UnreadableFileError(f"{path}: the {format_.name} data ends too early; fetch it again")


def _split_lines(path: str, chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest: list[bytes] = []
    size = 0
    for chunk in chunks:
        rest.append(chunk)
        size += len(chunk)
        if size < BLOCK_BYTES:
            continue
        lines = b"".join(rest).split(b"\n")
        rest = [lines.pop()]
        size = len(rest[0])
        if size > MAX_LINE_BYTES:
            raise UnreadableFileError(f"{path}: a line of over {MAX_LINE_BYTES:,} bytes; expected one record a line")
        if lines:
            yield lines
    if size:
        yield b"".join(rest).split(b"\n")
