"""all-distilroberta-v1: half the batch, for 920,000 steps."""

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="distilroberta",
    encoder="distilbert/distilroberta-base",
    pooling="mean",
    mixture="data_config.json",  # the original's list of 290 files, which the user has: --set mixture=PATH
    data="data",
    negatives=1,
    batch_size=512,  # 64 pairs on each of 8 cores
    steps=920_000,
    compute_dtype="bfloat16",
    # As many rows as texts: no pair is ever shortened, and the memory is the original's.
    pack=PackConfig(pairs=64, rows=128, tokens=128),
    optimizer=OptimizerConfig(learning_rate=2e-5, warmup_steps=500, schedule_steps=1_000_000),
)
