"""`pairstream evaluate`: score encoders on held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from pairstream.arguments import parse, print_json
from pairstream.cli import UsageError
from pairstream.quiet import progress_bar, quiet_libraries

BM25 = "bm25"


@dataclass(frozen=True)
class Arguments:
    """MRR@10, nDCG@10 and recall@10 of each contender on the held-out pairs of each dataset.

    For example: pairstream evaluate runs/quickstart/encoder bm25 --retrieval data/docstrings/docstring_code
    """

    encoders: tyro.conf.Positional[tuple[str, ...]]
    """Encoder folders, Hub ids, or `bm25`."""
    retrieval: tuple[Path, ...] = ()
    """Folders of preprocessed datasets with a test split."""
    candidates: int = 1000
    """Distinct held-out positives of each dataset among which each anchor has to find its own."""
    card: bool = False
    """Put the scores into the model card of the first encoder."""
    json: bool = False
    """Print one JSON document instead of a table."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "evaluate")
    if not arguments.encoders or not arguments.retrieval:
        raise UsageError("expected at least one encoder and --retrieval with at least one dataset folder")
    if arguments.candidates < 2:
        raise UsageError(f"--candidates is {arguments.candidates}; expected at least 2")
    quiet_libraries()
    from schemas.manifest import find_manifests
    from trainer.evaluate.retrieval import collections, score

    folders = [found for folder in arguments.retrieval for found in find_manifests(folder)]
    tasks = collections(folders, arguments.candidates)
    names = [task.name for task in tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"--retrieval names two datasets that are both called {twice[0]!r}; evaluate them apart")
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for name in arguments.encoders:
        rank = _ranking(name)
        scores[name] = {task.name: score(task, rank) for task in tasks}
    if arguments.card:
        from trainer.card import put_scores

        put_scores(arguments.encoders[0], scores)
    if arguments.json:
        print_json(scores)
    else:
        print_scores(scores)


def _ranking(name: str) -> Any:
    from trainer.evaluate.retrieval import rank_by_bm25, rank_by_encoder

    if name == BM25:
        return rank_by_bm25
    from trainer.encode import TextEncoder
    from trainer.encoders.fetch import resolve_encoder

    encoder = TextEncoder.open(resolve_encoder(name))

    def encode(texts: Sequence[str]) -> Any:
        with progress_bar(f"encoding with {Path(name).name}", len(texts)) as progress:
            return encoder.encode(texts, progress=progress)

    return rank_by_encoder(encode)


def print_scores(scores: dict[str, dict[str, dict[str, float]]]) -> None:
    """A table a dataset, a row a contender."""
    from rich.console import Console
    from rich.table import Table

    for dataset in next(iter(scores.values())):
        sizes = next(iter(scores.values()))[dataset]
        print(f"\n{dataset}: {sizes['queries']:,} queries, {sizes['candidates']:,} candidates")
        table = Table("", "mrr@10", "ndcg@10", "recall@10", box=None)
        for column in table.columns[1:]:
            column.justify = "right"
        for name, of_one in scores.items():
            row = of_one[dataset]
            table.add_row(name, *(f"{row[measure]:.3f}" for measure in ("mrr@10", "ndcg@10", "recall@10")))
        Console().print(table)
