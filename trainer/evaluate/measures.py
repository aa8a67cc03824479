"""Measures of rankings, by query, as trec_eval computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ir_measures
import numpy as np
from ir_measures import AP, RR, R, nDCG
from numpy.typing import NDArray

DEPTH = 1000
"""Documents ranked for each query: no measure looks further."""
RETRIEVAL: Mapping[str, Any] = {
    "ndcg@10": nDCG @ 10,
    "mrr@10": RR @ 10,
    "map": AP @ DEPTH,
    "recall@10": R @ 10,
    "recall@100": R @ 100,
}
RERANKING: Mapping[str, Any] = {"map": AP @ DEPTH, "mrr@10": RR @ 10, "ndcg@10": nDCG @ 10}
AT_ONCE = 256  # queries, since the library wants a Python string a document


def judge(
    measures: Mapping[str, Any], relevant: Sequence[Mapping[int, int]], ranked: Sequence[Sequence[int]]
) -> dict[str, NDArray[np.float64]]:
    """float64[queries] of each measure, in [0, 1].

    `relevant` has for each query its judged documents and their grades, relevant from 1 up and at least one of
    them so; `ranked` its documents, best first.
    """
    values = {name: np.zeros(len(relevant)) for name in measures}
    names = {measure: name for name, measure in measures.items()}
    for start in range(0, len(relevant), AT_ONCE):
        some = range(start, min(start + AT_ONCE, len(relevant)))
        judged = {str(n): {str(document): grade for document, grade in relevant[n].items()} for n in some}
        # Falling whole numbers: the library ranks anew, by scores in float32 and then by name.
        run = {
            str(n): {str(document): float(len(ranked[n]) - place) for place, document in enumerate(ranked[n])}
            for n in some
        }
        for metric in ir_measures.iter_calc(list(names), judged, run):
            values[names[metric.measure]][int(metric.query_id)] = metric.value
    return values
