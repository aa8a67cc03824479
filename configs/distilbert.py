"""DistilBERT as the original's other bases: no steps of it are known here, so those of minilm_l6."""

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="distilbert",
    encoder="distilbert/distilbert-base-uncased",
    pooling="mean",
    mixture="data_config.json",  # the original's list of 290 files, which the user has: --set mixture=PATH
    data="data",
    negatives=1,
    batch_size=1024,  # 128 pairs on each of 8 cores
    steps=100_000,
    compute_dtype="bfloat16",
    # As many rows as texts: no pair is ever shortened, and the memory is the original's.
    pack=PackConfig(pairs=64, rows=128, tokens=128),
    optimizer=OptimizerConfig(learning_rate=2e-5, warmup_steps=500, schedule_steps=1_000_000),
)
