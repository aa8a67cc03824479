import bz2
import gzip
import io
import json
import tarfile
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.funnel import BadFile, Drop, KeyedBlock, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.reddit import Reddit, read_comments
from pipelines.sources.reddit_exports import ROWS, RedditBigQuery, RedditThreads, parquet_rows
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair, normalise
from schemas.shards import read_shard

THREADS, BIGQUERY = ROWS


def comment(id_: str, parent: str, **changes) -> dict:
    return {"id": id_, "link_id": "t3_abc", "parent_id": parent, "body": f"a comment named {id_}", **changes}


SMALL = [comment("c1", "t3_abc"), comment("c2", "t1_c1"), comment("c3", "t1_c2")]


def lines(rows: list[dict]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def write_parquet(path: Path, rows: list[dict], row_group: int = 1 << 20) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group)
    return path


def read_pairs(manifest: Manifest) -> set[Pair]:
    splits = manifest.parts[0].splits
    return {
        decode_pair(record)[0] for split in splits for at in manifest.shards(split) for record in read_shard(at.path)
    }


def drops(manifest: Manifest) -> dict[str, int]:
    return {reason: count for stage in manifest.parts[0].funnel for reason, count in stage.drops.items()}


def write_dataset(row: Reddit, path: Path, output: Path, name: str | None = None) -> Manifest:
    (manifest,) = run(Job(row, (str(path),), str(output), dataset=name))
    return manifest


# Thread files


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:bz2") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_comments_of_one_thread_meet_though_they_lie_in_different_members(tmp_path):
    members = {"t/1.json": lines(SMALL[:2]), "t/2.json": lines(SMALL[1:]), "t/README": b"no comment\n"}
    path = write_tar(tmp_path / "threads.tar.bz2", members)
    manifest = write_dataset(THREADS, path, tmp_path / "out")
    assert read_pairs(manifest) == {
        Pair("reddit_threads", "a comment named c1", "a comment named c2", group="abc"),
        Pair(
            "reddit_threads",
            "a comment named c2",
            "a comment named c3",
            group="abc",
            contexts=("a comment named c1",),
        ),
    }
    assert manifest.parts[0].read == 4
    assert drops(manifest) == {"top_level": 1, "duplicate_comment": 1}


def test_thread_files_are_read_without_an_archive_too(tmp_path):
    (tmp_path / "1.json").write_bytes(b"\xef\xbb\xbf" + lines(SMALL).replace(b"\n", b"\r\n"))
    assert len(read_pairs(write_dataset(THREADS, tmp_path / "*.json", tmp_path / "out"))) == 2


def test_bad_lines_of_a_thread_file_are_counted(tmp_path):
    (tmp_path / "1.json").write_bytes(b'{\n\n[]\nnull\n{"body":"\xff"}\n{}\n' + lines(SMALL[:1]))
    found = list(read_comments(str(tmp_path / "1.json"), dataset="d", source=THREADS))
    assert sum(item.records for item in found if isinstance(item, Read)) == 6
    reasons = [item.reason for item in found if isinstance(item, Drop)]
    assert reasons == ["not_json", "not_an_object", "not_an_object", "not_utf8", "body_missing"]


def test_an_archive_cut_short_is_a_bad_file(tmp_path):
    path = write_tar(tmp_path / "threads.tar.bz2", {"1.json": lines(SMALL)})
    path.write_bytes(path.read_bytes()[:-30])
    *_, found = read_comments(str(path), dataset="d", source=THREADS)
    assert isinstance(found, BadFile) and str(path) in found.message and "fetch it again" in found.message


def test_the_rules_of_the_dumps_are_options_of_the_exports():
    assert RedditThreads(min_characters=1, depth=2).options == RedditThreads(1, 127, 2)
    with pytest.raises(ValueError, match="expected at least 1"):
        RedditBigQuery(depth=0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.datasets[0].name)
def test_no_input_is_refused_saying_what_is_expected(row):
    with pytest.raises(FileNotFoundError, match=rf"{row.datasets[0].name} needs --input: .* of (thread|exported)"):
        row.find_inputs(())


# Exports of the table


def test_parquet_and_json_exports_give_the_pairs_of_a_dump(tmp_path):
    rows = [{**row, "retrieved_on": 5, "author": "a", "subreddit": "s"} for row in SMALL]
    (tmp_path / "dump.json").write_bytes(lines(rows))
    # BigQuery writes 64-bit integers as text.
    (tmp_path / "export-000000000000.json.gz").write_bytes(
        gzip.compress(lines([{**row, "retrieved_on": "5"} for row in rows]))
    )
    write_parquet(tmp_path / "export.parquet", rows, row_group=1)
    expected = read_pairs(write_dataset(Reddit(), tmp_path / "dump.json", tmp_path / "dump", "same"))
    assert len(expected) == 2
    for name in ("export.parquet", "export-000000000000.json.gz"):
        assert read_pairs(write_dataset(BIGQUERY, tmp_path / name, tmp_path / f"from-{name}", "same")) == expected


def test_nulls_and_other_types_of_a_parquet_column_are_reasons(tmp_path):
    rows = [{**SMALL[0], "body": None}, {**SMALL[1], "id": None}, {**SMALL[2], "link_id": None}, SMALL[0]]
    path = write_parquet(tmp_path / "x.parquet", rows)
    found = list(read_comments(str(path), dataset="d", source=BIGQUERY))
    assert [item.reason for item in found if isinstance(item, Drop)] == ["body_missing", "id_missing", "id_missing"]
    numbers = write_parquet(tmp_path / "y.parquet", [{"id": 1, "link_id": 2, "parent_id": 2, "body": b"bytes"}])
    read, dropped, block = read_comments(str(numbers), dataset="d", source=BIGQUERY)
    assert isinstance(dropped, Drop) and dropped[:4] == ("d", "read", "body_missing", 1)
    assert (read, block) == (Read("d"), KeyedBlock([], 0))


def test_subreddits_bots_and_marks_of_a_parquet_export_are_known(tmp_path):
    rows = [
        comment("c1", "t3_abc", author="someone", subreddit="tea", over_18=False),
        comment("c2", "t1_c1", author="AutoModerator", subreddit="tea", over_18=False),
        comment("c3", "t1_c1", author="someone", subreddit="tea", over_18=True),
        comment("c4", "t1_c1", author="someone", subreddit="beer", over_18=False),
        comment("c5", "t1_c1", author=None, subreddit="tea", over_18=None),
    ]
    row = RedditBigQuery(subreddits=("tea",)).cleaned()
    manifest = write_dataset(row, write_parquet(tmp_path / "x.parquet", rows), tmp_path / "out")
    assert drops(manifest) == {"top_level": 1, "reply_bot": 1, "nsfw": 1, "subreddit_not_allowed": 1}
    assert {pair.positive for pair in read_pairs(manifest)} == {"a comment named c5"}


def test_row_groups_are_read_one_at_a_time(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "x.parquet", [comment(f"c{n}", "t3_abc") for n in range(9)], row_group=2)
    read: list[list[int]] = []
    original = pq.ParquetFile.iter_batches

    def watched(self, *args, row_groups, **kwargs):
        read.append(row_groups)
        return original(self, *args, row_groups=row_groups, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    rows = parquet_rows(str(path))
    assert [next(rows)["id"] for _ in range(3)] == ["c0", "c1", "c2"]
    assert read == [[0], [1]]
    assert len(list(rows)) == 6 and read[-1] == [4]


def test_a_parquet_file_of_another_table_is_refused_naming_the_columns(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", [{"id": "c1", "title": "t"}])
    with pytest.raises(JobError, match="no column body, link_id, parent_id"):
        write_dataset(BIGQUERY, path, tmp_path / "out")


@pytest.mark.parametrize(
    "damage", [lambda raw: b"", lambda raw: raw[:-9], lambda raw: raw[:4] + b"\0" * 200 + raw[204:]]
)
def test_a_damaged_parquet_file_is_bad_and_named(tmp_path, damage):
    path = write_parquet(tmp_path / "x.parquet", [comment(f"c{n}", "t3_abc") for n in range(500)])
    path.write_bytes(damage(path.read_bytes()))
    *_, found = read_comments(str(path), dataset="d", source=BIGQUERY)
    assert isinstance(found, BadFile) and str(path) in found.message


# Real files, read independently with the standard library


def plain_pairs(comments: list[dict]) -> tuple[int, set[tuple[str, str]]]:
    """(replies with a fit parent, their normalised texts), by loops over all comments at once."""
    by_id = {(row["link_id"], row["id"]): row for row in comments}

    def fit(text: str) -> bool:
        return 9 <= len(text) <= 127 and text not in ("[deleted]", "[removed]")

    found = []
    for row in by_id.values():
        parent = by_id.get((row["link_id"], row["parent_id"].removeprefix("t1_")))
        if parent is not None and fit(row["body"]) and fit(parent["body"]):
            found.append((normalise(parent["body"]), normalise(row["body"])))
    return len(found), {texts for texts in found if texts[0] != texts[1]}


def test_the_real_thread_archive_gives_the_replies_of_its_comments(shared_data, tmp_path):
    path = shared_data / "reddit/changemyview-threads.tar.bz2"
    rows = []
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                rows += [json.loads(line) for line in content.read().decode().split("\n") if line.strip()]
    assert len(rows) == 9037
    comments = [row for row in rows if row["link_id"]]  # the others are the submissions themselves
    _, expected = plain_pairs(comments)
    manifest = write_dataset(THREADS, path, tmp_path / "out")
    found = read_pairs(manifest)
    assert {(normalise(pair.anchor), normalise(pair.positive)) for pair in found} == expected
    assert len(expected) > 10
    assert manifest.parts[0].read == 9037
    assert drops(manifest)["id_missing"] == 9037 - len(comments) == 63
    assert drops(manifest)["duplicate_comment"] == len(comments) - len({row["id"] for row in comments})


def test_a_real_month_as_parquet_gives_the_pairs_of_its_dump(shared_data, tmp_path):
    dump = shared_data / "reddit/RC_2006-01.bz2"
    rows = [json.loads(line) for line in bz2.decompress(dump.read_bytes()).split(b"\n") if line.strip()]
    columns = ("id", "link_id", "parent_id", "body", "author", "subreddit", "retrieved_on")
    table = [{name: row.get(name) for name in columns} for row in rows]
    path = write_parquet(tmp_path / "RC_2006-01.parquet", table, row_group=1000)
    count, expected = plain_pairs(rows)
    manifest = write_dataset(BIGQUERY, path, tmp_path / "out", "same")
    found = read_pairs(manifest)
    assert manifest.parts[0].read == len(rows) == 3666
    assert {(normalise(pair.anchor), normalise(pair.positive)) for pair in found} == expected and count > 100
    assert found == read_pairs(write_dataset(Reddit(), dump, tmp_path / "dump", "same"))
