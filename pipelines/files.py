"""Raw input files: found by globs, opened on any Beam filesystem, decompressed, cut into lines."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import IO, Any, NamedTuple

import zstandard

CHUNK_BYTES = 1 << 16  # compressed bytes at a time: what one chunk expands to stays small
BLOCK_BYTES = 1 << 19
MAX_LINE_BYTES = 1 << 26
HUB = "hf://"


class InputFile(NamedTuple):
    """A file that a glob matched."""

    path: str
    bytes: int


class UnreadableFileError(ValueError):
    """One line that names the file, what is wrong with it and what to do."""


class _Format(NamedTuple):
    name: str
    endings: tuple[str, ...]
    magic: tuple[bytes, ...]
    decompressor: Callable[[], Any]


def _zstd_stream() -> Any:
    # Reddit's dumps use windows of up to 2 GiB, which the library refuses unless told. The streams of
    # one ZstdDecompressor share its state, so each file has its own.
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


# A frame, or one of the skippable frames with which parallel compressors begin.
_ZSTD_MAGIC = (b"\x28\xb5\x2f\xfd", *(bytes((low,)) + b"\x2a\x4d\x18" for low in range(0x50, 0x60)))
_FORMATS = (
    _Format("zstd", (".zst",), _ZSTD_MAGIC, _zstd_stream),
    _Format("bzip2", (".bz2", ".tbz2", ".tbz"), (b"BZh",), bz2.BZ2Decompressor),
    _Format("xz", (".xz",), (b"\xfd7zXZ\x00",), lzma.LZMADecompressor),
    _Format("gzip", (".gz", ".tgz"), (b"\x1f\x8b",), lambda: zlib.decompressobj(wbits=31)),
)
COMPRESSED = (*(ending for format_ in _FORMATS for ending in format_.endings), ".zip", ".7z")
"""Endings of names whose content is several times larger than the file."""


def match_files(globs: tuple[str, ...]) -> list[InputFile]:
    """The files that the globs match, each once, sorted.

    Raises FileNotFoundError naming every glob that matches nothing.
    """
    matches = {glob: _match(glob) for glob in globs}
    if empty := [glob for glob, files in matches.items() if not files]:
        raise FileNotFoundError(f"no file matches {', '.join(empty)}; expected the path or glob of raw files")
    return sorted({file for files in matches.values() for file in files})


def _match(glob: str) -> list[InputFile]:
    from apache_beam.io.filesystems import FileSystems  # seconds, which help and the catalogue do without

    try:
        if glob.startswith(HUB):
            found = _hub().glob(glob, detail=True)
            return [InputFile(f"{HUB}{path}", int(entry["size"])) for path, entry in found.items()]
        if os.path.isdir(glob):
            raise FileNotFoundError(f"{glob} is a folder; expected files, such as '{glob.rstrip('/')}/*'")
        matched = FileSystems.match([glob])[0].metadata_list
        return [InputFile(item.path, item.size_in_bytes) for item in matched]
    except FileNotFoundError:
        raise
    except (OSError, NotImplementedError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"cannot look for {glob} ({reason}); check the path and the network") from None


def _hub() -> Any:
    """Datasets of the Hugging Face Hub as a file system."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem()


def open_raw(path: str) -> IO[bytes]:
    """The file's own bytes, compressed or not."""
    if path.startswith(HUB):
        return _hub().open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)  # type: ignore[return-value]


def open_plain(path: str) -> IO[bytes]:
    """The file's content, decompressed by its ending, as a stream.

    Reading raises UnreadableFileError when the content is damaged or ends too early.
    """
    try:
        return _plain(path, open_raw(path))
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error})") from None


def as_stream(chunks: Iterator[bytes]) -> IO[bytes]:
    """Byte chunks, one after the other, as a stream."""
    return io.BufferedReader(_ChunkStream(chunks), BLOCK_BYTES)


def _plain(name: str, stream: IO[bytes]) -> IO[bytes]:
    """A stream decompressed as its file's name says; damage below it comes out as UnreadableFileError."""
    return as_stream(_name_damage(name, _decompress(name, stream)))


def _name_damage(name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise UnreadableFileError(f"{name}: damaged or cut short ({error}); fetch it again") from None


class _ChunkStream(io.RawIOBase):
    """An iterator of byte chunks as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def open_members(path: str, pattern: str = "*") -> Iterator[tuple[str, IO[bytes]]]:
    """(name, stream) of each file in a .tar, .zip or .7z whose name matches; of any other file, itself.

    A tar may be compressed, and so may members be. They are read one at a time and never written to
    a path of their own.
    Raises UnreadableFileError for a damaged archive.
    """
    if re.search(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz|tbz2?)$", path):
        yield from _tar_members(path, pattern)
    elif path.endswith(".zip"):
        yield from _zip_members(path, pattern)
    elif path.endswith(".7z"):
        yield from _7z_members(path, pattern)
    else:
        yield path, open_plain(path)


def _tar_members(path: str, pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        with open_plain(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isfile() and fnmatch(member.name, pattern):
                    content = archive.extractfile(member)
                    assert content is not None  # only what is no file has none
                    yield f"{path}:{member.name}", _plain(f"{path}:{member.name}", content)
    except tarfile.TarError as error:
        raise UnreadableFileError(f"{path}: damaged tar archive ({error}); fetch it again") from None


def _zip_members(path: str, pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        with open_raw(path) as stream, zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if not member.is_dir() and fnmatch(member.filename, pattern):
                    with archive.open(member) as content:
                        yield f"{path}:{member.filename}", _plain(f"{path}:{member.filename}", content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFileError(f"{path}: damaged or encrypted zip archive ({error}); fetch it again") from None


def _7z_members(path: str, pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    import py7zr
    from py7zr.exceptions import ArchiveError

    # 7z needs seeking and unpacks whole members, so they go through a scratch folder, by plain names.
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with open_raw(path) as stream, py7zr.SevenZipFile(stream) as archive:  # type: ignore[arg-type]
                files = [entry.filename for entry in archive.list() if not entry.is_directory]
                names = [name for name in files if fnmatch(name, pattern)]
                archive.extract(scratch, targets=names)
        except (ArchiveError, lzma.LZMAError, EOFError, ValueError) as error:
            raise UnreadableFileError(f"{path}: damaged 7z archive ({error}); fetch it again") from None
        for name in sorted(names):
            if os.path.islink(os.path.join(scratch, name)):
                continue  # it may point anywhere on this machine
            with open(os.path.join(scratch, name), "rb") as content:
                yield f"{path}:{name}", _plain(f"{path}:{name}", content)


def read_lines(path: str, stripe: int = 0, stripes: int = 1) -> Iterator[list[bytes]]:
    """The lines of a plain or compressed file, in blocks of about half a megabyte, without line ends.

    With `stripes`, every stripes-th block from block `stripe` on: the stripes together are the whole file.
    Compression goes by the file's ending and is checked against its first bytes.
    Raises UnreadableFileError when the file cannot be read to its end.
    """
    try:
        with open_raw(path) as file:
            yield from _split_lines(path, _decompress(path, file), stripe, stripes)
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error})") from None


def _decompress(path: str, file: IO[bytes]) -> Iterator[bytes]:
    format_ = next((made for made in _FORMATS if path.endswith(made.endings)), None)
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


def _split_lines(path: str, chunks: Iterator[bytes], stripe: int, stripes: int) -> Iterator[list[bytes]]:
    rest: list[bytes] = []
    size = number = 0
    for chunk in chunks:
        rest.append(chunk)
        size += len(chunk)
        if size < BLOCK_BYTES:
            continue
        block = b"".join(rest)
        end = block.rfind(b"\n") + 1
        rest = [block[end:]]
        size = len(rest[0])
        if size > MAX_LINE_BYTES:
            raise UnreadableFileError(f"{path}: a line of over {MAX_LINE_BYTES:,} bytes; expected one record a line")
        if end:
            if number % stripes == stripe:
                yield block[: end - 1].split(b"\n")
            number += 1
    if size and number % stripes == stripe:
        yield b"".join(rest).split(b"\n")
