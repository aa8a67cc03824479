"""Bitext: two files or a table, both directions."""

from __future__ import annotations

from pathlib import Path

import pytest
from made import placed

from trainer.evaluate.bitext import read_bitext


def test_two_files_and_tables_give_the_same_pairs(tmp_path: Path) -> None:
    (tmp_path / "val.en").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\nfour\r\n")
    (tmp_path / "val.de").write_text("eins\nzwei\ndrei\nvier\n")
    (tmp_path / "both.tsv").write_text("one\teins\ntwo\tzwei\nfour\tvier\n")
    (tmp_path / "named.csv").write_text("de,en\neins,one\nzwei,two\nvier,four\n")
    found = [
        read_bitext(tmp_path / "val.en", other=tmp_path / "val.de"),
        read_bitext(tmp_path / "both.tsv"),
        read_bitext(tmp_path / "named.csv", columns=("en", "de")),
    ]
    assert {(task.left, task.right) for task in found} == {(("one", "two", "four"), ("eins", "zwei", "vier"))}


def test_what_does_not_pair_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "val.en").write_text("one\ntwo\n")
    (tmp_path / "val.de").write_text("eins\n")
    with pytest.raises(ValueError, match=r"val\.en has 2 lines and .*val\.de 1; expected as many"):
        read_bitext(tmp_path / "val.en", other=tmp_path / "val.de")
    with pytest.raises(ValueError, match="a row has one field; expected two, or a second file"):
        read_bitext(tmp_path / "val.en")


def test_each_direction_is_scored(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("one\teins\ntwo\tzwei\n")
    # "one" lies nearer to "zwei" than to "eins"; all others find their own.
    contender = placed(one=[1, 0.9], two=[0, 1], eins=[1, 0], zwei=[0.3, 1])
    scores = read_bitext(tmp_path / "a.tsv").evaluate(contender).scores
    assert (scores["accuracy →"], scores["accuracy ←"], scores["accuracy"]) == (0.5, 1.0, 0.75)
