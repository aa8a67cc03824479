"""Retrieval: does a query find the documents that were judged to answer it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.evaluate.held_out import held_out_collections
from trainer.evaluate.measures import DEPTH, RETRIEVAL, judge
from trainer.evaluate.retrieval_files import Collection, read_collection
from trainer.evaluate.task import Contender, Outcome, mean_outcome

MAIN = "ndcg@10"


@dataclass(frozen=True)
class RetrievalTask:
    """nDCG@10, MRR@10, MAP and recall of the documents ranked for each query; MAP looks at the first 1,000."""

    collection: Collection
    kind: str = "retrieval"
    needs_vectors: bool = False

    @property
    def name(self) -> str:
        return self.collection.name

    @property
    def size(self) -> Mapping[str, int]:
        sizes = {"queries": len(self.collection.queries), "candidates": len(self.collection.documents)}
        return sizes | ({"missing": self.collection.missing} if self.collection.missing else {})

    def evaluate(self, contender: Contender) -> Outcome:
        """Means over the queries, and the paired queries to compare by."""
        collection = self.collection
        extra = any(own is not None for own in collection.itself)
        found, _ = contender.rank(collection.queries, collection.documents, DEPTH + extra)
        ranked = [
            row[row != own] if own is not None else row for row, own in zip(found, collection.itself, strict=True)
        ]
        values = judge(RETRIEVAL, collection.relevant, [row[:DEPTH].tolist() for row in ranked])
        return mean_outcome(values, MAIN)


def read_retrieval(path: Path, *, candidates: int = 1000) -> list[RetrievalTask]:
    """Our datasets' held-out pairs, or one collection in the format of BEIR, MS MARCO, TREC or SMART.

    `candidates` bounds a held-out collection alone. Raises OSError or ValueError, in one line.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no manifest here or below, nor a collection; expected an existing folder")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; expected a folder of documents, queries and judgements")
    held_out = held_out_collections(path, candidates)
    return [RetrievalTask(collection) for collection in held_out or [read_collection(path)]]
