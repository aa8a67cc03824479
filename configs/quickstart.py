"""The run of `make train`: all-MiniLM-L6-v2 learns to find Python functions, in minutes on two cores."""

from pathlib import Path

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="quickstart",
    encoder="all-MiniLM-L6-v2",
    mixture=str(Path(__file__).with_name("quickstart.data_config.json")),
    data="data/docstrings",
    corpus=("docstrings",),
    batch_size=64,
    steps=48,
    dropout=0.0,  # a fraction of an epoch: nothing to overfit, and masks cost time on a CPU
    pack=PackConfig(pairs=64, rows=48, tokens=128, max_anchor_tokens=48, max_positive_tokens=96),
    optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=6),
    checkpoint_every=24,
)
