"""Two real months of Reddit comments: the published rules' pairs, their places, and the same bytes whatever the way."""

import bz2
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from jobs import (
    SMALL_SHARDS,
    contents,
    fold,
    preprocess_reddit,
    read_pairs,
    split_of_thread,
)

from pipelines.sources import reddit as reddit_source
from schemas.manifest import Manifest, verify


@pytest.fixture(scope="module")
def two_months(dumps, tmp_path_factory):
    """(manifest, folder) of January and February 2006, from bz2."""
    folder = tmp_path_factory.mktemp("two_months") / "reddit"
    return preprocess_reddit(folder, dumps / "RC_2006-0*.bz2"), folder


# The rules of the published dataset, as plain loops over the raw files.


def read_dump(path: Path) -> list[dict]:
    return [json.loads(line) for line in bz2.open(path, "rt", encoding="utf-8")]


def judge(side: str, body: str) -> str | None:
    if len(body) > 127:
        return f"{side}_too_long"
    if body in ("[deleted]", "[removed]"):
        return f"{side}_deleted"
    return f"{side}_too_short" if len(body) < 9 else None


def plain_computation(rows: list[dict]) -> tuple[Counter, list[tuple[str, str, str]]]:
    """(drops by reason, (parent, reply, split) of every example before duplicates go)."""
    by_thread_and_id = {(row["link_id"], f"t1_{row['id']}"): row for row in rows}
    assert len(by_thread_and_id) == len(rows)  # no comment twice in these files
    drops, examples = Counter(), []
    for row in rows:
        parent = by_thread_and_id.get((row["link_id"], row["parent_id"]))
        if parent is None:
            drops["top_level" if row["parent_id"] == row["link_id"] else "missing_parent"] += 1
        elif reason := judge("reply", row["body"]) or judge("parent", parent["body"]):
            drops[reason] += 1
        else:
            examples.append((parent["body"], row["body"], split_of_thread(row["link_id"].removeprefix("t3_"))))
    return drops, examples


def test_the_job_finds_exactly_the_published_rules_pairs(two_months, dumps):
    manifest, _ = two_months
    rows = [row for month in ("01", "02") for row in read_dump(dumps / f"RC_2006-{month}.bz2")]
    drops, examples = plain_computation(rows)
    expected = {}
    for parent, reply, split in sorted(examples, key=lambda example: example[2] == "test"):
        expected[fold(parent), fold(reply)] = (parent, reply, split)  # of copies the one in test is last
    found = {(pair.anchor, pair.positive, split) for split in ("train", "test") for pair in read_pairs(manifest, split)}
    assert found == set(expected.values()) and len(found) > 500
    if duplicates := len(examples) - len(expected):
        drops["duplicate"] = duplicates
    (part,) = manifest.parts
    assert part.read == len(rows) == 3666 + 9095
    assert Counter({reason: n for stage in part.funnel for reason, n in stage.drops.items()}) == drops
    assert {name: split.records for name, split in part.splits.items()} == Counter(
        split for *_, split in expected.values()
    )


def test_contexts_are_the_ancestors_nearest_first(two_months, dumps):
    manifest, _ = two_months
    rows = [row for month in ("01", "02") for row in read_dump(dumps / f"RC_2006-{month}.bz2")]
    by_name = {f"t1_{row['id']}": row for row in rows}
    expected = {}
    for row in rows:
        parent = by_name.get(row["parent_id"])
        ancestors = []
        above = by_name.get(parent["parent_id"]) if parent else None
        while above and len(ancestors) < 9:
            ancestors.append(above["body"])
            above = by_name.get(above["parent_id"])
        if parent:
            expected.setdefault((parent["body"], row["body"]), []).append(ancestors)
    pairs = read_pairs(manifest, "train") + read_pairs(manifest, "test")
    assert max(len(pair.contexts) for pair in pairs) > 3
    for pair in pairs:
        candidates = expected[pair.anchor, pair.positive]
        assert any(
            len(candidate) == len(pair.contexts)
            and all(
                text.startswith(kept) and len(kept) <= 127 for text, kept in zip(candidate, pair.contexts, strict=True)
            )
            for candidate in candidates
        )


def test_a_thread_stays_on_one_side(two_months):
    manifest, _ = two_months
    threads = [{pair.group for pair in read_pairs(manifest, split)} for split in ("train", "test")]
    assert not threads[0] & threads[1]
    assert all(
        split_of_thread(thread) == split for split, of in zip(("train", "test"), threads, strict=True) for thread in of
    )


def test_what_is_written_is_whole_and_only_that(two_months):
    manifest, folder = two_months
    assert list(verify(manifest)) == []
    listed = {Path(located.path).stem for split in ("train", "test") for located in manifest.shards(split)}
    assert len(listed) > 4
    expected = {f"{stem}.{ending}" for stem in listed for ending in ("tfrecord", "idx", "fp")}
    assert {path.name for path in folder.iterdir()} == {*expected, "manifest.json"}
    assert Manifest.load(folder) == manifest


def test_shards_close_when_they_reach_the_size(two_months):
    manifest, _ = two_months
    assert len(manifest.parts[0].splits["train"].shards) > 2
    for split in manifest.parts[0].splits.values():
        for shard in split.shards[:-1]:
            assert SMALL_SHARDS <= shard.bytes < SMALL_SHARDS + 3000


def test_length_histograms_count_every_pair(two_months):
    manifest, _ = two_months
    statistics = manifest.parts[0].statistics["characters"]
    for split in ("train", "test"):
        for side, attribute in (("anchor", "anchor"), ("positive", "positive")):
            lengths = [len(getattr(pair, attribute)) for pair in read_pairs(manifest, split)]
            edges = [*statistics["edges"], 10**9]
            expected = [sum(low <= n < high for n in lengths) for low, high in itertools.pairwise(edges)]
            assert statistics[split][side] == expected


@pytest.fixture(scope="module")
def january(dumps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("january") / "reddit"
    return preprocess_reddit(folder, dumps / "RC_2006-01.zst"), folder


@pytest.mark.parametrize("inputs", [("RC_2006-01.bz2",), ("RC_2006-01.zst", "RC_2006-01.bz2")], ids=["bz2", "both"])
def test_compression_and_duplicated_inputs_never_show(january, dumps, tmp_path, inputs):
    manifest = preprocess_reddit(tmp_path / "out", *(dumps / name for name in inputs))
    assert contents(tmp_path / "out") == contents(january[1])
    assert manifest.content_hash == january[0].content_hash
    assert manifest.parts[0].read == 3666 * len(inputs)
    duplicates = manifest.parts[0].funnel[1].drops.get("duplicate_comment", 0)
    assert duplicates == 3666 * (len(inputs) - 1)


def test_a_plain_copy_and_one_cut_into_files_give_the_same_bytes(january, dumps, tmp_path):
    lines = bz2.decompress((dumps / "RC_2006-01.bz2").read_bytes()).splitlines(keepends=True)
    for number in range(5):
        (tmp_path / f"RC_{number}").write_bytes(b"".join(lines[number::5]))
    preprocess_reddit(tmp_path / "out", tmp_path / "RC_*")
    assert contents(tmp_path / "out") == contents(january[1])


def test_another_seed_holds_the_same_pairs_in_another_order(two_months, dumps, tmp_path):
    other = preprocess_reddit(tmp_path / "out", dumps / "RC_2006-0*.bz2", seed=1)
    for split in ("train", "test"):
        found, first = read_pairs(other, split), read_pairs(two_months[0], split)
        assert set(found) == set(first) and len(found) == len(first)
        assert found != first


@pytest.mark.parametrize("passes", [1, 128])
def test_file_order_and_passes_never_show(two_months, dumps, tmp_path, monkeypatch, passes):
    real = reddit_source.match_files
    monkeypatch.setattr(reddit_source, "match_files", lambda globs: real(globs)[::-1])
    preprocess_reddit(tmp_path / "out", dumps / "RC_2006-0*.bz2", passes=passes)
    assert contents(tmp_path / "out") == contents(two_months[1])


def test_shard_size_moves_borders_and_nothing_else(january, dumps, tmp_path):
    manifest = preprocess_reddit(tmp_path / "out", dumps / "RC_2006-01.bz2", shard_size=10**9)
    for split in ("train", "test"):
        assert len(list(manifest.shards(split))) == 1
        joined = b"".join(Path(located.path).read_bytes() for located in january[0].shards(split))
        assert Path(next(manifest.shards(split)).path).read_bytes() == joined


@pytest.mark.slow
def test_worker_processes_never_show_on_a_real_month(january, dumps, tmp_path, project_root, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project_root))
    options = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    preprocess_reddit(tmp_path / "out", dumps / "RC_2006-01.bz2", beam_options=options)
    assert contents(tmp_path / "out") == contents(january[1])
