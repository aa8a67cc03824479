"""From entries to a dataset on disk: cells, then shards, then the manifest, each whole or absent.

A cell is sorted, deduplicated and written by one worker under a name no other attempt uses. Cells
follow one another in the global order, and a shard closes when its written bytes reach the shard
size; so the last stage only moves bytes, and neither the number of cells nor the workers show in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import IO, Any, NamedTuple

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray

from pipelines.dedup import Entry, unique_entries
from pipelines.files import open_raw
from pipelines.funnel import Drop
from schemas.example import decode_pair
from schemas.manifest import HISTOGRAM_EDGES
from schemas.pair import TEST, TRAIN
from schemas.shards import Block, Shard, frame, shard_name, window_for, write_shard

SPLITS = (TRAIN, TEST)


class CellFile(NamedTuple):
    """One split of one cell on disk: framed records, then their lengths, then their fingerprints."""

    dataset: str
    split: str
    cell: int
    path: str
    records: int
    bytes: int
    """Of the framed records."""
    characters: tuple[tuple[int, ...], tuple[int, ...]]
    """Pairs in each bin of the length histogram, of anchors and of positives."""


class Piece(NamedTuple):
    """A run of one cell's records that goes into a shard."""

    cell: CellFile
    first: int
    end: int


class ShardTask(NamedTuple):
    """A shard to be written."""

    dataset: str
    split: str
    number: int
    count: int
    window: int
    pieces: tuple[Piece, ...]


class WrittenShard(NamedTuple):
    """A shard under its final name."""

    dataset: str
    split: str
    number: int
    window: int
    shard: Shard


def write_cell(
    element: tuple[tuple[str, int], Iterable[bytes]], staging: str, test_texts: NDArray[np.uint64]
) -> Iterator[CellFile | Drop]:
    """Sort, deduplicate and write one cell.

    `test_texts` are sorted fingerprints of texts that stand in the test split; a train pair with
    one of them goes. It is empty for sources that do not ask for that.
    """
    (dataset, cell), blobs = element
    blobs = list(blobs)
    entries = list(unique_entries(blobs))
    if duplicates := len(blobs) - len(entries):
        yield Drop(dataset, "dedup", "duplicate", duplicates)
    if len(test_texts):
        kept = [entry for entry in entries if not _leaks(entry, test_texts)]
        if leaks := len(entries) - len(kept):
            yield Drop(dataset, "split", "train_text_in_test", leaks)
        entries = kept
    for split in SPLITS:
        chosen = [entry for entry in entries if entry.split == split]
        if chosen:
            yield _write_cell_file(dataset, split, cell, chosen, staging)


def _leaks(entry: Entry, test_texts: NDArray[np.uint64]) -> bool:
    if entry.split == TEST:
        return False
    _, prints = decode_pair(entry.record)
    texts = np.array(prints.texts, np.uint64)
    places = np.searchsorted(test_texts, texts)
    return bool((test_texts[np.minimum(places, len(test_texts) - 1)] == texts).any())


def _write_cell_file(dataset: str, split: str, cell: int, entries: list[Entry], staging: str) -> CellFile:
    frames = [frame(entry.record) for entry in entries]
    data = b"".join(frames)
    # A retried attempt writes under another name; only the one whose summary arrives is used.
    path = f"{staging}/cell-{uuid.uuid4().hex}"
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(data)
        file.write(np.array([len(framed) for framed in frames], "<u4").tobytes())
        file.write(np.array([entry.fingerprint for entry in entries], "<u8").tobytes())
    lengths = np.array([entry.characters for entry in entries], np.int64)
    anchor, positive = (tuple(np.histogram(side, [*HISTOGRAM_EDGES, np.inf])[0].tolist()) for side in lengths.T)
    return CellFile(dataset, split, cell, path, len(entries), len(data), (anchor, positive))


def read_cell(cell: CellFile) -> Block:
    """A cell's records with their lengths and fingerprints."""
    with open_raw(cell.path) as file:
        content = file.read()
    expected = cell.bytes + 12 * cell.records
    if len(content) != expected:
        raise OSError(f"{cell.path}: {len(content)} bytes; expected {expected}; run the job again")
    lengths = np.frombuffer(content, "<u4", cell.records, cell.bytes)
    fingerprints = np.frombuffer(content, "<u8", cell.records, cell.bytes + 4 * cell.records)
    return Block(content[: cell.bytes], lengths.astype(np.uint32), fingerprints.astype(np.uint64))


def plan_shards(cells: Iterable[CellFile], shard_size: int) -> Iterator[ShardTask]:
    """Cut each split's cells, in order, into shards of at least `shard_size` bytes (the last may be less)."""
    ordered = sorted(cells, key=lambda cell: (cell.dataset, cell.split, cell.cell))
    for (dataset, split), of_split in groupby(ordered, key=lambda cell: (cell.dataset, cell.split)):
        of_split = list(of_split)
        shards = list(_cut(of_split, shard_size))
        window = window_for(sum(cell.records for cell in of_split))
        for number, pieces in enumerate(shards):
            yield ShardTask(dataset, split, number, len(shards), window, tuple(pieces))


def _cut(cells: list[CellFile], shard_size: int) -> Iterator[list[Piece]]:
    pieces: list[Piece] = []
    size = 0
    for cell in cells:
        if size + cell.bytes < shard_size:  # the shard stays open: no need to look inside
            pieces.append(Piece(cell, 0, cell.records))
            size += cell.bytes
            continue
        ends = np.cumsum(read_cell(cell).lengths, dtype=np.int64)
        first, start = 0, 0
        while first < cell.records:
            last = int(np.searchsorted(ends, start + shard_size - size))  # the record that fills the shard
            end = min(last + 1, cell.records)
            pieces.append(Piece(cell, first, end))
            if last >= cell.records:
                size += int(ends[-1]) - start
                break
            yield pieces
            pieces, size, first, start = [], 0, end, int(ends[last])
    if pieces:
        yield pieces


def write_planned_shard(task: ShardTask, staging: str, folder: str) -> WrittenShard:
    """Join the pieces of a shard under its final name in `folder`."""

    def blocks() -> Iterator[Block]:
        for piece in task.pieces:
            block = read_cell(piece.cell)
            ends = np.concatenate([[0], np.cumsum(block.lengths, dtype=np.int64)])
            chosen = slice(piece.first, piece.end)
            yield Block(
                block.data[ends[piece.first] : ends[piece.end]],
                block.lengths[chosen],
                block.fingerprints[chosen],
            )

    shard = write_shard(
        folder,
        shard_name(task.split, task.number, task.count),
        blocks(),
        window=task.window,
        open_file=lambda path: move_when_whole(path, staging),
    )
    return WrittenShard(task.dataset, task.split, task.number, task.window, shard)


@contextmanager
def move_when_whole(path: str, staging: str) -> Iterator[IO[bytes]]:
    """Open a name of this attempt alone in `staging`; rename it to `path` when it was written whole."""
    temporary = f"{staging}/file-{uuid.uuid4().hex}"
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield file  # type: ignore[misc]
    FileSystems.rename([temporary], [path])


def length_statistics(cells: Iterable[CellFile]) -> dict[str, Any]:
    """Length histograms of what was written, by split: pairs in each bin of `edges`, in characters."""
    totals: dict[str, Any] = {}
    for cell in cells:
        sides = totals.setdefault(cell.split, np.zeros((2, len(HISTOGRAM_EDGES)), np.int64))
        sides += np.array(cell.characters, np.int64)
    return {
        "characters": {
            "edges": list(HISTOGRAM_EDGES),
            **{
                split: {"anchor": sides[0].tolist(), "positive": sides[1].tolist()}
                for split, sides in sorted(totals.items())
            },
        }
    }
