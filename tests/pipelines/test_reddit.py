import bz2
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines.filters.options import FilterOptions
from pipelines.funnel import BadFile, Drop, KeyedBlock, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.reddit import Reddit, read_comments
from pipelines.sources.reddit_comments import Comment
from schemas.example import decode_pair
from schemas.pair import Pair
from schemas.shards import read_shard
from tests.pipelines.reddit_row import make_row

RULES = Reddit()


def counted(found: Iterable[Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for item in found:
        if isinstance(item, Drop):
            counts[item.reason] += item.records
    return counts


def write_dump(path: Path, *rows: dict) -> str:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)


def comments_of(found: Iterable[Any]) -> list[tuple[str, Comment]]:
    blocks = [item for item in found if isinstance(item, KeyedBlock)]
    return [(thread, Comment._make(value)) for block in blocks for thread, value in block.values]


# Dumps


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'"\\ud800"', "not_json"),
        (b"[1]", "not_an_object"),
        (b"null", "not_an_object"),
        (orjson.dumps(make_row(body=None)), "body_missing"),
        (orjson.dumps(make_row(body=3)), "body_missing"),
        (b"{}", "body_missing"),
        (orjson.dumps(make_row(id=None)), "id_missing"),
        (orjson.dumps(make_row(id="")), "id_missing"),
        (orjson.dumps(make_row(link_id=None)), "id_missing"),
        (orjson.dumps(make_row(link_id="t3_")), "id_missing"),
        (orjson.dumps(make_row(id=[1])), "id_missing"),
    ],
)
def test_a_line_that_is_no_comment_says_why(tmp_path, line, reason):
    (tmp_path / "RC.json").write_bytes(line)
    read, dropped, block = read_comments(str(tmp_path / "RC.json"), dataset="reddit", source=RULES)
    assert (read, block) == (Read("reddit"), KeyedBlock([], 0))
    assert dropped == Drop("reddit", "read", reason, texts=(line.decode(errors="replace"),))


def test_every_line_but_blank_ones_is_read_and_counted(tmp_path):
    path = tmp_path / "RC.json"
    path.write_bytes(b"\n".join([orjson.dumps(make_row()), b"", b"  \r", b"nonsense", orjson.dumps(make_row(id="c2"))]))
    found = list(read_comments(str(path), dataset="reddit", source=RULES))
    assert sum(item.records for item in found if isinstance(item, Read)) == 3
    assert [item[:4] for item in found if isinstance(item, Drop)] == [("reddit", "read", "not_json", 1)]
    assert [thread for thread, _ in comments_of(found)] == ["abc", "abc"]


def test_an_unreadable_dump_becomes_one_bad_file(tmp_path):
    path = tmp_path / "RC.zst"
    path.write_bytes(b"no zstd")
    (found,) = read_comments(str(path), dataset="reddit", source=RULES)
    assert isinstance(found, BadFile) and str(path) in found.message


@pytest.mark.parametrize(
    "changes",
    [{"min_characters": 0}, {"min_characters": 10, "max_characters": 9}, {"depth": 0}, {"max_thread_comments": 0}],
)
def test_rules_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        Reddit(**changes)


def test_reddit_has_no_default_input():
    with pytest.raises(FileNotFoundError, match="needs --input"):
        RULES.find_inputs(())


# Whole jobs


def write_dataset(source: Reddit, output: Path, *paths: str, **changes: Any) -> tuple[Counter[str], set[Pair]]:
    """(counts of drops by reason, and of records read; the pairs)."""
    (manifest,) = run(Job(source, paths, str(output), **changes))
    (part,) = manifest.parts
    counts = Counter({reason: count for stage in part.funnel for reason, count in stage.drops.items()})
    records = (record for split in part.splits for at in manifest.shards(split) for record in read_shard(at.path))
    return counts + Counter(read=part.read), {decode_pair(record)[0] for record in records}


def reply(id_: str, parent: str | None = None, **changes) -> dict:
    parent_id = f"t1_{parent}" if parent else "t3_abc"
    return make_row(id=id_, parent_id=parent_id, body=f"a comment named {id_}", **changes)


def texts_of(found: set[Pair]) -> set[tuple[str, ...]]:
    """What is behind `a comment named` in anchor, positive and contexts."""
    return {tuple(text.split()[-1] for text in (*pair.texts, *pair.contexts)) for pair in found}


def test_an_earlier_month_supplies_parents_and_contexts_but_no_pairs(tmp_path):
    january = write_dump(tmp_path / "RC_01.json", reply("a"), reply("b", "a"), make_row(body=None))
    february = write_dump(tmp_path / "RC_02.json", reply("c", "b"), reply("d", "c"), reply("e", "gone"))
    counts, pairs = write_dataset(RULES, tmp_path / "alone", february)
    assert counts == {"read": 3, "missing_parent": 2} and texts_of(pairs) == {("c", "d")}
    counts, pairs = write_dataset(Reddit(parents=(january,)), tmp_path / "both", february)
    assert counts == {"read": 3, "missing_parent": 1}
    assert texts_of(pairs) == {("b", "c", "a"), ("c", "d", "b", "a")}


def test_a_comment_that_both_months_hold_is_read_as_the_later_s(tmp_path):
    january = write_dump(tmp_path / "RC_01.json", reply("a"), reply("b", "a", retrieved_on=99))
    february = write_dump(tmp_path / "RC_02.json", reply("b", "a"), reply("c", "b"))
    counts, pairs = write_dataset(Reddit(parents=(january,)), tmp_path / "out", february)
    assert counts == {"read": 2} and texts_of(pairs) == {("a", "b"), ("b", "c", "a")}


def test_a_dump_that_is_also_an_input_is_no_supplier_of_parents(tmp_path):
    paths = [write_dump(tmp_path / f"RC_0{month}.json", reply("a")) for month in (1, 2)]
    source = Reddit(parents=(str(tmp_path / "*.json"),))
    assert [file.path for file in source.find_inputs((paths[1],))] == [paths[1], f"parents\0{paths[0]}"]
    with pytest.raises(FileNotFoundError, match=r"no file matches .*RC_09"):
        Reddit(parents=(str(tmp_path / "RC_09*"),)).find_inputs((paths[1],))


def test_the_14_replies_of_february_2006_to_comments_of_january_are_found(shared_data, tmp_path):
    january, february = (str(shared_data / f"reddit/RC_2006-0{month}.bz2") for month in (1, 2))
    rows = [
        [json.loads(line) for line in bz2.decompress(Path(path).read_bytes()).splitlines()]
        for path in (january, february)
    ]
    before = {(row["link_id"], f"t1_{row['id']}"): row["body"] for row in rows[0]}
    crossing = [row for row in rows[1] if (row["link_id"], row["parent_id"]) in before]
    assert len(crossing) == 14
    alone, pairs = write_dataset(RULES, tmp_path / "alone", february)
    joined, more = write_dataset(Reddit(parents=(january,)), tmp_path / "joined", february)
    assert alone["missing_parent"] - joined["missing_parent"] == 14
    assert alone["read"] == joined["read"] == len(rows[1])
    both = [(before[row["link_id"], row["parent_id"]], row["body"]) for row in crossing]
    fit = {texts for texts in both if all(9 <= len(text) <= 127 and text != "[deleted]" for text in texts)}
    assert {pair.texts for pair in more} - {pair.texts for pair in pairs} == fit and fit


def test_of_a_long_thread_the_earliest_comments_are_looked_at(tmp_path):
    ids = [*"56789abcdefghijklmnopqrstuvwxyz", "10", "11", "12"]  # 10 comes after z
    rows = [reply(id_, parent) for id_, parent in zip(ids, [None, *ids], strict=False)]
    path = write_dump(tmp_path / "RC.json", *random.Random(0).sample(rows, len(rows)))
    counts, pairs = write_dataset(Reddit(max_thread_comments=32, depth=1), tmp_path / "out", path)
    assert texts_of(pairs) == set(itertools.pairwise(ids[:32]))
    assert counts == {"read": 34, "top_level": 1, "thread_too_long": 2}


def test_parents_beyond_a_thread_s_bound_are_not_counted(tmp_path):
    january = write_dump(tmp_path / "RC_01.json", *(reply(f"{n}") for n in range(1, 6)))
    february = write_dump(tmp_path / "RC_02.json", reply("8", "1"), reply("9", "1"))
    counts, _ = write_dataset(Reddit(parents=(january,), max_thread_comments=6), tmp_path / "out", february)
    assert counts == {"read": 2, "thread_too_long": 1}
    with pytest.raises(JobError, match="thread_too_long 2"):
        write_dataset(Reddit(parents=(january,), max_thread_comments=3), tmp_path / "none", february)


@pytest.mark.parametrize(
    ("changes", "kept", "dropped"),
    [
        ({}, {"tea", "Coffee", "beer", ""}, {}),
        ({"subreddits": ("Tea", "r/coffee")}, {"tea", "Coffee"}, {"subreddit_not_allowed": 4}),
        ({"deny_subreddits": ("COFFEE",)}, {"tea", "beer", ""}, {"subreddit_denied": 2}),
        (
            {"subreddits": ("FILE", "beer"), "deny_subreddits": ("FILE",)},
            {"beer"},
            {"subreddit_denied": 2, "subreddit_not_allowed": 4},
        ),
    ],
)
def test_subreddits_are_allowed_and_denied_by_name_or_by_a_file_of_names(tmp_path, changes, kept, dropped):
    (tmp_path / "names.txt").write_text("# what I drink\n/r/TEA\n\n")
    names: Any = {
        key: tuple(name.replace("FILE", f"{tmp_path}/names.txt") for name in given) for key, given in changes.items()
    }
    rows = []
    for thread, name in enumerate(("tea", "Coffee", "beer", "")):
        place = {"link_id": f"t3_{thread}", "subreddit": name or None}
        first = {**reply("a", **place), "parent_id": f"t3_{thread}", "body": f"a comment on {name}."}
        rows += [first, reply("b", "a", **place)]
    counts, pairs = write_dataset(Reddit(**names), tmp_path / "out", write_dump(tmp_path / "RC.json", *rows))
    assert {pair.anchor for pair in pairs} == {f"a comment on {name}." for name in kept}
    assert counts == {"read": 8, "top_level": len(kept)} | dropped


def test_bots_and_what_is_marked_over_18_go_when_the_source_is_cleaned(tmp_path):
    rows = [
        reply("a", author="Tea_Drinker"),
        reply("b", "a", author="AutoModerator"),
        reply("c", "b", author="someone"),
        reply("d", "a", author="someone"),
        {**reply("e", "d"), "body": "I am a bot, and this action was performed automatically."},
        reply("f", "d", over_18=True),
    ]
    path = write_dump(tmp_path / "RC.json", *rows)
    counts, pairs = write_dataset(RULES, tmp_path / "published", path, filters=FilterOptions(filters="published"))
    assert counts == {"read": 6, "top_level": 1} and len(pairs) == 5
    clean = FilterOptions(filters="clean")
    counts, pairs = write_dataset(RULES, tmp_path / "clean", path, filters=clean)
    assert texts_of(pairs) == {("a", "d")}
    assert counts == {"read": 6, "top_level": 1, "reply_bot": 2, "parent_bot": 1, "nsfw": 1}


@pytest.mark.parametrize("said", [None, True, False])
def test_cleaning_changes_only_what_the_user_left_open(said):
    cleaned = Reddit(drop_bots=said, drop_nsfw=said).cleaned()
    assert cleaned.drop_bots is cleaned.drop_nsfw is (said is not False)


@pytest.mark.parametrize("stripes", [1, 2, 3, 8])
def test_the_stripes_of_a_dump_are_together_the_whole(tmp_path, monkeypatch, stripes):
    monkeypatch.setattr("pipelines.files.BLOCK_BYTES", 1000)
    rows = [reply(f"{n}", link_id=f"t3_{n % 7}") if n % 10 else {"id": str(n)} for n in range(100)]
    path = write_dump(tmp_path / "RC.json", *rows)
    whole = list(read_comments(path, dataset="d", source=RULES))
    parts = [list(read_comments(path, stripe, stripes, dataset="d", source=RULES)) for stripe in range(stripes)]
    assert all(map(comments_of, parts))
    found = [item for part in parts for item in part]
    assert sorted(comments_of(found)) == sorted(comments_of(whole)) and len(comments_of(whole)) == 90
    assert counted(found) == counted(whole) == {"body_missing": 10}
    assert sum(item.records for item in found if isinstance(item, Read)) == 100
