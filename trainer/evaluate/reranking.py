"""Reranking: of the candidates that belong to a query, do the right ones come first?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException, ElementTree

from trainer.evaluate.files import json_lines, read_text, stem
from trainer.evaluate.measures import RERANKING, judge
from trainer.evaluate.task import Contender, Outcome, mean_outcome

RELEVANT = ("PerfectMatch", "Relevant")


@dataclass(frozen=True)
class RerankingTask:
    """MAP, MRR@10 and nDCG@10 over each query's own candidates."""

    name: str
    queries: tuple[str, ...]
    candidates: tuple[tuple[str, ...], ...]
    right: tuple[frozenset[int], ...]
    """For each query the numbers of its right candidates."""
    left_out: int = 0
    """Queries without a right candidate or without a wrong one: any order of theirs is as good."""
    kind: str = "reranking"
    needs_vectors: bool = False

    @property
    def size(self) -> Mapping[str, int]:
        sizes = {"queries": len(self.queries), "candidates": sum(map(len, self.candidates))}
        return sizes | ({"left out": self.left_out} if self.left_out else {})

    def evaluate(self, contender: Contender) -> Outcome:
        scores = contender.score_lists(self.queries, self.candidates)
        ranked = [np.argsort(-some, kind="stable").tolist() for some in scores]
        relevant = [dict.fromkeys(sorted(right), 1) for right in self.right]
        return mean_outcome(judge(RERANKING, relevant, ranked), "map")


def read_reranking(path: Path, *, name: str | None = None) -> RerankingTask:
    """JSON lines of {"query", "positive": […], "negative": […]}, or SemEval's related questions (XML).

    SemEval's perfect matches and relevant questions are right, a text is a subject and its body. Raises OSError
    or ValueError, in one line.
    """
    groups = _read_semeval(path) if ".xml" in path.suffixes else _read_json(path)
    both = [(query, right, wrong) for query, right, wrong in groups if right and wrong]
    if not both:
        raise ValueError(f"{path}: {len(groups)} queries; expected some with both right and wrong candidates")
    return RerankingTask(
        name=name or stem(path),
        queries=tuple(query for query, _, _ in both),
        # Wrong ones first: equal scores are no success.
        candidates=tuple((*wrong, *right) for _, right, wrong in both),
        right=tuple(frozenset(range(len(wrong), len(wrong) + len(right))) for _, right, wrong in both),
        left_out=len(groups) - len(both),
    )


Group = tuple[str, list[str], list[str]]
"""A query, its right candidates, its wrong ones."""


def _read_json(path: Path) -> list[Group]:
    groups = []
    for number, document in json_lines(path):
        query = document.get("query")
        right, wrong = (_texts(document.get(side, document.get(side[:3], []))) for side in ("positive", "negative"))
        if isinstance(query, list):  # AskUbuntu as MTEB stores it: one query, in a list or not
            query = query[0] if len(query) == 1 else None
        if not isinstance(query, str) or right is None or wrong is None:
            raise ValueError(
                f'{path}: line {number}: expected {{"query": text, "positive": [texts], "negative": [texts]}}'
            )
        groups.append((query, right, wrong))
    return groups


def _texts(value: Any) -> list[str] | None:
    texts = [value] if isinstance(value, str) else value
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None


def _read_semeval(path: Path) -> list[Group]:
    try:
        root = ElementTree.fromstring(read_text(path).encode())
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(f"{path}: not the XML of SemEval's community question answering ({error})") from None
    groups: dict[str, Group] = {}
    for question in root.iter("OrgQuestion"):
        text = f"{question.findtext('OrgQSubject') or ''} {question.findtext('OrgQBody') or ''}".strip()
        _, right, wrong = groups.setdefault(question.get("ORGQ_ID", text), (text, [], []))
        for related in question.iter("RelQuestion"):
            found = f"{related.findtext('RelQSubject') or ''} {related.findtext('RelQBody') or ''}".strip()
            (right if related.get("RELQ_RELEVANCE2ORGQ") in RELEVANT else wrong).append(found)
    return list(groups.values())
