import itertools
import random
from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.reddit import Comment, Reddit, pair_thread, parse_comment, read_comments, trim
from schemas.pair import Pair

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
    return list(pair_thread((THREAD, [orjson.dumps(tuple(item)) for item in comments]), "reddit", rules))


def reasons(*comments: Comment, rules: Reddit = RULES) -> dict[str, int]:
    return dict(Counter(item.reason for item in outcomes(*comments, rules=rules) if isinstance(item, Drop)))


def pairs(*comments: Comment, rules: Reddit = RULES) -> list[Pair]:
    return [item for item in outcomes(*comments, rules=rules) if isinstance(item, Pair)]


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
    found = parse_comment(orjson.dumps(row))
    assert not isinstance(found, str)
    assert (found[0], Comment(*orjson.loads(found[1]))) == (thread, expected)


def test_a_row_without_retrieved_on_may_have_retrieved_utc():
    row = {**make_row(), "retrieved_utc": 99}
    del row["retrieved_on"]
    assert orjson.loads(parse_comment(orjson.dumps(row))[1])[2] == 99


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
def test_a_line_that_is_no_comment_says_why(line, reason):
    assert parse_comment(line) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.fixed_dictionaries({}, optional={name: JSON for name in (*make_row(), "retrieved_utc")}))
def test_no_row_makes_the_parser_fail(row):
    found = parse_comment(orjson.dumps(row))
    assert isinstance(found, str) or Comment(*orjson.loads(found[1])).body == row["body"]


@pytest.mark.parametrize("value", [b"1e300", b"123456789012345678901234567890", b'"99999999999999999999"', b"-1e30"])
def test_a_retrieval_time_beyond_64_bits_is_no_obstacle(value):
    found = parse_comment(b'{"id":"c","link_id":"t3_a","body":"b","retrieved_on":%s}' % value)
    assert not isinstance(found, str) and found[0] == "a"


def test_every_line_but_blank_ones_is_read_and_counted(tmp_path):
    path = tmp_path / "RC.json"
    path.write_bytes(b"\n".join([orjson.dumps(make_row()), b"", b"  \r", b"nonsense", orjson.dumps(make_row(id="c2"))]))
    found = list(read_comments(str(path), "reddit"))
    assert found.count(Read("reddit")) == 3
    assert [item for item in found if isinstance(item, Drop)] == [Drop("reddit", "read", "not_json")]
    assert [item[0] for item in found if type(item) is tuple] == ["abc", "abc"]


def test_an_unreadable_dump_becomes_one_bad_file(tmp_path):
    path = tmp_path / "RC.zst"
    path.write_bytes(b"no zstd")
    (found,) = read_comments(str(path), "reddit")
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
    assert len(outcomes(*thread)) == len(thread)
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
    for _, run in itertools.groupby(text, key=str.isalnum):
        run = "".join(run)
        if len(kept) + len(run) > most:
            break
        kept += run
    return kept


@given(st.text("ab1 .,ä", max_size=40), st.integers(1, 30))
def test_trimming_keeps_whole_words(text, most):
    assert trim(text, most) == trim_by_words(text, most)


@pytest.mark.parametrize("changes", [{"min_characters": 0}, {"min_characters": 10, "max_characters": 9}, {"depth": 0}])
def test_rules_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        Reddit(**changes)


def test_reddit_has_no_default_input():
    with pytest.raises(FileNotFoundError, match="needs --input"):
        RULES.find_inputs(())
