"""Scores go into a card once, and nothing else of it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from corpora import topic_pairs, write_dataset, write_encoder
from huggingface_hub import ModelCard

from pairstream.cli import main
from trainer.card import BIAS_BEGIN, BIAS_END, SCORES_BEGIN, SCORES_END
from trainer.card_scores import put_bias, put_scores
from trainer.encoders.settings import EncoderSettings
from trainer.evaluate.suite import SUITES

HEAD = "---\r\nlicense: other\ntags:\n- a\n- b # model-index: no\n"
AFTER = "language: en\n---\n\n# Ünï \r\n\n---\n"
TAIL = f"\n\n## Bias  \n{BIAS_BEGIN}\nNot measured.\n{BIAS_END}\r\nno newline at the end"
CARD = f"{HEAD}{AFTER}{SCORES_BEGIN}\nNot evaluated yet\n{SCORES_END}{TAIL}"
ROW = {"ndcg@10": 0.5, "map": 0.25, "recall@10": float("nan"), "queries": 20}
KINDS = {"d": "retrieval", "sts": "sts"}


def write_card(folder: Path, text: str = CARD) -> Path:
    path = folder / "README.md"
    path.write_bytes(text.encode())
    return path


def test_tables_and_metadata_hold_every_score(tmp_path: Path) -> None:
    path = write_card(tmp_path)
    put_scores(tmp_path, {"this": {"d": ROW, "sts": {"spearman": 0.8, "pairs": 9}}, "bm|25": {"d": ROW}}, KINDS)
    card = path.read_bytes().decode()
    assert "| this | 0.500 | 0.250 | – |" in card and r"| bm\|25 | 0.500 |" in card and "`sts`: 9 pairs." in card
    data: Any = ModelCard(card).data
    assert data.model_name == "Ünï" and data.eval_results is not None
    found = {(one.task_type, one.dataset_name, one.metric_type): one.metric_value for one in data.eval_results}
    assert found == {
        ("information-retrieval", "d", "cosine_ndcg@10"): 0.5,
        ("information-retrieval", "d", "cosine_map@1000"): 0.25,
        ("semantic-similarity", "sts", "spearman_cosine"): 0.8,
    }


def test_metrics_are_of_the_encoders_similarity(tmp_path: Path) -> None:
    EncoderSettings(similarity_name="dot").save(tmp_path)
    path = write_card(tmp_path)
    put_scores(tmp_path, {"this": {"sts": {"spearman": 0.8}}}, KINDS)
    assert '"spearman_dot"' in path.read_text()


@pytest.mark.parametrize(
    "index",
    ["", "model-index: []\n", "model-index:\n- name: x\n  results: []\n", "model-index:\n- name: x\n\n  a: 1\n"],
)
def test_the_rest_of_the_card_is_the_same_to_the_byte(tmp_path: Path, index: str) -> None:
    path = write_card(tmp_path, CARD.replace("language: en\n", f"{index}language: en\n"))
    put_scores(tmp_path, {"this": {"d": ROW}}, KINDS)
    once = path.read_bytes()
    put_scores(tmp_path, {"this": {"sts": {"spearman": 0.1}, "d": ROW}}, KINDS)
    put_scores(tmp_path, {"this": {"d": ROW}}, KINDS)
    assert path.read_bytes() == once, "a second time replaces the first"
    text = once.decode()
    assert text.count("model-index:\n") == 1 and text.count("`d`: 20 queries.") == 1
    start, end = text.index("model-index:\n"), text.index("language: en" if index else "---\n\n# Ünï")
    bare = text[:start] + text[end:]
    inside = slice(bare.index(SCORES_BEGIN) + len(SCORES_BEGIN), bare.index(SCORES_END))
    assert bare[: inside.start] + "\nNot evaluated yet\n" + bare[inside.stop :] == CARD


def test_bias_takes_the_place_of_earlier_bias_alone(tmp_path: Path) -> None:
    path = write_card(tmp_path)
    for value in ("0.25", "0.5"):
        put_bias(tmp_path, {"On made-up sentences:": [("prefers he", value)], "On others:": [("prefers he", "1")]})
    card = path.read_bytes().decode()
    assert card.count("| prefers he | 0.5 |") == 1 and "0.25" not in card and "Not measured" not in card
    assert card.startswith(CARD[: CARD.index(BIAS_BEGIN)]) and card.endswith(CARD[CARD.index(BIAS_END) :])


@pytest.mark.parametrize("text", ["# mine", f"{SCORES_END}{SCORES_BEGIN}", None])
def test_a_card_of_somebody_else_is_not_touched(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write_card(tmp_path, text)
    with pytest.raises(ValueError, match="no scores section; expected a card that `pairstream export` wrote"):
        put_scores(tmp_path, {"this": {"d": ROW}}, KINDS)
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if text is None else [text])


def test_evaluate_puts_all_tasks_and_bias_into_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_encoder(tmp_path / "tiny")
    path = write_card(folder)
    write_dataset(tmp_path / "d", "d", {"test": topic_pairs("d", 60, 5)})
    (tmp_path / "bias.csv").write_text(
        "occupation,anchor,female,male\n" + "".join(f"o{n},w{n} w1,w{n} w2,w{n} w3\n" for n in range(6))
    )
    call = ["evaluate", str(folder), "bm25", "--retrieval", str(tmp_path / "d"), "--sts", str(SUITES / "small/sts.tsv")]
    call += ["--clustering", str(SUITES / "small/labelled.csv"), "--gender-bias", str(tmp_path / "bias.csv"), "--card"]
    assert main([*call, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)[str(folder)]
    once = path.read_bytes()
    data: Any = ModelCard(once.decode()).data
    results = data.eval_results
    assert {one.dataset_name for one in results} == {"d", "sts", "labelled"}
    [ndcg] = [one.metric_value for one in results if one.metric_type == "cosine_ndcg@10"]
    assert ndcg == pytest.approx(printed["d"]["ndcg@10"], abs=1e-6)
    assert b"| this encoder |" in once and b"Not measured" not in once and b"female version nearer" in once
    assert main(call) == 0 and path.read_bytes() == once


def test_an_encoder_without_a_card_is_refused_before_it_is_scored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "bm25", "--suite", "small", "--card"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "no scores section" in err and len(err.splitlines()) == 1
