"""all-MiniLM-L6-v2: the original's run on a TPU v3-8, 100,000 steps of a schedule of a million.

The other runs of the original say in their files only what differs from this one. All depart from the original in two
things: documents known to be right for a row are masked (`loss.mask_false_negatives`), and the loss goes both ways for
rows with hard negatives too, where the original's triplets go one way.
"""

from trainer.config import OptimizerConfig, PackConfig, TrainConfig

config = TrainConfig(
    name="minilm_l6",
    encoder="nreimers/MiniLM-L6-H384-uncased",
    pooling="mean",
    mixture="data_config.json",  # the original's list of 290 files, which the user has: --set mixture=PATH
    data="data",
    negatives=1,
    batch_size=1024,  # pairs: 128 on each of 8 cores
    steps=100_000,
    compute_dtype="bfloat16",
    # A row for each anchor and positive at full length, the original's padded shape; negatives share what is free.
    pack=PackConfig(pairs=64, rows=128, tokens=128),
    optimizer=OptimizerConfig(learning_rate=2e-5, warmup_steps=500, schedule_steps=1_000_000),
    log_every=100,  # a line has the loss of every dataset that was drawn
)
