"""Tables by named columns, in every form they come in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.files import match_files
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.columns import ROWS, ColumnOptions, pairs_of_row
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair
from schemas.shards import read_shard

BY_NAME = {row.info.name: row for row in ROWS}
OPTIONS = ColumnOptions(anchor="question", positive="answer", negative=("wrong",), group="topic", cluster="same")
PLACE = {"topic": "t", "same": "s"}
TABLE = [
    {"question": f"What is {n}?", "answer": f"It is the number {n}.", "wrong": f"It is {n + 1}.", "topic": f"t{n % 7}"}
    for n in range(40)
]


def written_pairs(manifest: Manifest) -> set[tuple[str, str, tuple[str, ...], str]]:
    pairs = [decode_pair(r)[0] for split in ("train", "test") for p, _ in manifest.shards(split) for r in read_shard(p)]
    return {(pair.anchor, pair.positive, pair.negatives, pair.group) for pair in pairs}


def write_table(name: str, folder: Path) -> Path:
    path = folder / f"table.{name}"
    table = pa.Table.from_pylist(TABLE)
    if name == "jsonl":
        path.write_text("\n".join(map(json.dumps, TABLE)))
    elif name in ("csv", "tsv"):
        comma = "," if name == "csv" else "\t"
        lines = [comma.join(TABLE[0]), *(comma.join(f'"{v}"' for v in row.values()) for row in TABLE)]
        path.write_text("\r\n".join(lines))
    elif name == "parquet":
        pq.write_table(table, path, row_group_size=16)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv", "parquet", "arrow"])
def test_a_table_of_any_form_gives_the_same_pairs(name, tmp_path):
    source = BY_NAME[name].with_options(replace(OPTIONS, cluster=None))
    (manifest,) = run(Job(source, (str(write_table(name, tmp_path)),), str(tmp_path / "out"), dataset="faq"))
    assert (manifest.dataset, manifest.records("train")) == ("faq", 40)
    assert written_pairs(manifest) == {(r["question"], r["answer"], (r["wrong"],), r["topic"]) for r in TABLE}


def test_the_row_groups_of_a_parquet_file_are_read_apart(tmp_path):
    files = BY_NAME["parquet"].find_inputs((str(write_table("parquet", tmp_path)),))
    assert [file.path.split("\0")[1] for file in files] == ["0", "1", "2"]


def test_an_arrow_file_is_read_like_a_stream(tmp_path):
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink:
        table = pa.Table.from_pylist(TABLE)
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    source = BY_NAME["arrow"].with_options(replace(OPTIONS, cluster=None))
    (manifest,) = run(Job(source, (str(tmp_path / "t.arrow"),), str(tmp_path / "out")))
    assert manifest.records("train") == 40


@pytest.mark.parametrize(
    ("row", "outcomes"),
    [
        (
            {"question": "q", "answer": "a", "wrong": "w", "topic": 0, "same": None},
            [Pair("d", "q", "a", ("w",), group="0")],
        ),
        ({"question": "q", "answer": "a", "wrong": "w", "same": "x"}, ["column_topic_missing"]),
        (
            {"question": "q", "answer": ["a", "b"], "wrong": ["w", "v"], "topic": 3, "same": 7},
            [Pair("d", "q", text, ("w", "v"), group="3", cluster="7") for text in ("a", "b")],
        ),
        ({"question": "q", "wrong": "w"}, ["column_answer_missing"]),
        ({"question": None, "answer": "a", "wrong": "w", **PLACE}, ["not_a_text"]),
        ({"question": "q", "answer": 5, "wrong": "w", **PLACE}, ["not_a_text"]),
        ({"question": "q", "answer": [], "wrong": "w", **PLACE}, ["not_a_text"]),
        ({"question": "q", "answer": "a", "wrong": {"x": 1}, **PLACE}, ["not_a_text"]),
        (["q", "a"], ["not_an_object"]),
        (None, ["not_an_object"]),
    ],
)
def test_a_row_gives_its_pairs_or_a_reason(row, outcomes):
    assert list(pairs_of_row(row, "d", OPTIONS)) == outcomes


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_a_file_of_another_format_is_named(name, tmp_path):
    path = tmp_path / f"fake.{name}"
    path.write_bytes(b"this is nothing of the kind, whatever its name")
    with pytest.raises(JobError, match=f"fake.{name}: not .*{name.capitalize()}"):
        run(Job(BY_NAME[name], (str(path),), str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_bad_files_are_skipped_on_request_and_listed(tmp_path):
    good = write_table("parquet", tmp_path)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"no")
    source = BY_NAME["parquet"].with_options(replace(OPTIONS, cluster=None))
    (manifest,) = run(Job(source, (str(good), str(bad)), str(tmp_path / "out"), skip_bad_files=True))
    assert manifest.records("train") == 40
    (listed,) = manifest.parts[0].inputs["bad"]
    assert str(bad) in listed


class FakeHub:
    """What HfFileSystem answers, from a local folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked = root, []

    def glob(self, pattern: str, detail: bool) -> dict[str, dict[str, int]]:
        assert detail
        self.asked.append(pattern)
        name = "datasets/acme/faq@~parquet/default/train/0000.parquet"
        return {name: {"size": (self.root / "table.parquet").stat().st_size}}

    def open(self, path: str, mode: str):
        assert path == "hf://datasets/acme/faq@~parquet/default/train/0000.parquet"
        return (self.root / "table.parquet").open(mode)


def test_a_hub_dataset_is_read_by_its_id(tmp_path, monkeypatch):
    write_table("parquet", tmp_path)
    hub = FakeHub(tmp_path)
    monkeypatch.setattr("pipelines.files._hub", lambda: hub)
    source = BY_NAME["hub"]
    options = replace(source.options, anchor="question", positive="answer", subset="default")
    (manifest,) = run(Job(source.with_options(options), ("acme/faq",), str(tmp_path / "out")))
    assert manifest.records("train") == 40
    assert hub.asked == ["hf://datasets/acme/faq@~parquet/default/train/*.parquet"]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    class Offline:
        def glob(self, *_, **__):
            raise OSError("no route\nto host")

    monkeypatch.setattr("pipelines.files._hub", Offline)
    with pytest.raises(FileNotFoundError, match=r"cannot look for hf://x \(no route\)"):
        match_files(("hf://x",))
    with pytest.raises(FileNotFoundError, match="OWNER/NAME"):
        BY_NAME["hub"].find_inputs(("nonsense",))
