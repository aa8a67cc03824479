"""`pairstream evaluate`: tables, JSON, significance, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import topic_pairs, write_dataset, write_encoder

from pairstream.cli import main
from pairstream.evaluate import KINDS, print_scores
from trainer.evaluate.suite import READERS, SUITES

SMALL = SUITES / "small"


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(["evaluate", *argv])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_encoder(tmp_path_factory.mktemp("encoders") / "tiny"))


def test_every_kind_has_its_option() -> None:
    assert {*KINDS, "gender-bias"} == set(READERS)  # which has a file for nothing too: our own sentences


def test_held_out_pairs_are_scored_as_json(encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path / "data" / "d", "d", {"test": topic_pairs("d", 60, 5)})
    status, out, _ = call(
        capsys, encoder, "bm25", "--retrieval", str(tmp_path / "data"), "--candidates", "25", "--json"
    )
    document = json.loads(out)
    assert status == 0 and list(document) == [encoder, "bm25", "significance"]
    assert document["bm25"]["d"]["candidates"] == 25 and 0 < document["bm25"]["d"]["mrr@10"] <= 1
    [row] = document["significance"]["d"]
    assert (row["first"], row["second"], row["score"]) == (encoder, "bm25", "ndcg@10")
    assert row["difference"] == pytest.approx(document[encoder]["d"]["ndcg@10"] - document["bm25"]["d"]["ndcg@10"])
    assert row["low"] <= row["difference"] <= row["high"] and 0 < row["p"] <= 1
    status, out, _ = call(capsys, "bm25", "--retrieval", str(tmp_path / "data"), "--json")
    assert list(json.loads(out)) == ["bm25"]


def test_several_kinds_and_a_suite_go_in_one_call(encoder: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--sts", str(SMALL / "sts.tsv"), "--reranking", str(SMALL / "reranking.jsonl"))
    status, out, _ = call(capsys, "tfidf", encoder, *files, "--suite", "small")
    assert status == 0
    for said in (
        "sts: 30 pairs",
        "small-sts: 30 pairs",
        "small-clustering",
        "spearman",
        "p = ",
        "mean of the main scores",
    ):
        assert said in out
    status, again, _ = call(capsys, "tfidf", encoder, *files, "--suite", "small")
    assert again == out, "the bootstrap is seeded"


def test_bitext_takes_tables_and_files_in_twos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "val.en").write_text("red apple\nblue sea\n")
    (tmp_path / "val.de").write_text("apple rot\nsea blau\n")
    (tmp_path / "more.tsv").write_text("green tree\ttree\nold house\thouse\n")
    paths = [str(tmp_path / name) for name in ("val.en", "val.de", "more.tsv")]
    status, out, _ = call(capsys, "tfidf", "--bitext", *paths, "--json")
    scores = json.loads(out)["tfidf"]
    assert status == 0 and {name: of_one["accuracy"] for name, of_one in scores.items()} == {"val.en": 1, "more": 1}
    status, _, err = call(capsys, "tfidf", "--bitext", paths[0])
    assert status == 2 and "expected the file of the other language after it" in err


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["bm25", "--suite", "nosuch"], 1, "no such suite; expected a TOML or JSON file, or one of: small"),
        (["bm25", "--sts", "nowhere.csv"], 1, "nowhere.csv not found"),
        (["bm25", "bm25", "--suite", "small"], 2, "bm25 is there twice"),
        (["bm25", "--suite", "small", "small"], 2, "two tasks are both called"),
        (["bm25", "--sts", str(SMALL / "labelled.csv")], 1, "columns are text, label; expected one called sentence1"),
        (["bm25", "--candidates", "1", "--suite", "small"], 2, "expected at least 2"),
        (["bm25", "--clustering", str(SMALL / "labelled.csv")], 1, "bm25 has no vectors"),
        (["bm25", "--columns", "a", "b", "--suite", "small"], 2, "--columns a b names columns of tables; expected it"),
        (["bm25"], 2, "expected --sts, --duplicates, --retrieval"),
    ],
)
def test_a_wrong_call_is_one_line(argv: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    found, out, err = call(capsys, *argv)
    assert (found, out, len(err.strip().splitlines())) == (status, "", 1), err
    assert said in err


def test_a_contender_that_cannot_do_a_task_is_left_out_of_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    labelled = str(SMALL / "labelled.csv")
    status, out, _ = call(capsys, "bm25", "tfidf", "--sts", str(SMALL / "sts.tsv"), "--clustering", labelled, "--json")
    document = json.loads(out)
    assert status == 0
    assert (list(document["bm25"]), list(document["tfidf"])) == (["sts"], ["sts", "labelled"])
    assert list(document["significance"]) == ["sts"]


def test_scores_of_earlier_runs_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores({"base": {"d": {"mrr@10": 0.5, "queries": 12}}, "trained": {"d": {"mrr@10": 1.0, "queries": 12}}})
    out = capsys.readouterr().out
    assert "d: 12 queries" in out and "0.5000" in out and "1.0000" in out
