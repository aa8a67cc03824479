"""Reranking: formats and hand-computed scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made import placed

from trainer.evaluate.reranking import read_reranking

SEMEVAL = """<?xml version="1.0"?><!DOCTYPE xml [<!ELEMENT xml (OrgQuestion*)>]><xml>
<OrgQuestion ORGQ_ID="Q1"><OrgQSubject>Bank</OrgQSubject><OrgQBody>Which is good?</OrgQBody><Thread>
<RelQuestion RELQ_RELEVANCE2ORGQ="PerfectMatch"><RelQSubject>Best bank</RelQSubject><RelQBody/></RelQuestion>
</Thread></OrgQuestion>
<OrgQuestion ORGQ_ID="Q1"><OrgQSubject>Bank</OrgQSubject><OrgQBody>Which is good?</OrgQBody><Thread>
<RelQuestion RELQ_RELEVANCE2ORGQ="Irrelevant"><RelQSubject>Cars</RelQSubject>
<RelQBody>To &amp; fro</RelQBody></RelQuestion>
</Thread></OrgQuestion>
<OrgQuestion ORGQ_ID="Q2"><OrgQSubject>Alone</OrgQSubject><OrgQBody></OrgQBody></OrgQuestion></xml>"""


def test_semeval_s_questions_are_grouped_and_those_without_both_sorts_left_out(tmp_path: Path) -> None:
    (tmp_path / "dev.xml").write_text(SEMEVAL)
    task = read_reranking(tmp_path / "dev.xml")
    assert task.queries == ("Bank Which is good?",)
    assert task.candidates == (("Cars To & fro", "Best bank"),) and task.right == (frozenset({1}),)
    assert task.size == {"queries": 1, "candidates": 2, "left out": 1}


@pytest.mark.parametrize("names", [("positive", "negative"), ("pos", "neg")])
def test_json_lines_are_read(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [{"query": "q", names[0]: "a", names[1]: ["b", "c"]}, {"query": "r", names[0]: [], names[1]: ["b"]}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = read_reranking(tmp_path / "a.jsonl")
    assert (task.queries, task.candidates, task.left_out) == (("q",), (("b", "c", "a"),), 1)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", '{"query": "q", "positive": ["a"], "negative": [1]}', "line 1: expected"),
        ("a.jsonl", '{"query": "q", "positive": ["a"]}', "1 queries; expected some with both"),
        ("a.xml", "<xml><OrgQuestion></xml>", "not the XML of SemEval"),
        ("a.xml", '<!DOCTYPE x [<!ENTITY e "boom">]><xml>&e;</xml>', "not the XML of SemEval"),
    ],
)
def test_what_is_no_reranking_file_is_one_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=says):
        read_reranking(tmp_path / name)


def test_scores_are_those_of_a_hand_computation(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "positive": ["a", "b"], "negative": ["c"]},
        {"query": "q", "positive": ["c"], "negative": ["a"]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    contender = placed(q=[1, 0], a=[1, 0], b=[0, 1], c=[1, 1])  # a before c before b
    scores = read_reranking(tmp_path / "a.jsonl").evaluate(contender).scores
    assert scores["map"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert scores["mrr@10"] == pytest.approx((1 + 1 / 2) / 2)
    best = 1 + 1 / np.log2(3)
    assert scores["ndcg@10"] == pytest.approx(((1 + 1 / np.log2(4)) / best + 1 / np.log2(3)) / 2)


def test_a_contender_that_tells_nothing_apart_gains_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"query": "q", "positive": ["a"], "negative": ["b", "c"]}')
    contender = placed(q=[1, 0], a=[1, 0], b=[1, 0], c=[1, 0])
    assert read_reranking(tmp_path / "a.jsonl").evaluate(contender).scores["mrr@10"] == pytest.approx(1 / 3)
