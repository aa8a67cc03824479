"""Hard negatives: an encoder and a dataset of pairs become a dataset of pairs with negatives.

Of the train split's positives those that lie nearest to an anchor, and do not belong to it, become negatives of
its pairs. What is written is an ordinary dataset: the parent's pairs in the parent's order, the test split as
it was. The test split is neither searched nor mined.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from schemas.manifest import MANIFEST_NAME, Manifest
from trainer.encode import TextEncoder
from trainer.encode_blocks import BlockOptions, encode_to_file
from trainer.exact_search import search
from trainer.mine_texts import Texts, TrainTexts, collect
from trainer.mined_dataset import Recipe, write_dataset

Choice = Literal["nearest", "random"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
BLOCK_QUERIES = 1 << 13
WORK_FOLDER = ".mining"
Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""(label, total) → what is told how much is done: a progress bar."""


@dataclass(frozen=True)
class MineConfig:
    """Which documents become negatives. A rank is a document's place, from 1, among those that may be one."""

    negatives: int = 1
    """Of each pair; its own stay in front, and mined ones fill up to so many."""
    first_rank: int = 1
    last_rank: int = 50
    """The window: documents before it are likely right, those after it are not looked at."""
    margin: float | None = None
    """A negative's score is at least this much below that of the pair's positive; None: no such bound."""
    relative_margin: float | None = 0.05
    """The same as a part of the positive's score: 0.05 keeps what is at most 95% of it."""
    min_score: float | None = None
    max_score: float | None = None
    choice: Choice = "nearest"
    """Among those that are left: the nearest ones, or a random draw."""
    seed: int = 0
    """Of the random draw."""
    only_full: bool = False
    """Drop pairs for which fewer are found; otherwise they are written with what was found, or none."""
    limit: int | None = None
    """Mine for, search in and write the first so many train pairs alone; they are a fair sample. None: all."""
    max_tokens: int | None = None
    """Texts are cut to so many tokens, which is faster; None: as the encoder says."""

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise ValueError(f"negatives is {self.negatives}; expected at least 1")
        if not 1 <= self.first_rank <= self.last_rank:
            raise ValueError(
                f"ranks {self.first_rank} to {self.last_rank}; expected a window of ranks from 1, the first before "
                "the last"
            )
        for name in ("limit", "max_tokens"):
            if (value := getattr(self, name)) is not None and value < (8 if name == "max_tokens" else 1):
                raise ValueError(f"{name} is {value}; expected at least {8 if name == 'max_tokens' else 1}")
        if self.relative_margin is not None and not 0 <= self.relative_margin <= 1:
            raise ValueError(f"relative_margin is {self.relative_margin}; expected a part of the score, 0 to 1")
        if self.choice not in CHOICES:
            raise ValueError(f"choice is {self.choice!r}; expected {' or '.join(CHOICES)}")


class Miner(NamedTuple):
    """The encoder that mines, and what the manifest says of it."""

    encoder: TextEncoder
    name: str
    digest: str
    """`trainer.encoders.digest.encoder_digest` of its folder."""


class Mined(NamedTuple):
    """The dataset that was written, and how many train pairs have how many negatives."""

    manifest: Manifest
    negatives: dict[int, int]
    """Negatives → pairs."""


def mine(
    parent: Manifest,
    miner: Miner,
    output: str | Path,
    config: MineConfig | None = None,
    *,
    dataset: str = "",
    command: Sequence[str] = (),
    overwrite: bool = False,
    stage: Stage | None = None,
) -> Mined:
    """Write the dataset `output` (named `dataset`, by default as its folder) with negatives for `parent`'s pairs.

    Vectors are kept in `output` as they are made, so the same call goes on after a kill; the manifest is written
    last. Raises FileExistsError when there is a dataset already, ValueError for a dataset of token ids, one
    without train pairs, when no negative is found for any pair, and when no pair is left.
    """
    config, stage = config or MineConfig(), stage or _silent
    output = Path(output)
    if parent.kind != "text":
        raise ValueError(f"{parent.folder} holds token ids; expected texts: use the dataset it was made from")
    if parent.folder and output.resolve() == Path(parent.folder).resolve():
        raise ValueError(f"{output} is the dataset that is mined; choose another folder for the result")
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the dataset: choose another --output")
    _make_room(output, overwrite)
    work = output / WORK_FOLDER
    work.mkdir(parents=True, exist_ok=True)
    texts = collect(parent, work, config.limit)
    query, document = miner.encoder.prompts.query, miner.encoder.prompts.document
    made_of = (miner.digest, parent.content_hash, config.limit, config.max_tokens, query, document)
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()
    anchors = _vectors(miner, texts.anchors, query, work / f"anchors-{key}.npy", config, stage)
    positives = _vectors(miner, texts.positives, document, work / f"positives-{key}.npy", config, stage)
    with stage("searching", len(texts.anchors)) as progress:
        chosen, passed_over = _choose(texts, anchors, positives, config, progress)
    if not (chosen >= 0).any():
        raise ValueError(
            f"no negative for any of {len(chosen):,} pairs: of the texts in ranks {config.first_rank} to "
            f"{config.last_rank} {passed_over['too_near']:,} were too near and {passed_over['too_far']:,} too far; "
            "expected some between: loosen the margins, scores or ranks (vectors are kept: the same call is quick)"
        )
    recipe = Recipe(
        dataset or output.name,
        config.negatives,
        config.only_full,
        config.limit,
        tuple(command),
        _facts(parent, miner, config),
    )

    def mined(row: int) -> list[str]:
        return [texts.positives[number] for number in chosen[row].tolist() if number >= 0]

    manifest = write_dataset(parent, output, recipe, mined, dict(passed_over))
    texts.anchors.close()
    texts.positives.close()
    shutil.rmtree(work)
    counts = manifest.parts[0].statistics["mining"]["negatives"]
    return Mined(manifest, {int(number): pairs for number, pairs in counts.items()})


def _silent(_: str, __: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda done: None)


def _make_room(output: Path, overwrite: bool) -> None:
    """The manifest goes first: from then on there is no dataset, whatever is left of its files."""
    if not (output / MANIFEST_NAME).exists():
        return
    if not overwrite:
        raise FileExistsError(f"{output} holds a dataset already; choose another folder, or pass --overwrite")
    old = Manifest.load(output)
    os.unlink(output / MANIFEST_NAME)
    for split in {name for part in old.parts for name in part.splits}:
        for path, _ in old.shards(split):
            for file in Path(path).parent.glob(f"{Path(path).stem}.*"):
                file.unlink()


def _vectors(
    miner: Miner, texts: Texts, prompt: str, path: Path, config: MineConfig, stage: Stage
) -> NDArray[np.float32]:
    """[n, D], mapped from the file, which an earlier call may have made."""
    if not path.is_file():
        with stage(f"encoding {path.name.partition('-')[0]}", len(texts)) as progress:
            limit = miner.encoder.limit
            miner.encoder.limit = min(limit, config.max_tokens or limit)
            try:
                digest = f"{miner.digest} {miner.encoder.limit}"
                options = BlockOptions(prompt=prompt)
                encode_to_file(miner.encoder, digest, texts, path, options=options, progress=progress)
            finally:
                miner.encoder.limit = limit
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _choose(
    texts: TrainTexts,
    anchors: NDArray[np.float32],
    positives: NDArray[np.float32],
    config: MineConfig,
    progress: Callable[[int], None],
) -> tuple[NDArray[np.int32], Counter[str]]:
    """(int32[pairs, negatives] numbers of positives, the best first, -1 where there is none; why others are not)."""
    chosen = np.full((len(texts.anchor), config.negatives), -1, np.int32)
    passed_over: Counter[str] = Counter()
    for start in range(0, len(anchors), BLOCK_QUERIES):
        queries = np.asarray(anchors[start : start + BLOCK_QUERIES])
        hidden = [texts.known(start + place) for place in range(len(queries))]
        found, scores = search(queries, positives, config.last_rank, hidden=hidden)
        for place in range(len(queries)):
            rows = texts.pairs.of(start + place)
            right = positives[texts.positive[rows]] @ queries[place]
            window = slice(config.first_rank - 1, None)
            for row, positive_score in zip(rows.tolist(), right.tolist(), strict=True):
                some = _pick(found[place, window], scores[place, window], positive_score, row, config, passed_over)
                chosen[row, : len(some)] = some
        progress(start + len(queries))
    return chosen, passed_over


def _pick(
    numbers: NDArray[np.int64],
    scores: NDArray[np.float32],
    positive_score: float,
    row: int,
    config: MineConfig,
    passed_over: Counter[str],
) -> NDArray[np.int64]:
    """At most `config.negatives` of the documents of the window."""
    there = numbers >= 0
    bounds = [np.inf if config.max_score is None else config.max_score]
    if config.margin is not None:
        bounds.append(positive_score - config.margin)
    if config.relative_margin is not None:
        bounds.append(positive_score - abs(positive_score) * config.relative_margin)
    near = there & (scores > min(bounds))
    far = there & ~near & (scores < (-np.inf if config.min_score is None else config.min_score))
    passed_over.update(too_near=int(near.sum()), too_far=int(far.sum()))
    left = numbers[there & ~near & ~far]
    if config.choice == "random" and len(left) > config.negatives:
        rng = np.random.default_rng((config.seed, row))
        left = left[np.sort(rng.choice(len(left), config.negatives, replace=False))]
    return left[: config.negatives]


def _facts(parent: Manifest, miner: Miner, config: MineConfig) -> dict[str, Any]:
    """All that decides which negatives there are, for the manifest."""
    return {
        "mined_from": parent.content_hash,
        "encoder": miner.name,
        "encoder_sha256": miner.digest,
        "query_prompt": miner.encoder.prompts.query,
        "document_prompt": miner.encoder.prompts.document,
        **dataclasses.asdict(config),
    }
