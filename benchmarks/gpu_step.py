"""Training steps on an accelerator: pairs a second and useful-token MFU of packed batches, in bfloat16.

    python -m benchmarks.gpu_step make batches.npz --pairs 8192            # anywhere; NumPy alone
    python -m benchmarks.gpu_step run batches.npz --model mpnet-base --batch-size 1024 8192 --micro-packs 8

`run` needs JAX, Flax and optax alone and computes the project's own step on random weights. `make`
lays texts of mixed length out in packs of 64 pairs; with --lengths, a file with [anchor tokens,
positive tokens] a line, the texts have those lengths. What the ids are does not matter to speed.

Useful FLOPs are those of the texts' own tokens, padding and tokens of other texts left out: a text of
s tokens takes 3·L·s·(2(4h² + 2hf) + 4sh) forward and backward, which for a pair of two texts of S
tokens is 6·L·S·(2(4h² + 2hf) + 4Sh). What gradient caching or rematerialisation computes again is not
useful and not counted, nor are the embedding tables, the loss and the optimizer. MFU is the useful
FLOPs a second over the device's peak (--peak, in TFLOP/s; an H200's 989 unless said).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch
from schemas.pack import pack_texts

PACK_PAIRS, ROW_TOKENS = 64, 128
SMALLEST_VOCABULARY = 30_522
MODELS: dict[str, dict[str, Any]] = {
    "MiniLM-L6": {
        "vocab_size": 30_522,
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "mpnet-base": {
        "vocab_size": 30_527,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 514,
        "type_vocab_size": 0,
        "first_position": 2,
        "pad_token_id": 1,
        "relative_attention_num_buckets": 32,
        "model_type": "mpnet",
    },
    "tiny": {
        "vocab_size": SMALLEST_VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
}


class Speed(NamedTuple):
    """What one configuration does."""

    seconds: float
    """A step; the least of all turns."""
    pairs_per_second: float
    mfu: float
    """Useful FLOPs over the peak, 0 to 1."""
    memory: int
    """Bytes of temporaries that the compiled step asks for."""


def make(path: str, pairs: int, lengths_file: str | None, seed: int = 0) -> Batch:
    """Write packs of token batches; returns the batch."""
    rng = np.random.default_rng(seed)
    lengths = _lengths(pairs, lengths_file, rng).reshape(-1, PACK_PAIRS * 2)
    rows = int(lengths.sum(axis=1).max()) // ROW_TOKENS + 1
    ids = rng.integers(1000, SMALLEST_VOCABULARY, lengths.sum())
    limits = np.full(PACK_PAIRS * 2, ROW_TOKENS)
    packed = pack_texts(ids, lengths, limits=limits, rows=rows, row_tokens=ROW_TOKENS, pad_id=0)
    while packed.shortened.any():
        rows += 1
        packed = pack_texts(ids, lengths, limits=limits, rows=rows, row_tokens=ROW_TOKENS, pad_id=0)
    packs = len(lengths)
    words = np.arange(1, 2 * 2 * pairs + 1, dtype=np.uint32)
    batch = Batch(
        tokens=packed.tokens,
        segments=packed.segments,
        positions=packed.positions,
        fingerprints=words.reshape(packs, PACK_PAIRS, 2, 2),
        clusters=np.zeros((packs, PACK_PAIRS, 2), np.uint32),
        pairs=words[: 2 * pairs].reshape(packs, PACK_PAIRS, 2),
        datasets=np.zeros((packs, PACK_PAIRS), np.int32),
        shortened=packed.shortened,
    )
    np.savez_compressed(path, **batch._asdict())  # pyright: ignore[reportArgumentType]
    return batch


def _lengths(pairs: int, path: str | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """[pairs, 2] tokens of each text, at most a row's; shuffled, so that packs are alike."""
    if pairs % PACK_PAIRS:
        raise SystemExit(f"--pairs {pairs}: expected whole packs of {PACK_PAIRS}")
    if path is not None:
        found = np.array([json.loads(line) for line in Path(path).read_text().splitlines()], np.int64)
        found = found[np.arange(pairs) % len(found)]
    else:
        # A third each like Reddit replies, captions, and questions with long bodies.
        medians = np.array([[18, 18], [14, 13], [12, 110]])[np.arange(pairs) % 3]
        found = (medians * rng.lognormal(0, 0.45, (pairs, 2))).astype(np.int64)
    return rng.permutation(np.clip(found, 4, ROW_TOKENS))


def load(path: str, pairs: int) -> Batch:
    """The first packs of a file that `make` wrote; SystemExit when there are too few."""
    with np.load(path, allow_pickle=False) as arrays:
        batch = Batch(**{name: arrays[name] for name in Batch._fields})
    if pairs > batch.size or pairs % PACK_PAIRS:
        raise SystemExit(f"{path}: {batch.size} pairs; --batch-size {pairs} wants whole packs of {PACK_PAIRS} of them")
    return Batch._make(field[: pairs // PACK_PAIRS] for field in batch)


def useful_flops(batch: Batch, shape: dict[str, Any]) -> float:
    """FLOPs of a step's forward and backward pass over the texts' own tokens."""
    layers, hidden, inner = (shape[k] for k in ("num_hidden_layers", "hidden_size", "intermediate_size"))
    texts = batch.fingerprints.shape[1] * batch.fingerprints.shape[2]
    tokens = np.concatenate([np.bincount(pack.ravel(), minlength=texts + 1)[1:] for pack in batch.segments]).astype(
        float
    )
    return float((3 * layers * tokens * (2 * (4 * hidden**2 + 2 * hidden * inner) + 4 * tokens * hidden)).sum())


def measure(batch: Batch, model: str, *, turns: int, peak: float, **options: Any) -> Speed:
    """Time the compiled step on all devices, whose peak together is `peak` FLOP/s; `options` are the run config's."""
    import jax
    from flax import nnx

    from trainer.config import PackConfig, TrainConfig
    from trainer.encoders.config import EncoderConfig
    from trainer.encoders.transformer import Encoder
    from trainer.mesh import check_divides, make_mesh, replicate, shard_batch
    from trainer.step import init_state, jit_train_step, make_optimizer

    rows, tokens = batch.tokens.shape[1:]
    pack = PackConfig(pairs=PACK_PAIRS, rows=rows, tokens=tokens)
    config = TrainConfig("bench", encoder="", mixture="", data="", batch_size=batch.size, pack=pack)
    config = dataclasses.replace(config, **options)
    mesh = make_mesh()
    check_divides(config.packs, PACK_PAIRS, mesh, config.micro_packs)
    shape = MODELS[model]
    encoder = Encoder(
        EncoderConfig(**shape),
        dtype=config.compute_dtype,
        dropout=config.dropout,
        remat=config.remat,
        rngs=nnx.Rngs(0),
    )
    graphdef, state = init_state(encoder, config)
    state, on_devices = replicate(state, mesh), shard_batch(batch, mesh)
    step = jit_train_step(graphdef, make_optimizer(config), config, mesh=mesh)
    compiled = step.lower(state, on_devices).compile()  # pyright: ignore[reportFunctionMemberAccess]
    best = float("inf")
    for _ in range(turns + 1):
        since = time.perf_counter()
        state, metrics = compiled(state, on_devices)
        jax.block_until_ready((state, metrics))
        best = min(best, time.perf_counter() - since)
    if not np.isfinite(float(metrics["loss"])):
        raise SystemExit(f"{model}: the loss is {float(metrics['loss'])}")
    memory = compiled.memory_analysis()
    return Speed(
        seconds=best,
        pairs_per_second=batch.size / best,
        mfu=useful_flops(batch, shape) / best / peak,
        memory=0 if memory is None else memory.temp_size_in_bytes,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write token batches")
    making.add_argument("path")
    making.add_argument("--pairs", type=int, default=8192)
    making.add_argument("--lengths", help="file with a JSON list [anchor tokens, positive tokens] a line")
    running = commands.add_parser("run", help="time steps")
    running.add_argument("path")
    running.add_argument("--model", nargs="+", choices=sorted(MODELS), default=["MiniLM-L6", "mpnet-base"])
    running.add_argument("--batch-size", nargs="+", type=int, default=[1024, 8192])
    running.add_argument("--micro-packs", nargs="+", type=int, default=[0], help="0: no gradient caching")
    running.add_argument("--remat", nargs="+", default=["none"])
    running.add_argument("--dropout", type=float, default=0.1)
    running.add_argument("--dtype", default="bfloat16")
    running.add_argument("--turns", type=int, default=10)
    running.add_argument("--peak", type=float, default=989.0, help="TFLOP/s of one device")
    asked = parser.parse_args(arguments)
    if asked.command == "make":
        batch = make(asked.path, asked.pairs, asked.lengths)
        print(f"{asked.path}: {batch.size} pairs in rows {batch.tokens.shape}, {batch.real_share:.1%} real tokens")
        return
    import jax

    devices = jax.devices()
    print(f"{len(devices)} x {devices[0].device_kind}, jax {jax.__version__}, {time.strftime('%Y-%m-%d')}")
    print("model  batch  micro_packs  remat  ms/step  pairs/s  MFU  temporaries")
    for model in asked.model:
        for size in asked.batch_size:
            batch = load(asked.path, size)
            for micro in asked.micro_packs:
                for remat in asked.remat:
                    found = measure(
                        batch,
                        model,
                        turns=asked.turns,
                        peak=asked.peak * 1e12 * len(devices),
                        micro_packs=micro or None,
                        remat=remat,
                        dropout=asked.dropout,
                        compute_dtype=asked.dtype,
                    )
                    print(
                        f"{model}  {size}  {micro}  {remat}  {found.seconds * 1e3:.1f}  {found.pairs_per_second:,.0f}  "
                        f"{found.mfu:.1%}  {found.memory / 2**30:.1f} GiB",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
