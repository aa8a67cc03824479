"""Evaluation files as users have them."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from trainer.evaluate.files import is_table, numbers, read_columns, read_table, stem

WANTED = (["left"], ["right"], ["score"])
ROWS = [["one, two", 'said "yes"', "1.5"], ["ä", "三", "2"]]
CSV = 'left,right,score\n"one, two","said ""yes""",1.5\nä,三,2\n'
TSV = 'score\tleft\tnote\tright\n1.5\tone, two\t\tsaid "yes"\n2\tä\tx\t三\n'
JSON = '{"left": "one, two", "right": "said \\"yes\\"", "score": 1.5}\n\n{"score": 2, "right": "三", "left": "ä"}\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV.encode()),
        ("a.tsv", TSV.encode()),
        ("a.jsonl", JSON.encode()),
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("crlf.csv", CSV.replace("\n", "\r\n").encode()),
        ("mac.tsv", TSV.replace("\n", "\r").encode()),
        ("no-end.csv", CSV.rstrip("\n").encode()),
        ("blank-lines.tsv", TSV.replace("\n", "\n\n").encode()),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.tsv.bz2", bz2.compress(TSV.encode())),
        ("a.jsonl.xz", lzma.compress(JSON.encode())),
        ("Case.csv", CSV.replace("left,right,score", "LEFT,Ri_ght, score ").encode()),
    ],
)
def test_a_table_is_read_whatever_its_form(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert read_columns(tmp_path / name, *WANTED) == ROWS


def test_parquet_is_read(tmp_path: Path) -> None:
    columns = {"score": [1.5, 2.0], "left": ["one, two", None], "right": ["x", "y"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert read_columns(tmp_path / "a.parquet", *WANTED) == [["one, two", "x", "1.5"], ["", "y", "2.0"]]


def test_quotes_of_a_tab_separated_file_are_text_unless_they_enclose_fields(tmp_path: Path) -> None:
    (tmp_path / "open.tsv").write_text('left\tright\n"Open quote\tb\nc\t"d" e\n')
    assert read_table(tmp_path / "open.tsv")[1] == [['"Open quote', "b"], ["c", '"d" e']]
    (tmp_path / "closed.tsv").write_text('left\tright\n"one ""two"", three"\t"b"\n')
    assert read_table(tmp_path / "closed.tsv")[1] == [['one "two", three', "b"]]


def test_a_quoted_field_of_csv_holds_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('left,right\n"two\nlines",b\n')
    assert read_table(tmp_path / "a.csv")[1] == [["two\nlines", "b"]]


def test_bytes_that_are_no_utf8_do_not_stop_reading(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"left\tright\tscore\ncaf\xe9\tb\t1\n")
    assert read_columns(tmp_path / "a.tsv", *WANTED) == [["caf�", "b", "1"]]


def test_places_stand_for_names_where_there_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("1\tx\ty\n0\tz\tw\n")
    assert read_columns(tmp_path / "a.tsv", ["2"], ["3"], ["1"]) == [["x", "y", "1"], ["z", "w", "0"]]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", b"left,right\na,b\n", "columns are left, right; expected one called score"),
        ("a.csv", b"", "columns are none; expected one called left"),
        ("a.tsv", b"left\tright\tscore\na\tb\n", "row 1 has 2 fields; expected at least 3"),
        ("a.jsonl", b'{"left": "a"\n', "line 1 is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("a.jsonl", b'{"left": "a", "right": "b"}\n', "expected one called score \\(line 1\\)"),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], "damaged"),
        ("a.csv.gz", CSV.encode(), "damaged"),
        ("a.csv.xz", CSV.encode(), "damaged"),
        ("a.csv.bz2", CSV.encode(), "Invalid data stream"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((ValueError, OSError), match=says) as raised:
        read_columns(tmp_path / name, *WANTED)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["list", "dict", "bytes"])
def test_nested_columns_are_no_texts(tmp_path: Path, kind: str) -> None:
    values: dict[str, list] = {"list": [["a"]], "dict": [{"a": "b"}], "bytes": [b"a"]}
    parquet.write_table(pyarrow.table({"text": pyarrow.array(values[kind])}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"row 1 holds a {kind}; expected a text or a number"):
        read_columns(tmp_path / "a.parquet", ["text"])


def test_parquets_types_of_text_are_read_and_nulls_are_blank(tmp_path: Path) -> None:
    for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())):
        parquet.write_table(pyarrow.table({"text": pyarrow.array(["a", None, "a"], kind)}), tmp_path / "a.parquet")
        assert read_columns(tmp_path / "a.parquet", ["text"]) == [["a"], [""], ["a"]]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_an_absent_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{name} not found"):
        read_columns(tmp_path / name, *WANTED)


def test_blank_numbers_are_unknown_and_others_must_be_numbers() -> None:
    np.testing.assert_array_equal(numbers(Path("f"), ["1", "", "2.5e1"], "score"), [1, np.nan, 25])
    for bad in ("high", "nan", "inf"):
        with pytest.raises(ValueError, match=f"the score of row 2 is '{bad}'"):
            numbers(Path("f"), ["1", bad], "score")


def test_endings_are_no_part_of_a_name() -> None:
    assert [stem(Path(name)) for name in ("x/sts-dev.csv.gz", "b.jsonl", ".gz")] == ["sts-dev", "b", ".gz"]


def test_a_table_is_told_from_a_text_a_line(tmp_path: Path) -> None:
    (tmp_path / "val.en").write_text("A man.\n")
    (tmp_path / "pairs").write_text("A man.\tEin Mann.\n")
    assert [is_table(tmp_path / name) for name in ("val.en", "pairs", "absent.csv")] == [False, True, True]
