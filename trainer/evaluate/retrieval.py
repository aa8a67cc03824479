"""Retrieval on held-out pairs: does a text find what belongs to it among a thousand others?

Queries are the distinct anchors, documents the distinct positives of the first test pairs; the
test split is stored in shuffled order, so its beginning is a fair sample. Texts that are equal
once normalised are one text, and every document paired with a query counts as right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bm25s
import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import TEST
from schemas.shards import read_shard

MEASURES: Mapping[str, Any] = {"mrr@10": RR @ 10, "ndcg@10": nDCG @ 10, "recall@10": R @ 10}
DEPTH = 10
"""Documents ranked for each query: no measure looks further."""
BLOCK_QUERIES = 1024
WORD = r"(?u)[^\W_]+"
"""Words of BM25: code is cut at underscores, so that `read_file` can match "read a file"."""

Rank = Callable[[Sequence[str], Sequence[str]], tuple[NDArray[np.int64], NDArray[np.float32]]]
"""(queries, documents) → int[n, k] documents and float[n, k] scores, the best first."""


@dataclass(frozen=True)
class Collection:
    """Queries, documents and which belong together."""

    name: str
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]
    """For each query the numbers of the right documents."""


def held_out_collection(manifest: Manifest, candidates: int) -> Collection:
    """The first test pairs of a dataset, until they have `candidates` distinct positives or end.

    Raises ValueError when the dataset holds nothing out.
    """
    queries: dict[int, tuple[int, str]] = {}
    documents: dict[int, tuple[int, str]] = {}
    relevant: list[set[int]] = []
    for record in (record for path, _ in manifest.shards(TEST) for record in read_shard(path)):
        pair, prints = decode_pair(record)
        # Once there are enough, only what links a known query with a known document still counts.
        if len(documents) == candidates and not (prints.texts[0] in queries and prints.texts[1] in documents):
            continue
        query, _ = queries.setdefault(prints.texts[0], (len(queries), pair.anchor))
        document, _ = documents.setdefault(prints.texts[1], (len(documents), pair.positive))
        if query == len(relevant):
            relevant.append(set())
        relevant[query].add(document)
    if not queries:
        raise ValueError(f"{manifest.folder}: no test split to evaluate on; preprocess with --test-fraction")
    return Collection(
        name=manifest.dataset,
        queries=tuple(text for _, text in queries.values()),
        documents=tuple(text for _, text in documents.values()),
        relevant=tuple(map(frozenset, relevant)),
    )


def score(collection: Collection, rank: Rank) -> dict[str, float]:
    """Mean of each measure over the queries, and the sizes of the collection."""
    found, scores = rank(collection.queries, collection.documents)
    qrels = [
        ir_measures.Qrel(str(query), str(document), 1)
        for query, documents in enumerate(collection.relevant)
        for document in sorted(documents)
    ]
    run = [
        # Ties are broken by rank, so the tool sees strictly falling scores.
        ir_measures.ScoredDoc(str(query), str(document), float(value) - 1e-9 * place)
        for query in range(len(found))
        for place, (document, value) in enumerate(zip(found[query], scores[query].astype(np.float64), strict=True))
    ]
    means = ir_measures.calc_aggregate(list(MEASURES.values()), qrels, run)
    return {
        **{name: float(means[measure]) for name, measure in MEASURES.items()},
        "queries": len(collection.queries),
        "candidates": len(collection.documents),
    }


def nearest(
    queries: NDArray[np.float32], documents: NDArray[np.float32], depth: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `depth` documents of greatest dot product for each query, best first, in blocks of queries.

    float32[n, D], float32[m, D] → int64[n, k], float32[n, k] with k = min(depth, m). Of equal
    scores the lower number comes first.
    """
    depth = min(depth, len(documents))
    found, scores = [], []
    for start in range(0, len(queries), BLOCK_QUERIES):
        products = queries[start : start + BLOCK_QUERIES] @ documents.T
        some = np.sort(np.argpartition(-products, depth - 1, axis=1)[:, :depth], axis=1)
        values = np.take_along_axis(products, some, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        found.append(np.take_along_axis(some, order, axis=1))
        scores.append(np.take_along_axis(values, order, axis=1))
    if not found:
        return np.zeros((0, depth), np.int64), np.zeros((0, depth), np.float32)
    return np.concatenate(found), np.concatenate(scores)


def rank_by_encoder(encode: Callable[[Sequence[str]], NDArray[np.float32]]) -> Rank:
    """Ranking by the dot product of an encoder's vectors."""

    def rank(queries: Sequence[str], documents: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return nearest(encode(queries), encode(documents), DEPTH)

    return rank


def rank_by_bm25(queries: Sequence[str], documents: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ranking by BM25 with its usual settings: what an encoder has to beat."""
    index = bm25s.BM25()
    index.index(_words(documents), show_progress=False)
    found, scores = index.retrieve(_words(queries), k=min(DEPTH, len(documents)), show_progress=False)
    return np.asarray(found, np.int64), np.asarray(scores, np.float32)


def _words(texts: Sequence[str]) -> Any:
    return bm25s.tokenize(list(texts), token_pattern=WORD, show_progress=False)


def collections(folders: Sequence[str | Path], candidates: int) -> list[Collection]:
    """A collection of each dataset folder."""
    return [held_out_collection(Manifest.load(folder), candidates) for folder in folders]
