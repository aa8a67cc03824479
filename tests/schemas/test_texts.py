from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from schemas import texts as module
from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split, Stage
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, frame, open_local, shard_name, write_shard
from schemas.texts import Text, count_texts, read_lines, read_texts

TEXTS = ["first", "", "zwei: ß🙂", " last "]
SOURCES = ["line 1", "line 2", "line 3", "line 4"]
PAIRS = {
    "train": [Pair("d", "a1", "p1", ("n1", "n2"), group="g1"), Pair("d", "a2", "p2")],
    "test": [Pair("d", "a0", "p0", group="g0")],
}


def write_dataset(folder: Path, kind: str = "text") -> Path:
    folder.mkdir()
    splits = {}
    for split, pairs in PAIRS.items():
        frames = [frame(encode_pair(pair, fingerprint(pair))) for pair in pairs]
        prints = np.array([fingerprint(pair).pair for pair in pairs], np.uint64)
        block = Block(b"".join(frames), np.array(list(map(len, frames)), np.uint32), prints)
        shard = write_shard(str(folder), shard_name(split, 0, 1), [block], window=16, open_file=open_local)
        splits[split] = Split(shard.records, shard.bytes, 16, (shard,))
    part = Part("", (), {}, {}, 3, (Stage("read", 3),), splits, {})
    made = Manifest("d", "t → t", "", "", "", (part,), kind=kind, parent="x" if kind == "tokens" else "")
    (folder / MANIFEST_NAME).write_bytes(made.to_bytes())
    return folder


def write_file(path: Path) -> Path:
    """A file whose texts are TEXTS, in the form that its name says."""
    lines = "\n".join(TEXTS).encode() + b"\n"
    objects = "\n".join(json.dumps({"id": 1, "body": text}) for text in TEXTS).encode()
    content = objects if ".json" in path.name or ".ndjson" in path.name else lines
    if path.suffix == ".parquet":
        table = pa.table({"id": list(range(4)), "body": TEXTS, "title": TEXTS})
        pq.write_table(table, path, row_group_size=3)
        return path
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
    path.write_bytes(compress.get(path.suffix, bytes)(content))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "a",
        "a.gz",
        "a.txt.bz2",
        "a.xz",
        "a.zst",
        "a.jsonl",
        "a.ndjson.zst",
        "a.json",
        "a.JSONL.gz",
        "a.parquet",
    ],
)
def test_every_form_gives_its_texts_in_order_and_their_number(name: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / name.lower()).rename(tmp_path / name)
    found = list(read_texts(path, field="body"))
    assert [text for text, _ in found] == TEXTS
    expected = [source.replace("line", "row") for source in SOURCES] if name == "a.parquet" else SOURCES
    assert [source for _, source in found] == expected
    assert count_texts(path) == len(TEXTS)


def test_lines_end_with_line_feeds_alone_and_a_byte_order_mark_goes() -> None:
    content = b"\xef\xbb\xbfone\r\ntwo\x0bstill\xe2\x80\xa8two\rtwo\n\nbad \xff\nlast"
    assert list(read_lines(io.BytesIO(content), where="x")) == [
        "one",
        "two\x0bstill\u2028two\rtwo",
        "",
        "bad \ufffd",
        "last",
    ]


def test_a_dataset_gives_its_held_out_texts_first(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d")
    positives = [Text("p0", "g0"), Text("p1", "g1"), Text("p2", "d")]
    assert list(read_texts(folder)) == positives == list(read_texts(folder / "manifest.json"))
    assert [text for text, _ in read_texts(tmp_path, which="anchors")] == ["a0", "a1", "a2"]
    assert [text for text, _ in read_texts(folder, which="all")] == ["a0", "p0", "a1", "p1", "n1", "n2", "a2", "p2"]
    assert (count_texts(folder), count_texts(folder, which="all")) == (3, None)
    shard = folder / "train-00000-of-00001.tfrecord"
    assert [text for text, _ in read_texts(shard)] == ["p1", "p2"] and count_texts(shard) is None


def test_a_text_comes_before_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\nnot JSON\n')
    texts = read_texts(path)
    assert next(texts) == ("good", "line 1")
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        next(texts)


def test_a_file_without_line_feeds_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    (tmp_path / "a.txt").write_bytes(b"x" * (1 << 21))
    with pytest.raises(ValueError, match="line 1 is longer than 1 MiB"):
        next(read_texts(tmp_path / "a.txt"))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_a_table_gives_the_texts_of_one_column(name: str, tmp_path: Path) -> None:
    cells = [["id", "text"], ["1", '"say ""so"", he said"'], ["2", '"two\nlines"'], ["3", ""], ["4", "007"]]
    content = "\ufeff" + "".join(("\t" if "tsv" in name else ",").join(row) + "\n" for row in cells)
    raw = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    texts = list(read_texts(tmp_path / name))
    assert texts == [('say "so", he said', "row 1"), ("two\nlines", "row 2"), ("", "row 3"), ("007", "row 4")]
    assert [text.text for text in read_texts(tmp_path / name, field="id")] == ["1", "2", "3", "4"]
    assert count_texts(tmp_path / name) is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"body": "x"}\n', r"line 1 has no field 'text' but 'body'; name the one"),
        ("a.jsonl", b'["x"]\n', r"line 1 is a list; expected an object with 'text'"),
        ("a.jsonl", b'{"text": null}\n', r"line 1: 'text' is a NoneType; expected a string"),
        ("a.parquet", b"PAR1 not really", r"is not a Parquet file"),
        ("a.txt.gz", gzip.compress(b"x\n" * 9999, mtime=0)[:-12], r"cannot be read to its end"),
        ("a.zst", b"plain text", r"cannot be read to its end"),
        ("a.csv", b"id,body\n1,x\n", r"no column 'text'; expected its name in the first line: id,body"),
        ("b.csv", b"id,text\n1,x\n2\n", r"Expected 2 columns, got 1"),
        ("c.csv", b"", r"Empty CSV file"),
        ("d.csv.gz", gzip.compress(b"text\n" + b"x\n" * 9999, mtime=0)[:-12], r"cannot be read to its end"),
    ],
)
def test_what_is_no_text_is_named_in_one_line(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as raised:
        list(read_texts(tmp_path / name))
    assert str(tmp_path / name) in str(raised.value) and "\n" not in str(raised.value)


def test_parquet_without_the_column_names_those_of_texts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no column 'text'; expected one of body, title"):
        list(read_texts(write_file(tmp_path / "a.parquet")))


def test_ids_are_refused_and_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds token ids; expected texts"):
        list(read_texts(write_dataset(tmp_path / "ids", kind="tokens")))
    for read in (read_texts, count_texts):
        with pytest.raises(FileNotFoundError, match="no such file; expected"):
            read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no manifest here or below"):
        read_texts(tmp_path / "empty")


def test_reading_lines_does_not_import_pyarrow(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt")
    code = f"import sys; from schemas.texts import read_texts; list(read_texts({str(tmp_path / 'a.txt')!r}))"
    done = subprocess.run([sys.executable, "-c", f"{code}; print('pyarrow' in sys.modules)"], capture_output=True)
    assert done.stdout.strip() == b"False", done.stderr
