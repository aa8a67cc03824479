"""reddit_single-context_mpnet-base: comments and their replies alone, for 540,000 steps."""

from pathlib import Path

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="reddit_mpnet",
    encoder="microsoft/mpnet-base",
    pooling="mean",
    mixture=str(Path(__file__).with_name("reddit.data_config.json")),
    data="data",
    batch_size=1024,  # as the other runs'; its card's own size is not known here
    steps=540_000,
    compute_dtype="bfloat16",
    # As many rows as texts: no pair is ever shortened, and the memory is the original's.
    pack=PackConfig(pairs=64, rows=128, tokens=128),
    optimizer=OptimizerConfig(learning_rate=2e-5, warmup_steps=500, schedule_steps=1_000_000),
)
