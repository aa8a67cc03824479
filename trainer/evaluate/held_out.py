"""The held-out pairs of a dataset as a retrieval collection.

Queries are the distinct anchors, documents the distinct positives of the first test pairs; the
test split is stored in shuffled order, so its beginning is a fair sample. Texts that are equal
once normalised are one text, and every document paired with a query counts as right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from schemas.example import decode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, find_manifests
from schemas.pair import TEST, Pair
from schemas.shards import read_shard
from trainer.evaluate.retrieval_files import Collection


def held_out_collections(folder: Path, candidates: int) -> list[Collection]:
    """A collection of each dataset at or below a folder; none when there is no manifest.

    Raises ValueError when a dataset holds nothing out.
    """
    if not any(MANIFEST_NAME in files for _, _, files in os.walk(folder)):
        return []
    return [held_out_collection(Manifest.load(found), candidates) for found in find_manifests(folder)]


def held_out_collection(manifest: Manifest, candidates: int) -> Collection:
    """The first test pairs of a dataset, until they have `candidates` distinct positives or end.

    Raises ValueError when the dataset holds nothing out.
    """
    queries: dict[int, tuple[int, str]] = {}
    documents: dict[int, tuple[int, str]] = {}
    relevant: list[dict[int, int]] = []
    for record in (record for path, _ in manifest.shards(TEST) for record in read_shard(path)):
        pair, prints = decode_pair(record)
        # Once there are enough, only what links a known query with a known document still counts.
        if len(documents) == candidates and not (prints.texts[0] in queries and prints.texts[1] in documents):
            continue
        query, _ = queries.setdefault(prints.texts[0], (len(queries), pair.anchor))
        document, _ = documents.setdefault(prints.texts[1], (len(documents), pair.positive))
        if query == len(relevant):
            relevant.append({})
        relevant[query][document] = 1
    if not queries:
        raise ValueError(f"{manifest.folder}: no test split to evaluate on; preprocess with --test-fraction")
    return Collection(
        name=manifest.dataset,
        queries=tuple(text for _, text in queries.values()),
        documents=tuple(text for _, text in documents.values()),
        relevant=tuple(relevant),
    )


def held_out_pairs(manifest: Manifest) -> Iterator[Pair]:
    """The pairs of a dataset's test split, in stored order, which is shuffled."""
    for path, _ in manifest.shards(TEST):
        for record in read_shard(path):
            yield decode_pair(record)[0]
