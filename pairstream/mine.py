"""`pairstream mine`: hard negatives for a dataset's pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pairstream.arguments import Dataset, Encoder, parse
from pairstream.cli import UsageError
from pairstream.quiet import progress_bar, quiet_libraries
from schemas.manifest import Manifest


@dataclass(frozen=True)
class Arguments:
    """Give each train pair of a dataset hard negatives: texts that an encoder takes for right and that are not.

    The result is an ordinary dataset; train on it with --set negatives=N. Killed, the same command goes on.

    For example: pairstream mine runs/quickstart/encoder data/docstrings/docstring_code --output data/mined
    """

    encoder: Encoder
    """Encoder folder or Hub id: what it confuses becomes a negative."""
    dataset: Dataset
    """Folder of a preprocessed dataset of texts. Its train split is searched and mined, its test split taken over."""
    output: Path
    """Folder of the new dataset."""
    name: str = ""
    """Of the new dataset; by default its folder's."""
    negatives: int = 1
    """Of each pair, its own ones included, which stay in front."""
    first_rank: int = 1
    """Nearer texts are passed over, as likely right ones that nobody marked."""
    last_rank: int = 50
    """Farther texts are not looked at."""
    margin: float | None = None
    """A negative scores at least this much below the pair's positive."""
    relative_margin: float | None = 0.05
    """The same as a part of the positive's score: 0.05 passes over what has more than 95% of it; None: no bound."""
    min_score: float | None = None
    """A negative scores at least this."""
    max_score: float | None = None
    """A negative scores at most this."""
    choice: Literal["nearest", "random"] = "nearest"
    """Of the texts that are left: the nearest, or a random draw."""
    seed: int = 0
    """Of the random draw."""
    only_full: bool = False
    """Drop pairs for which fewer negatives are found."""
    limit: int | None = None
    """Use the first so many train pairs alone; a fair sample, since shards are shuffled."""
    max_tokens: int | None = None
    """Cut texts to so many tokens, which is faster; by default the encoder's maximum."""
    overwrite: bool = False
    """Replace the dataset that is there."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "mine")
    parent = Manifest.load(arguments.dataset)
    quiet_libraries()
    from trainer.encode import TextEncoder
    from trainer.encoders.digest import encoder_digest
    from trainer.encoders.fetch import resolve_encoder
    from trainer.mine import MineConfig, Miner, mine

    fields = ("negatives", "first_rank", "last_rank", "margin", "relative_margin", "min_score", "max_score")
    fields += ("choice", "seed", "only_full", "limit", "max_tokens")
    try:
        config = MineConfig(**{name: getattr(arguments, name) for name in fields})
    except ValueError as error:
        raise UsageError(str(error)) from None
    folder = resolve_encoder(arguments.encoder)
    miner = Miner(TextEncoder.open(folder), arguments.encoder, encoder_digest(folder))
    done = mine(
        parent,
        miner,
        arguments.output,
        config,
        dataset=arguments.name,
        command=("mine", *argv),
        overwrite=arguments.overwrite,
        stage=progress_bar,
    )
    found = ", ".join(f"{pairs:,} with {number}" for number, pairs in sorted(done.negatives.items()))
    print(f"{arguments.output}: {done.manifest.records('train'):,} train pairs; by negatives: {found}")
    print(f"next: pairstream inspect {arguments.output}")
