"""multi-qa-MiniLM-L6: questions of up to 64 tokens, passages of up to 250, for 200,000 steps."""

from dataclasses import replace

from configs.minilm_l6 import config as minilm_l6
from trainer.config import PackConfig

config = replace(
    minilm_l6,  # base and batch too; its card's own batch is not known here
    name="multi_qa_minilm",
    mixture="data_config.json",  # of question and answer datasets, which the user has: --set mixture=PATH
    steps=200_000,
    # 64 rows for the longest passages and 16 for questions, four a row; negatives share what is free.
    pack=PackConfig(pairs=64, rows=80, tokens=256, max_anchor_tokens=64, max_positive_tokens=250),
)
