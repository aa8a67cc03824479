"""Writing a dataset of pairs with mined negatives: shard by shard as its parent's, the manifest last."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.example import decode_pair, encode_pairs
from schemas.manifest import HISTOGRAM_EDGES, MANIFEST_NAME, Manifest, Part, Split, Stage
from schemas.pair import TEST, TRAIN, Pair, fingerprint, text_fingerprint
from schemas.shards import Block, frame, open_local, read_shard, shard_name, window_for, write_shard

BLOCK_PAIRS = 1024
FEWER = "fewer_negatives_found"

MinedTexts = Callable[[int], Sequence[str]]
"""Number of a train pair → the texts that may be its negatives, the best first."""


@dataclass(frozen=True)
class Recipe:
    """What becomes of the parent's pairs, and what the manifest says of it."""

    dataset: str
    negatives: int
    """Of a pair, its own and mined ones together."""
    only_full: bool
    """Drop train pairs with fewer."""
    limit: int | None
    """Train pairs that are there, from the first; None: all."""
    command: tuple[str, ...]
    options: dict[str, Any]


@dataclass
class _Counts:
    read: int = 0
    dropped: int = 0
    negatives: Counter[int] = field(default_factory=Counter)
    """Negatives → train pairs."""
    characters: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Split → [side, bin]."""


def write_dataset(
    parent: Manifest, output: Path, recipe: Recipe, mined: MinedTexts, passed_over: dict[str, int]
) -> Manifest:
    """The dataset of the parent's pairs, in its order; train pairs get negatives, test pairs stay as they are.

    Raises ValueError when no train pair is left.
    """
    counts = _Counts()
    train = _train_shards(parent, recipe, mined, counts)
    if not train:
        raise ValueError(
            f"{parent.folder}: no pair has {recipe.negatives} negatives within these bounds; widen the ranks or the "
            "margins, or keep pairs with fewer"
        )
    test = [(_pairs(path), shard.records) for path, shard in parent.shards(TEST) if shard.records]
    counts.read += sum(records for _, records in test)
    splits = {TRAIN: _write_split(output, TRAIN, train, recipe, counts)}
    if test:
        splits[TEST] = _write_split(output, TEST, test, recipe, counts)
    return _write_manifest(parent, output, recipe, splits, counts, passed_over)


def _train_shards(
    parent: Manifest, recipe: Recipe, mined: MinedTexts, counts: _Counts
) -> list[tuple[Iterator[Pair], int]]:
    """(pairs with their negatives, how many there will be) of each shard that keeps some."""

    def pairs(path: str, first: int, records: int) -> Iterator[Pair]:
        for row, pair in enumerate(islice(_pairs(path), records), start=first):
            made = _fill(pair, recipe.negatives, mined(row))
            if len(made.negatives) >= recipe.negatives or not recipe.only_full:
                yield made

    shards = []
    first = 0
    for path, shard in parent.shards(TRAIN):
        records = shard.records if recipe.limit is None else min(shard.records, recipe.limit - first)
        # A shard's name says how many there are, so a shard that loses all its pairs must be known beforehand.
        kept = sum(1 for _ in pairs(path, first, records)) if recipe.only_full else records
        if kept:
            shards.append((pairs(path, first, records), kept))
        counts.dropped += records - kept
        first += records
    counts.read += first
    return shards


def _pairs(path: str) -> Iterator[Pair]:
    return (decode_pair(record)[0] for record in read_shard(path))


def _fill(pair: Pair, negatives: int, mined: Sequence[str]) -> Pair:
    """The pair's own negatives stay in front; mined ones that are not among them follow, up to so many."""
    chosen = list(pair.negatives)
    there = {text_fingerprint(text) for text in chosen}
    for text in mined:
        if len(chosen) < negatives and (print_ := text_fingerprint(text)) not in there:
            chosen.append(text)
            there.add(print_)
    return dataclasses.replace(pair, negatives=tuple(chosen))


def _write_split(
    output: Path, split: str, shards: Sequence[tuple[Iterator[Pair], int]], recipe: Recipe, counts: _Counts
) -> Split:
    window = window_for(sum(records for _, records in shards))
    written = [
        write_shard(
            str(output),
            shard_name(split, number, len(shards)),
            _blocks(pairs, split, recipe.dataset, counts),
            window=window,
            open_file=open_local,
        )
        for number, (pairs, _) in enumerate(shards)
    ]
    return Split(sum(shard.records for shard in written), sum(shard.bytes for shard in written), window, tuple(written))


def _blocks(pairs: Iterable[Pair], split: str, dataset: str, counts: _Counts) -> Iterator[Block]:
    pairs = iter(pairs)
    bins = counts.characters.setdefault(split, np.zeros((2, len(HISTOGRAM_EDGES)), np.int64))
    while some := [dataclasses.replace(pair, dataset=dataset) for pair in islice(pairs, BLOCK_PAIRS)]:
        prints = [fingerprint(pair) for pair in some]
        frames = [frame(record) for record in encode_pairs(some, prints, [""] * len(some))]
        for side, lengths in enumerate(zip(*((len(pair.anchor), len(pair.positive)) for pair in some), strict=True)):
            bins[side] += np.histogram(lengths, [*HISTOGRAM_EDGES, np.inf])[0]
        if split == TRAIN:
            counts.negatives.update(len(pair.negatives) for pair in some)
        yield Block(
            b"".join(frames),
            np.array([len(framed) for framed in frames], np.uint32),
            np.array([each.pair for each in prints], np.uint64),
        )


def _write_manifest(
    parent: Manifest,
    output: Path,
    recipe: Recipe,
    splits: dict[str, Split],
    counts: _Counts,
    passed_over: dict[str, int],
) -> Manifest:
    drops = {FEWER: counts.dropped} if counts.dropped else {}
    sides = {
        split: {"anchor": bins[0].tolist(), "positive": bins[1].tolist()} for split, bins in counts.characters.items()
    }
    part = Part(
        path="",
        command=recipe.command,
        options=recipe.options,
        inputs={"dataset": parent.dataset, "content_hash": parent.content_hash},
        read=counts.read,
        funnel=(Stage("read", counts.read), Stage("mine", counts.read - counts.dropped, drops)),
        splits=splits,
        statistics={
            "characters": {"edges": list(HISTOGRAM_EDGES), **sides},
            "mining": {
                "negatives": {str(number): pairs for number, pairs in sorted(counts.negatives.items())},
                "passed_over": passed_over,
            },
        },
    )
    manifest = dataclasses.replace(
        parent,
        dataset=recipe.dataset,
        tuple=f"{parent.tuple}, with mined negatives",
        parts=(part,),
        folder=str(output),
    )
    with open_local(str(output / MANIFEST_NAME)) as file:
        file.write(manifest.to_bytes())
    return manifest
