"""A tiny corpus, encoder and run on disk, without Beam."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

from batches import TINY
from flax import nnx
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split, Stage
from schemas.pair import Pair, fingerprint, shuffle_key
from schemas.shards import Block, frame, open_local, shard_name, write_shard
from trainer.config import OptimizerConfig, PackConfig, TrainConfig
from trainer.encoders.bert import BertEncoder
from trainer.encoders.weights import save_encoder

WORDS = [f"w{number}" for number in range(TINY.vocab_size - 4)]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


def write_dataset(folder: Path, name: str, splits: dict[str, list[Pair]]) -> Manifest:
    """A dataset folder as the pipeline leaves it."""
    import numpy as np

    folder.mkdir(parents=True)
    made = {}
    for split, pairs in splits.items():
        ordered = sorted(((fingerprint(pair), pair) for pair in pairs), key=lambda both: shuffle_key(both[0].pair, 0))
        frames = [frame(encode_pair(pair, prints)) for prints, pair in ordered]
        block = Block(
            b"".join(frames),
            np.array([len(framed) for framed in frames], np.uint32),
            np.array([prints.pair for prints, _ in ordered], np.uint64),
        )
        shard = write_shard(str(folder), shard_name(split, 0, 1), [block], window=16, open_file=open_local)
        made[split] = Split(records=shard.records, bytes=shard.bytes, window=16, shards=(shard,))
    records = sum(split.records for split in made.values())
    part = Part("", (), {}, {}, records, (Stage("read", records),), made, {})
    manifest = Manifest(name, "text → text", "made up", "", "", (part,), folder=str(folder))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def topic_pairs(dataset: str, count: int, seed: int) -> list[Pair]:
    """Pairs whose sides share a rare word, so that there is something to learn."""
    rng = random.Random(seed)

    def text(topic: str) -> str:
        words = [topic, *rng.choices(WORDS, k=rng.randint(2, 6))]
        rng.shuffle(words)
        return " ".join(words)

    return [
        Pair(dataset, text(topic), text(topic), group=str(n)) for n, topic in enumerate(rng.choices(WORDS, k=count))
    ]


def write_encoder(folder: Path) -> Path:
    """A tiny random encoder with its tokenizer."""
    folder.mkdir(parents=True)
    save_encoder(BertEncoder(dataclasses.replace(TINY), rngs=nnx.Rngs(0)), folder)
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate([*SPECIAL, *WORDS])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
    return folder


def write_run(root: Path, **changes: object) -> TrainConfig:
    """Corpus, encoder and config of a small run below `root`."""
    splits = {"a": topic_pairs("a", 200, 1), "b": topic_pairs("b", 100, 2)}
    for name, pairs in splits.items():
        write_dataset(root / "data" / name, name, {"train": pairs, "test": topic_pairs(name, 30, 3)})
    mixture = root / "mixture.json"
    mixture.write_text(json.dumps([{"name": "a", "weight": 2}, {"name": "b", "weight": 1}]))
    config = TrainConfig(
        name="small",
        encoder=str(write_encoder(root / "base")),
        mixture=str(mixture),
        data=str(root / "data"),
        batch_size=16,
        steps=20,
        dropout=0.1,
        pack=PackConfig(pairs=2, rows=2, tokens=32),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=2, schedule_steps=20),
        log_every=1,
        checkpoint_every=5,
        evaluation_queries=20,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]
