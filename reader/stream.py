"""The plan's batches, read from disk: the one place where TensorFlow is imported.

A step becomes runs of records, the runs become byte ranges of shards by their window indexes, and
tf.data reads, decodes and packs several steps at once in its own threads, in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: it greets on stderr otherwise

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tokenizers import Tokenizer

from reader.plan import BatchPlan, Run
from schemas.batch import Batch, split_words
from schemas.pack import pack_texts
from schemas.shards import Index, decode_index, index_name, unframe
from schemas.tokens import pad_id, truncate

_FEATURES = {
    "anchor": tf.io.FixedLenFeature([], tf.string),
    "positive": tf.io.FixedLenFeature([], tf.string),
    "negatives": tf.io.RaggedFeature(tf.string),
    "pair_fingerprint": tf.io.FixedLenFeature([], tf.int64),
    "text_fingerprints": tf.io.RaggedFeature(tf.int64),
    "cluster_fingerprint": tf.io.FixedLenFeature([], tf.int64, default_value=0),
}


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


@dataclass(frozen=True)
class Packing:
    """How the texts of a batch become rows of tokens."""

    tokenizer: Tokenizer
    pairs: int
    """Pairs a pack."""
    rows: int
    row_tokens: int
    max_tokens: tuple[int, int]
    """Most tokens of an anchor, and of a positive or negative; special tokens included."""


def stream_texts(
    plan: BatchPlan, start: int, count: int, *, negatives: int = 0, rows: range | None = None
) -> Iterator[TextBatch]:
    """Batches `start` … `start + count - 1` as text, whole or those `rows` alone.

    `negatives`: hard negatives read for each pair; a pair with more loses the last ones.
    Raises ValueError naming shard and record when a shard is damaged.
    """
    for arrays in _run(_text_dataset(plan, start, count, negatives, rows)):
        yield TextBatch(int(arrays[0]), *arrays[1:])


def stream_batches(
    plan: BatchPlan,
    start: int,
    count: int,
    packing: Packing,
    *,
    negatives: int = 0,
    rows: range | None = None,
) -> Iterator[Batch]:
    """Batches `start` … `start + count - 1`, tokenised and packed, ready for the trainer.

    With `rows`, of those rows of each global batch alone: a host's part. Raises ValueError when they
    are not whole packs.
    """
    _refuse_split_packs(range(plan.batch_size) if rows is None else rows, packing.pairs)
    types = [getattr(tf, name) for name in _BATCH_TYPES]

    def pack(*arrays: NDArray[Any]) -> Batch:
        return pack_batch(TextBatch(0, *arrays), packing)

    dataset = _text_dataset(plan, start, count, negatives, rows).map(
        lambda _, *arrays: tf.numpy_function(pack, arrays, types, stateful=False),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    for arrays in _run(dataset):
        yield Batch(*arrays)


def _refuse_split_packs(rows: range, pairs: int) -> None:
    for name, found in (("start", rows.start), ("end", rows.stop)):
        if found % pairs:
            near = max(1, round(found / pairs)) * pairs
            raise ValueError(f"rows {name} at {found}, inside a pack of {pairs} pairs; the nearest whole pack: {near}")


_BATCH_TYPES = ("int32", "int32", "int32", "uint32", "uint32", "uint32", "int32", "int32")


def _run(dataset: tf.data.Dataset) -> Iterator[tuple[NDArray[Any], ...]]:
    """Elements as NumPy arrays; an error of ours comes out as it was raised, without TensorFlow's wrapping."""
    try:
        yield from cast(Any, dataset.prefetch(2).as_numpy_iterator())
    except tf.errors.OpError as error:
        lines = [line for line in (error.message or "").splitlines() if line.startswith("ValueError: ")]
        if not lines:
            raise
        raise ValueError(lines[-1].removeprefix("ValueError: ")) from None


def _text_dataset(plan: BatchPlan, start: int, count: int, negatives: int, rows: range | None) -> tf.data.Dataset:
    texts = 2 + negatives

    def read(step: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
        runs = plan.runs(int(step), rows)
        records = [record for run in runs for record in read_run(run)]
        datasets = np.repeat([run.dataset for run in runs], [run.count for run in runs]).astype(np.int32)
        return datasets, np.array(records, np.object_)

    def parse(step: Any) -> tuple[Any, ...]:
        datasets, records = tf.numpy_function(read, [step], [tf.int32, tf.string], stateful=False)
        datasets.set_shape([None])
        records.set_shape([None])
        features: Any = tf.io.parse_example(records, _FEATURES)
        hard = features["negatives"][:, :negatives]
        present = tf.concat(
            [tf.ones([tf.shape(records)[0], 2], tf.bool), tf.sequence_mask(hard.row_lengths(), negatives)],
            axis=1,
        )
        both = tf.stack([features["anchor"], features["positive"]], axis=1)
        return (
            step,
            datasets,
            tf.concat([both, hard.to_tensor(shape=[None, negatives])], axis=1),
            present,
            tf.bitcast(features["text_fingerprints"].to_tensor(shape=[None, texts]), tf.uint64),
            tf.bitcast(features["pair_fingerprint"], tf.uint64),
            tf.bitcast(features["cluster_fingerprint"], tf.uint64),
        )

    return tf.data.Dataset.range(start, start + count).map(
        parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def read_run(run: Run) -> list[bytes]:
    """The records of a run: one read of the windows that hold them.

    Raises ValueError naming shard and record when the bytes are damaged.
    """
    index = _index(run.path)
    window = run.first // index.window
    last = -(-(run.first + run.count) // index.window)
    begin, end = int(index.offsets[window]), int(index.offsets[min(last, len(index.offsets) - 1)])
    with tf.io.gfile.GFile(run.path, "rb") as file:
        file.seek(begin)
        data = file.read(end - begin)
    records = unframe(data, where=run.path, first=window * index.window)
    if run.first + run.count > index.records:
        raise ValueError(f"{run.path}: ends before record {run.first + run.count - 1}; make the dataset again")
    if len(records) != (expected := min(last * index.window, index.records) - window * index.window):
        raise ValueError(
            f"{index_name(run.path)}: {len(records)} records lie where it says {expected}; make the dataset again"
        )
    skipped = run.first - window * index.window
    return records[skipped : skipped + run.count]


@lru_cache(maxsize=4096)
def _index(shard: str) -> Index:
    path = index_name(shard)
    with tf.io.gfile.GFile(path, "rb") as file:
        return decode_index(file.read(), where=path)


def pack_batch(batch: TextBatch, packing: Packing) -> Batch:
    """Tokenise and pack, pack by pack. The rows must be whole packs."""
    pairs, texts = batch.present.shape
    packs = pairs // packing.pairs
    ids = _tokenize(batch, packing)
    packed = [
        pack_texts(
            ids[number * packing.pairs * texts : (number + 1) * packing.pairs * texts],
            rows=packing.rows,
            row_tokens=packing.row_tokens,
            pad_id=pad_id(packing.tokenizer),
        )
        for number in range(packs)
    ]
    shape = (packs, packing.pairs)
    return Batch(
        tokens=np.stack([pack.tokens for pack in packed]),
        segments=np.stack([pack.segments for pack in packed]),
        positions=np.stack([pack.positions for pack in packed]),
        fingerprints=split_words(batch.text_fingerprints).reshape(*shape, texts, 2),
        clusters=split_words(batch.clusters).reshape(*shape, 2),
        pairs=split_words(batch.pair_fingerprints).reshape(*shape, 2),
        datasets=batch.datasets.reshape(shape),
        shortened=np.array([pack.shortened for pack in packed], np.int32),
    )


def _tokenize(batch: TextBatch, packing: Packing) -> list[Sequence[int] | None]:
    """Token ids of all texts in (pair, slot) order, cut to the limits; None for a text that is not there."""
    there = batch.present.ravel()
    flat = [text.decode() for text, is_there in zip(batch.texts.ravel(), there, strict=True) if is_there]
    encoded = iter(packing.tokenizer.encode_batch_fast(flat))
    limits = [packing.max_tokens[min(slot, 1)] for slot in range(batch.present.shape[1])] * len(batch.present)
    return [
        truncate(next(encoded).ids, limit) if is_there else None for is_there, limit in zip(there, limits, strict=True)
    ]
