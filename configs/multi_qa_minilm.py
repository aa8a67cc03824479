"""multi-qa-MiniLM-L6: questions of up to 64 tokens, passages of up to 250, for 200,000 steps."""

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="multi_qa_minilm",
    encoder="nreimers/MiniLM-L6-H384-uncased",
    pooling="mean",
    mixture="data_config.json",  # of question and answer datasets, which the user has: --set mixture=PATH
    data="data",
    negatives=1,
    batch_size=1024,  # as the other runs'; its card's own size is not known here
    steps=200_000,
    compute_dtype="bfloat16",
    # 64 rows for the longest passages and 16 for questions, four a row; negatives share what is free.
    pack=PackConfig(pairs=64, rows=80, tokens=256, max_anchor_tokens=64, max_positive_tokens=250),
    optimizer=OptimizerConfig(learning_rate=2e-5, warmup_steps=500, schedule_steps=1_000_000),
)
