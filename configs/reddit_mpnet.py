"""reddit_single-context_mpnet-base: comments and their replies alone, for 540,000 steps."""

from dataclasses import replace
from pathlib import Path

from configs.mpnet_base import config as mpnet_base

config = replace(
    mpnet_base,  # batch too; its card's own is not known here
    name="reddit_mpnet",
    mixture=str(Path(__file__).with_name("reddit.data_config.json")),
    negatives=0,  # replies have none
    steps=540_000,
)
