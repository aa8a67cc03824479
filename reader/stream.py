"""The plan's batches, read from disk: the one place where TensorFlow is imported.

tf.data does several steps at once in its own threads and hands them out in order. What a thread
does for a step is one function: runs of records by the plan, their bytes by the window indexes
(`reader/windows.py`), then texts, or ids laid out in rows (`reader/rows.py`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar, cast

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: it greets on stderr otherwise

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from reader.files import FilePool, LocalFile, RangeFile
from reader.plan import BatchPlan, Run
from reader.rows import Layout, Packing, Padding, TextTable, check_rows, make_batch, split_batch, tokenize_table
from reader.windows import Damage, Records, fetch, read_runs
from schemas.batch import Batch
from schemas.token_records import decode_tokens, is_token_record, join_tables

__all__ = [
    "Packing",
    "Padding",
    "PairBatch",
    "SkippedWindows",
    "TextBatch",
    "stream_batches",
    "stream_pairs",
    "stream_texts",
]

TOGETHER = 4096
"""Pairs of consecutive batches that are read and laid out in one go: half of a small batch's time is NumPy's calls."""

# Threads that pass Python's lock to and fro at every call into NumPy are slower than one, so what is many such
# calls is done by one thread at a time. Reading, parsing and tokenising go on beside it.
_TURN = threading.Lock()


class TextBatch(NamedTuple):
    """The pairs of some rows of a batch as text."""

    step: int
    datasets: NDArray[np.int32]
    """[B] index in the mixture."""
    texts: NDArray[np.object_]
    """[B, T] UTF-8 bytes; b'' and presence False where a pair has fewer negatives."""
    present: NDArray[np.bool_]
    """[B, T]"""
    text_fingerprints: NDArray[np.uint64]
    """[B, T]"""
    pair_fingerprints: NDArray[np.uint64]
    """[B]"""
    clusters: NDArray[np.uint64]
    """[B] 0: no cluster."""


class PairBatch(NamedTuple):
    """Which pairs some rows of a batch hold, be their shards of texts or of ids."""

    step: int
    datasets: NDArray[np.int32]
    """[B] index in the mixture."""
    pair_fingerprints: NDArray[np.uint64]
    """[B]"""


@dataclass
class SkippedWindows:
    """The damaged windows in whose stead others were read, in the batches handed out so far."""

    records: int = 0
    """Records replaced, each as often as it was due."""
    errors: dict[str, int] = field(default_factory=dict)
    """Shard, record and what is wrong → records replaced."""

    def add(self, damage: Damage) -> None:
        """Count one more."""
        self.records += damage.records
        self.errors[damage.error] = self.errors.get(damage.error, 0) + damage.records


def stream_texts(
    plan: BatchPlan,
    start: int,
    count: int,
    *,
    negatives: int = 0,
    rows: range | None = None,
    skipped: SkippedWindows | None = None,
) -> Iterator[TextBatch]:
    """Batches `start` … `start + count - 1` as text, whole or those `rows` alone.

    `negatives`: hard negatives read for each pair; a pair with more loses the last ones.
    With `skipped`, damaged windows are passed over and counted there; without, they raise
    ValueError naming shard and record. So does a dataset of token ids.
    """

    def make(steps: range, runs: Sequence[Run], records: Records) -> Sequence[TextBatch]:
        for run, is_tokens in zip(runs, _hold_tokens(runs, records), strict=True):
            if is_tokens:
                raise ValueError(f"{run.path}: holds token ids; expected texts; read the dataset it was made from")
        return [TextBatch(steps[0], _datasets_of(runs), *_parse_texts(records, negatives))]

    return _run(plan, start, count, rows, skipped, make)


def stream_pairs(
    plan: BatchPlan, start: int, count: int, *, rows: range | None = None, skipped: SkippedWindows | None = None
) -> Iterator[PairBatch]:
    """As `stream_texts`, but only which pairs they are; for datasets of texts and of token ids alike."""

    def make(steps: range, runs: Sequence[Run], records: Records) -> Sequence[PairBatch]:
        prints = np.empty(len(records.begins), np.uint64)
        for is_tokens, chosen, some in _by_kind(runs, records):
            prints[chosen] = (decode_tokens(*some, 2) if is_tokens else _parse_texts(some, 0)).pair_fingerprints
        return [PairBatch(steps[0], _datasets_of(runs), prints)]

    return _run(plan, start, count, rows, skipped, make)


def stream_batches(
    plan: BatchPlan,
    start: int,
    count: int,
    layout: Layout,
    *,
    negatives: int = 0,
    rows: range | None = None,
    skipped: SkippedWindows | None = None,
) -> Iterator[Batch]:
    """Batches `start` … `start + count - 1`, tokenised and laid out, ready for the trainer.

    Datasets of token ids give the same batches as those of texts, sooner. With `rows`, of those
    rows of each global batch alone: a host's part. Raises ValueError when they are not whole packs.
    `negatives` and `skipped` as for `stream_texts`.
    """
    check_rows(layout, plan.batch_size, rows)

    def make(steps: range, runs: Sequence[Run], records: Records) -> Sequence[Batch]:
        tables, places = [], []
        for is_tokens, chosen, some in _by_kind(runs, records):
            if is_tokens:
                with _TURN:
                    tables.append(decode_tokens(*some, 2 + negatives))
            else:
                tables.append(tokenize_table(_parse_texts(some, negatives), layout))
            places.append(chosen)
        with _TURN:
            table = tables[0] if len(tables) == 1 else join_tables(tables, places)
            whole = make_batch(table, _datasets_of(runs), layout)
        return split_batch(whole, len(steps))

    share = plan.batch_size if rows is None else len(rows)
    together = 1 if len(layout.widths) > 1 else max(1, TOGETHER // share)
    return _run(plan, start, count, rows, skipped, make, together)


_Made = TypeVar("_Made")
_Make = Callable[[range, Sequence[Run], Records], Sequence[_Made]]


def _run(
    plan: BatchPlan,
    start: int,
    count: int,
    rows: range | None,
    skipped: SkippedWindows | None,
    make: _Make[_Made],
    together: int = 1,
) -> Iterator[_Made]:
    """What `make` makes of steps, their runs and records: `together` steps a call, several calls at once.

    Handed out in order. `make` returns as many things as it is given steps.
    """
    files = FilePool(_open_file)
    # Through tf.data go the steps alone; what was made of them waits here. As tensors, the arrays would be
    # copied twice, errors would lose their type, and damage would be counted before its batch is handed out.
    made: dict[int, tuple[_Made, list[Damage]] | Exception] = {}

    def read(steps: range, damages: list[Damage] | None) -> Sequence[_Made]:
        runs = [run for step in steps for run in plan.runs(step, rows)]
        fetched = fetch(files, runs)
        with _TURN:
            records = read_runs(files, runs, fetched, damages)
        return make(steps, runs, records)

    def read_one(step: int) -> tuple[_Made, list[Damage]] | Exception:
        damages: list[Damage] = []
        try:
            (found,) = read(range(step, step + 1), None if skipped is None else damages)
            return found, damages
        except Exception as error:
            return error

    def read_several(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        steps = range(int(numbers[0]), int(numbers[-1]) + 1)
        try:
            made.update(zip(steps, ((found, []) for found in read(steps, None)), strict=True))
        except Exception:
            # One by one, so that what comes before an error is handed out, and damage counted where it belongs.
            made.update((step, read_one(step)) for step in steps)
        return numbers

    dataset = (
        tf.data.Dataset.range(start, start + count)
        .batch(together)
        .map(
            lambda steps: tf.numpy_function(read_several, [steps], tf.int64),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .prefetch(1)
    )
    for step in chain.from_iterable(cast(Any, dataset.as_numpy_iterator())):
        found = made.pop(int(step))
        if isinstance(found, Exception):
            raise found
        for damage in found[1]:
            assert skipped is not None
            skipped.add(damage)
        yield found[0]


def _datasets_of(runs: Sequence[Run]) -> NDArray[np.int32]:
    return np.repeat([run.dataset for run in runs], [run.count for run in runs]).astype(np.int32)


def _hold_tokens(runs: Sequence[Run], records: Records) -> list[bool]:
    """Whether each run's records hold token ids; a shard's records are all of one kind."""
    counts = np.array([run.count for run in runs], np.int64)
    firsts = np.cumsum(counts) - counts
    return [is_token_record(records.data, begin) for begin in records.begins[firsts].tolist()]


def _by_kind(runs: Sequence[Run], records: Records) -> Iterator[tuple[bool, NDArray[np.int64], Records]]:
    """(whether they hold token ids, their numbers, they) for the records of each kind there is."""
    of_runs = _hold_tokens(runs, records)
    kinds = np.repeat(of_runs, [run.count for run in runs])
    for kind in sorted(set(of_runs)):
        chosen = np.flatnonzero(kinds == kind)
        yield kind, chosen, Records(records.data, records.begins[chosen], records.ends[chosen])


@cache
def _text_parser() -> Any:
    """tf.io.parse_example over records of texts, traced once: parsing runs in compiled code, without Python's lock."""
    features = {
        "anchor": tf.io.FixedLenFeature([], tf.string),
        "positive": tf.io.FixedLenFeature([], tf.string),
        "negatives": tf.io.RaggedFeature(tf.string),
        "pair_fingerprint": tf.io.FixedLenFeature([], tf.int64),
        "text_fingerprints": tf.io.RaggedFeature(tf.int64),
        "cluster_fingerprint": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
    def parse(records: Any, negatives: Any) -> tuple[Any, ...]:
        found: Any = tf.io.parse_example(records, features)
        hard = found["negatives"][:, :negatives]
        there = tf.ones([tf.shape(records)[0], 2], tf.bool)
        both = tf.stack([found["anchor"], found["positive"]], axis=1)
        return (
            tf.concat([both, hard.to_tensor(shape=tf.stack([-1, negatives]))], axis=1),
            tf.concat([there, tf.sequence_mask(hard.row_lengths(), negatives)], axis=1),
            tf.bitcast(found["text_fingerprints"].to_tensor(shape=tf.stack([-1, 2 + negatives])), tf.uint64),
            tf.bitcast(found["pair_fingerprint"], tf.uint64),
            tf.bitcast(found["cluster_fingerprint"], tf.uint64),
        )

    return parse


def _parse_texts(records: Records, negatives: int) -> TextTable:
    return TextTable(*(array.numpy() for array in _text_parser()(records.to_list(), negatives)))


class _RemoteFile:
    """A file of a bucket, as TensorFlow's file systems give it: one position, so one reader at a time."""

    def __init__(self, path: str) -> None:
        self._file, self._lock = tf.io.gfile.GFile(path, "rb"), threading.Lock()
        try:
            self._file.size()
        except tf.errors.NotFoundError:
            raise FileNotFoundError(path) from None

    def read(self, begin: int, end: int) -> bytes:
        with self._lock:
            self._file.seek(begin)
            return cast(bytes, self._file.read(end - begin))


def _open_file(path: str) -> RangeFile:
    return _RemoteFile(path) if "://" in path else LocalFile(path)
