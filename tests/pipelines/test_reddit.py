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
from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters.options import FilterOptions
from pipelines.funnel import BadFile, Drop, KeyedBlock, Origin, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.reddit import Comment, Reddit, comment_from_row, pair_thread, read_comments, trim
from schemas.example import decode_pair
from schemas.pair import Pair
from schemas.shards import read_shard

THREAD = "abc"
RULES = Reddit()


def make_row(**changes) -> dict:
    row = {
        "id": "c1",
        "link_id": "t3_abc",
        "parent_id": "t3_abc",
        "body": "long enough to keep",
        "retrieved_on": 5,
    }
    return {**row, **changes}


def comment(id_: str, parent: str = THREAD, body: str | None = None, retrieved: int = 0) -> Comment:
    return Comment(id_, parent, retrieved, f"a comment named {id_}" if body is None else body)


def outcomes(*comments: Comment, rules: Reddit = RULES) -> list[Pair | Drop]:
    found = pair_thread((THREAD, [list(item) for item in comments]), "reddit", rules)
    return [item for item in found if isinstance(item, Pair | Drop)]


def reasons(*comments: Comment, rules: Reddit = RULES) -> dict[str, int]:
    return dict(counted(outcomes(*comments, rules=rules)))


def counted(found: Iterable[Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for item in found:
        if isinstance(item, Drop):
            counts[item.reason] += item.records
    return counts


def pairs(*comments: Comment, rules: Reddit = RULES) -> list[Pair]:
    return [item for item in outcomes(*comments, rules=rules) if isinstance(item, Pair)]


def parse(row: dict) -> tuple[str, Comment] | str:
    found = comment_from_row(orjson.loads(orjson.dumps(row)))
    return found if isinstance(found, str) else (found[0], Comment._make(found[1]))


def write_dump(path: Path, *rows: dict) -> str:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)


def comments_of(found: Iterable[Any]) -> list[tuple[str, Comment]]:
    blocks = [item for item in found if isinstance(item, KeyedBlock)]
    return [(thread, Comment._make(value)) for block in blocks for thread, value in block.values]


# Lines of a dump


@pytest.mark.parametrize(
    ("row", "thread", "expected"),
    [
        (make_row(), "abc", Comment("c1", "abc", 5, "long enough to keep")),
        (
            make_row(id="t1_c1", link_id="abc", parent_id="t1_c0"),
            "abc",
            Comment("c1", "c0", 5, "long enough to keep"),
        ),
        (make_row(id=17, link_id=9, parent_id=16), "9", Comment("17", "16", 5, "long enough to keep")),
        (make_row(retrieved_on="77"), "abc", Comment("c1", "abc", 77, "long enough to keep")),
        (make_row(retrieved_on=None), "abc", Comment("c1", "abc", 0, "long enough to keep")),
        (make_row(retrieved_on="yesterday"), "abc", Comment("c1", "abc", 0, "long enough to keep")),
        (make_row(parent_id=None), "abc", Comment("c1", "", 5, "long enough to keep")),
        (make_row(body=""), "abc", Comment("c1", "abc", 5, "")),
    ],
)
def test_lines_of_any_year_give_the_same_fields(row, thread, expected):
    assert parse(row) == (thread, expected)


def test_a_row_without_retrieved_on_may_have_retrieved_utc():
    row = {**make_row(), "retrieved_utc": 99}
    del row["retrieved_on"]
    assert parse(row) == ("abc", Comment("c1", "abc", 99, "long enough to keep"))


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.fixed_dictionaries({}, optional={name: JSON for name in (*make_row(), "retrieved_utc")}))
def test_no_row_makes_the_parser_fail(row):
    found = parse(row)
    assert isinstance(found, str) or found[1].body == row["body"]


@pytest.mark.parametrize("value", [b"1e300", b"123456789012345678901234567890", b'"99999999999999999999"', b"-1e30"])
def test_a_retrieval_time_beyond_64_bits_is_no_obstacle(value):
    row = orjson.loads(b'{"id":"c","link_id":"t3_a","body":"b","retrieved_on":%s}' % value)
    assert parse(row) == ("a", Comment("c", "", 0, "b"))


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


# Threads


def test_a_reply_is_paired_with_its_direct_parent_in_its_thread():
    found = pairs(comment("a"), comment("b", "a"), comment("c", "b"))
    assert found == [
        Pair("reddit", "a comment named a", "a comment named b", group=THREAD),
        Pair("reddit", "a comment named b", "a comment named c", group=THREAD, contexts=("a comment named a",)),
    ]


def test_a_comment_on_the_thread_itself_is_no_reply():
    assert reasons(comment("a"), comment("b")) == {"top_level": 2}


def test_a_reply_to_a_comment_that_is_not_there_is_counted():
    assert reasons(comment("a", "gone"), comment("b", "")) == {"missing_parent": 2}


def test_a_reply_to_an_orphan_is_still_a_pair():
    assert len(pairs(comment("a", "gone"), comment("b", "a"))) == 1


def test_circles_and_self_answers_are_survived_with_all_that_hangs_on_them():
    circle = [comment("a", "c"), comment("b", "a"), comment("c", "b"), comment("d", "b"), comment("e", "e")]
    assert reasons(*circle) == {"cycle": 5}
    assert len(pairs(*circle, comment("x"), comment("y", "x"))) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[deleted]", "deleted"),
        ("[removed]", "deleted"),
        ("x" * 128, "too_long"),
        ("x" * 8, "too_short"),
        ("", "too_short"),
    ],
)
def test_an_unfit_comment_is_neither_reply_nor_parent(body, reason):
    assert reasons(comment("a", body=body), comment("b", "a")) == {"top_level": 1, f"parent_{reason}": 1}
    assert reasons(comment("a"), comment("b", "a", body=body)) == {"top_level": 1, f"reply_{reason}": 1}


@pytest.mark.parametrize("body", ["x" * 9, "x" * 127, "ä" * 127, "[deleted] "])
def test_both_ends_of_the_length_range_are_kept(body):
    assert len(pairs(comment("a", body=body), comment("b", "a", body=body))) == 1


def test_the_reply_is_judged_before_its_parent():
    assert reasons(comment("a", body="x"), comment("b", "a", body="y")) == {
        "top_level": 1,
        "reply_too_short": 1,
    }


def chain(length: int, body=str) -> list[Comment]:
    return [comment(f"c{n}", f"c{n - 1}" if n else THREAD, f"comment number {body(n)}") for n in range(length)]


@pytest.mark.parametrize(
    ("depth", "contexts"), [(1, []), (2, [8]), (5, [8, 7, 6, 5]), (10, [8, 7, 6, 5, 4, 3, 2, 1, 0])]
)
def test_earlier_contexts_come_nearest_first_up_to_the_depth(depth, contexts):
    last = pairs(*chain(11), rules=Reddit(depth=depth))[-1]
    assert (last.anchor, last.positive) == ("comment number 9", "comment number 10")
    assert last.contexts == tuple(f"comment number {n}" for n in contexts)


def test_the_published_depth_keeps_nine_earlier_contexts():
    assert len(pairs(*chain(30))[-1].contexts) == 9


def test_contexts_are_trimmed_but_neither_filtered_nor_dropped():
    long = "word " * 60
    found = pairs(comment("a", body="[deleted]"), comment("b", "a", long), comment("c", "b"), comment("d", "c"))
    assert [pair.contexts for pair in found] == [(("word " * 60)[:125], "[deleted]")]


@pytest.mark.parametrize(
    ("versions", "best"),
    [
        ([("[deleted]", 9), ("the text itself", 1)], "the text itself"),
        ([("[removed]", 9), ("the text itself", 1)], "the text itself"),
        ([("an older version", 1), ("a later version", 2)], "a later version"),
        ([("version number b", 1), ("version number a", 1)], "version number a"),
        ([("older and long gone", 1), ("[deleted]", 7), ("edited and kept", 5)], "edited and kept"),
    ],
)
def test_of_comments_with_one_id_the_best_is_used_whatever_comes_first(versions, best):
    for order in itertools.permutations(versions):
        copies = [comment("b", "a", body, retrieved) for body, retrieved in order]
        (pair,) = pairs(comment("a"), *copies)
        assert pair.positive == best
        assert reasons(comment("a"), *copies) == {"top_level": 1, "duplicate_comment": len(versions) - 1}


BODIES = st.sampled_from(["[deleted]", "short", "just long enough", "another fit comment", "x" * 200])
THREADS = st.lists(
    st.builds(
        comment,
        st.sampled_from([f"c{n}" for n in range(8)]),
        st.sampled_from([*(f"c{n}" for n in range(8)), THREAD, "gone", ""]),
        BODIES,
        st.integers(0, 2),
    ),
    max_size=12,
)


@given(THREADS)
def test_every_comment_has_exactly_one_outcome(thread):
    assert sum(item.records if isinstance(item, Drop) else 1 for item in outcomes(*thread)) == len(thread)
    duplicates = len(thread) - len({item.id for item in thread})
    assert reasons(*thread).get("duplicate_comment", 0) == duplicates


@given(THREADS, st.integers(0, 2**32))
def test_the_order_of_a_thread_s_comments_never_shows(thread, seed):
    shuffled = random.Random(seed).sample(thread, len(thread))
    assert Counter(outcomes(*thread)) == Counter(outcomes(*shuffled))


def trim_by_words(text: str, most: int) -> str:
    """Whole runs of letters and digits, or of other characters, as many as fit; all of a text that fits."""
    if len(text) <= most:
        return text
    kept = ""
    for _, letters in itertools.groupby(text, key=str.isalnum):
        word = "".join(letters)
        if len(kept) + len(word) > most:
            break
        kept += word
    return kept


@given(st.text("ab1 .,ä", max_size=40), st.integers(1, 30))
def test_trimming_keeps_whole_words(text, most):
    assert trim(text, most) == trim_by_words(text, most)


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


def ends_somewhere(start: Comment, comments: dict[str, Comment]) -> bool:
    """Whether its ancestors, walked one by one, ever stop."""
    for _ in range(len(comments)):
        if start.parent not in comments:
            return True
        start = comments[start.parent]
    return False


IDS = st.sampled_from(["9", "a", "z", "10", "a0", "zz", "100"])  # older ids are shorter or come first


@given(st.lists(st.builds(comment, IDS, IDS | st.just(THREAD)), unique_by=lambda item: item.id))
def test_whatever_the_ids_exactly_the_circles_and_what_hangs_on_them_are_dropped(thread):
    comments = {item.id: item for item in thread}
    endless = sum(not ends_somewhere(item, comments) for item in thread)
    assert reasons(*thread).get("cycle", 0) == endless


def test_pairs_are_counted_by_their_subreddit():
    thread = [item._replace(subreddit="tea") for item in chain(4)]
    found = pair_thread((THREAD, [list(item) for item in thread]), "reddit", RULES)
    assert [item for item in found if isinstance(item, Origin)] == [Origin("reddit", "subreddit", "tea", 3)]


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
