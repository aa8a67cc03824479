"""From entries to a dataset on disk: cells, then shards, then the manifest, each whole or absent.

A cell is sorted, deduplicated and written by one worker under a name no other attempt uses. Cells
follow one another in the global order, and a shard closes when its written bytes reach the shard
size; so the last stage only moves bytes, and neither the number of cells nor the workers show in it.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import IO, Any, NamedTuple

import google_crc32c
import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics.metric import Metrics

from pipelines.collect import CELLS, PairRules, dropped
from pipelines.dedup import RANKS, REJECTS, Deduplicated, Entries, Keys, deduplicate, from_blob, join
from pipelines.files import open_raw
from pipelines.funnel import Tallies
from pipelines.hot_texts import over_the_cap
from pipelines.stages import CELL_FILES, Output, Work, data_of
from schemas.example import decode_pair, encode_pair
from schemas.manifest import HISTOGRAM_EDGES
from schemas.pair import TEST, TRAIN
from schemas.shards import Block, Shard, frame, shard_name, window_for, write_shard

SPLITS = (TRAIN, TEST, REJECTS)
_STAGE_OF = {"text_too_frequent": "cap", "train_text_in_test": "split"}


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
    crc: int
    """crc32c of the file."""


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


class WriteCells(Work):
    """(cell, blobs of entries) → a file for each dataset and split: sorted, without duplicates."""

    def __init__(self, rules: PairRules, staging: str, spills: str | None, *, exact: bool) -> None:
        super().__init__(CELLS, spills, rules.bits)
        self._rules, self._staging, self._exact = rules, staging, exact

    def outputs(
        self, element: tuple[int, Iterable[bytes]], test_texts: Sequence[bytes], limits: Sequence[bytes]
    ) -> Iterator[Output]:
        """`test_texts`: fingerprints of texts that stand in the test split; a train pair with one of them goes.
        `limits`: of texts that more pairs hold than may."""
        cell, blobs = element
        of_dataset: defaultdict[str, tuple[list[Entries], list[Keys]]] = defaultdict(lambda: ([], []))
        for item in map(from_blob, blobs):
            of_dataset[item.dataset][isinstance(item, Keys)].append(item)  # type: ignore[arg-type]
        tallies = Tallies()
        for _, (several, gone) in sorted(of_dataset.items()):
            if several:
                chosen = deduplicate(join(several), gone, exact=self._exact)
                for place in over_the_cap(chosen.entries, limits):
                    chosen.reasons.setdefault(place, "text_too_frequent")
                for place in _leaks(chosen, test_texts):
                    chosen.reasons[place] = "train_text_in_test"
                for file in self._write(cell, chosen, tallies):
                    yield CELL_FILES, tuple(file)
        yield from data_of(tallies)

    def _write(self, cell: int, chosen: Deduplicated, tallies: Tallies) -> Iterator[CellFile]:
        entries, reasons = chosen
        aside: list[Entries] = []
        record = entries.records()
        for place, reason in reasons.items():
            pair, prints = decode_pair(record(place))
            drop = dropped(pair, _STAGE_OF.get(reason, "dedup"), reason)
            tallies.drop(drop)
            if self._rules.keep_rejects:
                framed = frame(encode_pair(pair, prints, f"{drop.stage}/{reason}"))
                rank, length = np.array([RANKS.index(REJECTS)], np.uint8), np.array([len(framed)], np.uint32)
                one = entries.take(slice(place, place + 1))
                aside.append(one._replace(ranks=rank, lengths=length, data=framed))
        kept = np.ones(len(entries.keys), bool)
        kept[list(reasons)] = False
        for split in SPLITS:
            of_split = entries.take(np.flatnonzero(kept & (entries.ranks == RANKS.index(split))))
            if split == REJECTS and aside:
                of_split = _in_order_of_bytes(join([of_split, *aside]))
            if len(of_split.keys):
                yield _write_cell_file(split, cell, of_split, self._staging)


def _leaks(chosen: Deduplicated, test_texts: Sequence[bytes]) -> Iterator[int]:
    """Places of train pairs, of those that stay, with a text that stands in test."""
    in_test = np.unique(np.concatenate([np.zeros(0, "<u8"), *(np.frombuffer(blob, "<u8") for blob in test_texts)]))
    if not len(in_test):
        return
    record = chosen.entries.records()
    for place in np.flatnonzero(chosen.entries.ranks == RANKS.index(TRAIN)).tolist():
        if place not in chosen.reasons:
            _, prints = decode_pair(record(place))
            texts = np.array(prints.texts, np.uint64)
            found = np.minimum(np.searchsorted(in_test, texts), len(in_test) - 1)
            if (in_test[found] == texts).any():
                yield place


def _in_order_of_bytes(entries: Entries) -> Entries:
    """By key, and equal keys by record."""
    record = entries.records()
    places = sorted(range(len(entries.keys)), key=lambda place: (entries.keys[place], record(place)))
    return entries.take(np.array(places, np.intp))


def _write_cell_file(split: str, cell: int, entries: Entries, staging: str) -> CellFile:
    # A retried attempt writes under another name; only the one whose summary arrives is used.
    path = f"{staging}/cell-{uuid.uuid4().hex}"
    columns = entries.lengths.astype("<u4").tobytes() + entries.fingerprints.astype("<u8").tobytes()
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(entries.data)
        file.write(columns)
    crc = google_crc32c.extend(google_crc32c.value(entries.data), columns)
    edges = [*HISTOGRAM_EDGES, np.inf]
    anchor, positive = (tuple(np.histogram(side, edges)[0].tolist()) for side in entries.characters.T)
    return CellFile(entries.dataset, split, cell, path, len(entries.keys), len(entries.data), (anchor, positive), crc)


def read_cell(cell: CellFile) -> Block:
    """A cell's records with their lengths and fingerprints."""
    with open_raw(cell.path) as file:
        content = file.read()
    expected = cell.bytes + 12 * cell.records
    if len(content) != expected:
        raise OSError(f"{cell.path}: {len(content)} bytes; expected {expected}; run the job again")
    if google_crc32c.value(content) != cell.crc:
        raise OSError(f"{cell.path}: damaged; run the job again")
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

    since = time.perf_counter()
    shard = write_shard(
        folder,
        shard_name(task.split, task.number, task.count),
        blocks(),
        window=task.window,
        open_file=lambda path: move_when_whole(path, staging),
    )
    Metrics.counter("written", f"{task.dataset}: {task.split} records").inc(shard.records)
    Metrics.counter("written", f"{task.dataset}: {task.split} bytes").inc(shard.bytes)
    Metrics.distribution("shards", "milliseconds").update(round((time.perf_counter() - since) * 1000))
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
