"""RoBERTa-large as the original's other bases; its steps and batch are ours, neither published to us nor measured."""

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="roberta_large",
    encoder="FacebookAI/roberta-large",
    pooling="mean",
    mixture="data_config.json",  # the original's list of 290 files, which the user has: --set mixture=PATH
    data="data",
    negatives=1,
    batch_size=256,  # 32 pairs on each of 8 cores, a guess: `pairstream tpu-check` says what fits
    steps=100_000,
    compute_dtype="bfloat16",
    # As many rows as texts: no pair is ever shortened, and the memory is the original's.
    pack=PackConfig(pairs=32, rows=64, tokens=128),
    optimizer=OptimizerConfig(learning_rate=2e-5, warmup_steps=500, schedule_steps=1_000_000),
)
