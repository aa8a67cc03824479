"""Evaluation sets: files and folders become sets of one name each."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.eval_sets import find_eval_sets


def sets_of(*paths: Path | str, corpus: bool = False) -> dict[str, list[str]]:
    """Name of each set → its texts that are not blank."""
    found = find_eval_sets([str(path) for path in paths])
    return {one.name: [text for text in one.texts(corpus=corpus) if text.strip()] for one in found}


def test_a_path_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(FileNotFoundError, match=r"no file matches .*nothing"):
        find_eval_sets([str(tmp_path / "a.txt"), str(tmp_path / "nothing*")])
    assert find_eval_sets([]) == []


def test_the_ending_of_a_compression_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "sick.txt.gz").write_bytes(gzip.compress(b"One man\tTwo men\n"))
    assert sets_of(tmp_path / "sick.txt.gz") == {"sick": ["One man", "Two men"]}


def test_a_file_without_texts_is_a_set_of_none(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "header.tsv").write_text("sentence1\tsentence2\n")
    assert sets_of(tmp_path / "*") == {"empty": [], "header": []}


def test_sets_are_named_after_their_files_and_sorted_by_name(tmp_path: Path) -> None:
    paths = [tmp_path / folder / name for folder, name in (("x", "test.txt"), ("y", "test.txt"), ("y", "test.tsv"))]
    paths += [tmp_path / "z" / "test.txt.gz", tmp_path / "z" / "dev.QRY"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = [one.name for one in find_eval_sets([str(tmp_path / "*" / "*"), str(paths[0])])]
    assert names == ["dev", "test.tsv", "test.txt.gz", "x/test.txt", "y/test.txt"]


# ── BEIR folders ──────────────────────────────────────────────────────────────────────────────────


TEXTS = {name: f"What is asked in {name}?" for name in ("test", "train", "both", "unjudged")}


@pytest.fixture(params=["", ".gz"])
def beir(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with queries judged in test, in train alone, in both, and not at all; and documents."""
    folder = tmp_path / "nq"
    (folder / "qrels").mkdir(parents=True)

    def write(name: str, content: str) -> None:
        raw = content.encode()
        (folder / (name + request.param)).write_bytes(gzip.compress(raw) if request.param else raw)

    write("queries.jsonl", "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in TEXTS.items()))
    documents = [{"_id": "1", "title": "Any Title", "text": "The text."}, {"_id": "2", "title": "A Title", "text": ""}]
    write("corpus.jsonl", "".join(json.dumps(document) + "\n" for document in documents))
    write("qrels/test.tsv", "query-id\tcorpus-id\tscore\ntest\t1\t1\nboth\t1\t1\n")
    write("qrels/train.tsv", "query-id\tcorpus-id\tscore\ntrain\t1\t1\nboth\t1\t1\n")
    return folder


EVALUATED = [TEXTS[name] for name in ("test", "both", "unjudged")]


def test_of_a_beir_folder_the_queries_are_read_but_for_those_of_training_alone(beir: Path) -> None:
    assert sets_of(beir) == sets_of(f"{beir}/") == {"nq": EVALUATED}


def test_of_a_beir_folder_the_corpus_is_read_on_request(beir: Path) -> None:
    assert sets_of(beir, corpus=True) == {"nq": [*EVALUATED, "The text.", "A Title"]}


def test_queries_judged_for_training_alone_are_read_when_there_are_no_others(beir: Path) -> None:
    for path in (beir / "qrels").glob("test.*"):
        path.unlink()
    assert sets_of(beir) == {"nq": list(TEXTS.values())}


def test_folders_and_files_may_stand_side_by_side(beir: Path) -> None:
    (beir.parent / "plain.txt").write_text("one text\n")
    assert sets_of(f"{beir.parent}/*") == {"nq": EVALUATED, "plain": ["one text"]}


def test_a_folder_of_another_layout_is_refused(beir: Path) -> None:
    with pytest.raises(ValueError, match=r"qrels: a folder without queries\.jsonl; expected BEIR's layout"):
        sets_of(beir / "qrels")
    for path in beir.glob("corpus.*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"no corpus\.jsonl in it"):
        sets_of(beir, corpus=True)


@pytest.mark.parametrize("row", [{"_id": "q"}, {"_id": "q", "text": None}])
def test_a_query_without_a_text_is_named_by_its_line(beir: Path, row: dict) -> None:
    for path in beir.glob("queries.*"):
        path.unlink()
    (beir / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": "one"}) + "\n" + json.dumps(row))
    with pytest.raises(ValueError, match=r"queries\.jsonl: line 2 has no text in 'text'; expected BEIR's layout"):
        sets_of(beir)
