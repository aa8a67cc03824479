"""RoBERTa-large as the original's other bases; its steps and batch are ours, neither published to us nor measured."""

from dataclasses import replace

from configs.minilm_l6 import config as minilm_l6
from trainer.config import PackConfig

config = replace(
    minilm_l6,
    name="roberta_large",
    encoder="FacebookAI/roberta-large",
    batch_size=256,  # pairs: 32 on each of 8 cores, a guess: `pairstream tpu-check` says what fits
    pack=PackConfig(pairs=32, rows=64, tokens=128),
)
