"""all-distilroberta-v1: half the batch, for 920,000 steps."""

from dataclasses import replace

from configs.minilm_l6 import config as minilm_l6

config = replace(
    minilm_l6,
    name="distilroberta",
    encoder="distilbert/distilroberta-base",
    batch_size=512,  # pairs: 64 on each of 8 cores
    steps=920_000,
)
