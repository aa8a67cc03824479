"""One training step of a MiniLM-L6 on a CPU, in float32.

Against sentence-transformers on the same 256 pairs of mixed length, texts cut to 128 tokens, from
text to updated weights: its model, its loss and its way of padding, torch's AdamW. And the step with
gradient caching against the step without, on the same batch. Whoever is compared takes turns; of
each the best turn counts, which other programs disturbed least.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.pairs import mixed_pairs
from benchmarks.row import Row
from reader.rows import Packing, TextTable, make_batch, tokenize_table
from schemas.batch import Batch
from schemas.tokens import load_tokenizer
from trainer.config import OptimizerConfig, PackConfig, TrainConfig
from trainer.encoders.fetch import MINILM, resolve_encoder
from trainer.encoders.weights import load_encoder
from trainer.step import init_state, jit_train_step, make_optimizer

PAIRS = 256
MAX_TOKENS = 128
CACHED_PAIRS, CACHED_PACKS = 128, 4
TURNS = 3


def measure() -> list[Row]:
    return [_against_sentence_transformers(), _against_no_cache()]


def _against_sentence_transformers() -> Row:
    pairs = mixed_pairs(PAIRS)
    ours, theirs = _best(_our_step(pairs), _their_step(pairs))
    return Row("batch 256, fp32", PAIRS / ours, "sentence-transformers", PAIRS / theirs, "pairs/s")


def _against_no_cache() -> Row:
    batch, config = _batch(mixed_pairs(CACHED_PAIRS), CACHED_PACKS)
    cached, whole = _best(_step(batch, dataclasses.replace(config, micro_packs=1)), _step(batch, config))
    what = f"cached, {CACHED_PACKS} micro-batches"
    return Row(what, CACHED_PAIRS / cached, "not cached", CACHED_PAIRS / whole, "pairs/s")


def _our_step(pairs: Sequence[tuple[str, str]]) -> Callable[[], None]:
    batch, config = _batch(pairs, 1)
    step = _step(batch, config)

    def whole_step() -> None:
        _batch(pairs, 1, rows=config.pack.rows)  # tokenising and packing count; their result is the batch at hand
        step()

    return whole_step


def _batch(pairs: Sequence[tuple[str, str]], packs: int, rows: int | None = None) -> tuple[Batch, TrainConfig]:
    """The pairs in rows just enough that no text is shortened, dealt to packs so that these are alike."""
    dealt = [pair for pack in range(packs) for pair in pairs[pack::packs]]
    tokenizer = load_tokenizer(resolve_encoder(MINILM))
    a_pack = len(pairs) // packs
    texts = np.array([[text.encode() for text in pair] for pair in dealt], np.object_)
    there, prints = np.ones(texts.shape, bool), np.arange(texts.size, dtype=np.uint64).reshape(texts.shape)
    numbers = np.arange(len(dealt), dtype=np.uint64)
    layout = Packing(tokenizer, a_pack, rows or 1, MAX_TOKENS, (MAX_TOKENS, MAX_TOKENS))
    table = tokenize_table(TextTable(texts, there, prints, numbers, numbers * 0), layout)
    if rows is None:
        used = np.minimum(table.lengths, MAX_TOKENS).reshape(packs, -1).sum(axis=1).max()
        rows = int(used) // MAX_TOKENS + 1
    batch = make_batch(table, np.zeros(len(dealt), np.int32), dataclasses.replace(layout, rows=rows))
    while batch.shortened.any():
        rows += 1
        batch = make_batch(table, np.zeros(len(dealt), np.int32), dataclasses.replace(layout, rows=rows))
    config = TrainConfig(
        name="bench",
        encoder=MINILM,
        mixture="",
        data="",
        batch_size=len(pairs),
        pack=PackConfig(pairs=a_pack, rows=rows, tokens=MAX_TOKENS),
        optimizer=OptimizerConfig(warmup_steps=0),
    )
    return batch, config


def _step(batch: Batch, config: TrainConfig) -> Callable[[], None]:
    graphdef, state = init_state(load_encoder(resolve_encoder(MINILM)), config)
    compiled = jit_train_step(graphdef, make_optimizer(config), config)

    def step() -> None:
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    return step


def _their_step(pairs: Sequence[tuple[str, str]]) -> Callable[[], None]:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(resolve_encoder(MINILM)), device="cpu")
    model.max_seq_length = MAX_TOKENS
    loss_of: Any = MultipleNegativesRankingLoss(model, directions=("query_to_doc", "doc_to_query"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.0)
    model.train()

    def step() -> None:
        features = [dict(model.preprocess(list(side))) for side in zip(*pairs, strict=True)]
        loss = loss_of(features, labels=None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _best(*steps: Callable[[], None]) -> list[float]:
    """The least seconds of each, measured in turns."""
    for step in steps:
        step()  # compiled and warm
    seconds = np.empty((TURNS, len(steps)))
    for turn in range(TURNS):
        for number, step in enumerate(steps):
            since = time.perf_counter()
            step()
            seconds[turn, number] = time.perf_counter() - since
    return seconds.min(axis=0).tolist()
