"""The reader: packed batches of 1,024 pairs from a mixture on disk.

From token ids against TensorFlow alone, which reads and parses the same shards front to back and
does nothing more; from texts against the tokenizer alone; both against sentence-transformers' loader
of several datasets, with its sampler without duplicates and its collator. All on the same short
pairs, in turns; of each the best of three turns counts, which other programs disturbed least.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from tokenizers import Tokenizer

from benchmarks.row import Row
from reader.plan import BatchPlan, plan_batches
from reader.rows import Packing
from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split
from schemas.mixture import BatchPolicy, Mixture, MixtureEntry
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, frame, open_local, shard_name, window_for, write_shard
from schemas.token_records import FEATURES
from schemas.tokens import load_tokenizer, tokenize_records
from trainer.encoders.fetch import MINILM, resolve_encoder

BATCH = 1024
DATASETS = {"captions": 100_000, "titles": 60_000, "questions": 40_000}
"""Pairs of each, and its weight."""
SHARD = 20_000
"""Pairs a shard."""
STEPS = {"tokens": 600, "texts": 200, "peer": 12}
"""Batches a turn."""
TURNS = 3


def measure() -> list[Row]:
    encoder = resolve_encoder(MINILM)
    tokenizer = load_tokenizer(encoder)
    packing = Packing(tokenizer, pairs=64, rows=20, row_tokens=128, max_tokens=(128, 128))
    pairs = make_pairs(tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        texts, tokens = write_datasets(Path(folder), pairs, tokenizer)
        plan = plan_of(texts)
        batches = _batches_of_texts(plan, STEPS["texts"])
        from_tokens, tensorflow, from_texts, alone, peer = _best(
            lambda: read_batches(plan_of(tokens), packing, STEPS["tokens"]),
            lambda: _parse_front_to_back(tokens, STEPS["tokens"]),
            lambda: read_batches(plan, packing, STEPS["texts"]),
            lambda: _tokenize(tokenizer, batches),
            _sentence_transformers(encoder, pairs, STEPS["peer"]),
        )
    return [
        Row("from token ids", from_tokens, "TensorFlow, read and parse", tensorflow, "pairs/s"),
        Row("from texts", from_texts, "tokenizer alone", alone, "pairs/s"),
        Row("from token ids", from_tokens, "sentence-transformers", peer, "pairs/s"),
        Row("from texts", from_texts, "sentence-transformers", peer, "pairs/s"),
    ]


def _best(*works: Callable[[], int]) -> list[float]:
    """Pairs a second of each, the best of some turns; a work says how many pairs it did."""
    best = [0.0] * len(works)
    for _ in range(TURNS):
        for number, work in enumerate(works):
            since = time.perf_counter()
            done = work()
            best[number] = max(best[number], done / (time.perf_counter() - since))
    return best


def plan_of(data: Path) -> BatchPlan:
    """The mixture of `DATASETS`, each weighing its size."""
    entries = tuple(MixtureEntry(name, weight) for name, weight in DATASETS.items())
    return plan_batches(Mixture(entries, 0, BatchPolicy(BATCH, 2)), data)


def read_batches(plan: BatchPlan, packing: Packing, steps: int) -> int:
    """Pairs of that many packed batches."""
    from reader.stream import stream_batches

    return sum(batch.size for batch in stream_batches(plan, 0, steps, packing))


def _parse_front_to_back(data: Path, steps: int) -> int:
    import tensorflow as tf

    paths = sorted(map(str, data.rglob("*.tfrecord")))
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in FEATURES}
    dataset = tf.data.TFRecordDataset(paths).repeat().batch(BATCH).take(steps)
    dataset = dataset.map(lambda records: tf.io.parse_example(records, features), num_parallel_calls=tf.data.AUTOTUNE)
    return sum(BATCH for _ in dataset.prefetch(tf.data.AUTOTUNE))


def _batches_of_texts(plan: BatchPlan, steps: int) -> list[list[str]]:
    from reader.stream import stream_texts

    return [[text.decode() for text in batch.texts.ravel()] for batch in stream_texts(plan, 0, steps)]


def _tokenize(tokenizer: Tokenizer, batches: list[list[str]]) -> int:
    return sum(len(tokenizer.encode_batch_fast(batch)) // 2 for batch in batches)


def _sentence_transformers(encoder: Path, pairs: dict[str, list[Pair]], steps: int) -> Callable[[], int]:
    """Its trainer's loader: a batch is of one dataset, datasets in proportion to their sizes."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler, ProportionalBatchSampler
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
    from torch.utils.data import ConcatDataset, DataLoader

    model = SentenceTransformer(str(encoder), device="cpu")
    made = [
        Dataset.from_dict({"anchor": [pair.anchor for pair in each], "positive": [pair.positive for pair in each]})
        for each in pairs.values()
    ]
    samplers: list[Any] = [NoDuplicatesBatchSampler(each, BATCH, drop_last=True) for each in made]
    whole: Any = ConcatDataset(made)

    def load() -> int:
        loader = DataLoader(
            whole,
            batch_sampler=ProportionalBatchSampler(whole, samplers),
            collate_fn=SentenceTransformerDataCollator(preprocess_fn=model.preprocess),
        )
        return sum(BATCH for _, _ in zip(range(steps), loader, strict=False))

    return load


def make_texts(tokenizer: Tokenizer, count: int, seed: int) -> list[str]:
    """Captions of 6 to 18 words of the tokenizer's vocabulary, frequent words first, as Zipf has it."""
    ranked = sorted((rank, token) for token, rank in tokenizer.get_vocab().items())
    words = [token for _, token in ranked if token.isascii() and token.isalpha() and len(token) > 1]
    chance = np.random.default_rng(seed)
    lengths = chance.integers(6, 19, count)
    ranks = np.minimum(chance.zipf(1.2, int(lengths.sum())), len(words)) - 1
    ends = np.cumsum(lengths)
    chosen = [words[rank] for rank in ranks]
    return [" ".join(chosen[end - length : end]) for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def make_pairs(tokenizer: Tokenizer) -> dict[str, list[Pair]]:
    """The pairs of the mixture; a number ends every anchor, so that none comes twice."""
    made = {}
    for seed, (name, count) in enumerate(DATASETS.items()):
        texts = make_texts(tokenizer, 2 * count, seed)
        made[name] = [Pair(name, f"{texts[n]} {n}", texts[count + n]) for n in range(count)]
    return made


def write_datasets(folder: Path, pairs: dict[str, list[Pair]], tokenizer: Tokenizer) -> tuple[Path, Path]:
    """The same pairs as datasets of texts and of token ids."""
    texts, tokens = folder / "texts", folder / "tokens"
    for name, of_dataset in pairs.items():
        prints = [fingerprint(pair) for pair in of_dataset]
        records = [encode_pair(pair, its) for pair, its in zip(of_dataset, prints, strict=True)]
        ids = [its.pair for its in prints]
        _write(texts / name, name, "text", records, ids)
        of_tokens: list[bytes] = []
        for first in range(0, len(records), 4096):
            of_tokens += tokenize_records(records[first : first + 4096], tokenizer)
        _write(tokens / name, name, "tokens", of_tokens, ids)
    return texts, tokens


def _write(folder: Path, name: str, kind: str, records: list[bytes], prints: list[int]) -> None:
    folder.mkdir(parents=True)
    window, count, shards = window_for(len(records)), -(-len(records) // SHARD), []
    for number in range(count):
        part = slice(number * SHARD, (number + 1) * SHARD)
        frames = [frame(record) for record in records[part]]
        block = Block(
            b"".join(frames), np.array([len(each) for each in frames], np.uint32), np.array(prints[part], np.uint64)
        )
        file = shard_name("train", number, count)
        shards.append(write_shard(str(folder), file, [block], window=window, open_file=open_local))
    split = Split(len(records), sum(shard.bytes for shard in shards), window, tuple(shards))
    part = Part("", (), {}, {}, len(records), (), {"train": split}, {})
    manifest = Manifest(name, "a → b", "none", "nobody", "", (part,), kind=kind, folder=str(folder))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
