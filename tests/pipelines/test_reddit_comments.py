import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.reddit_comments import Comment, comment_from_row, parse_line
from tests.pipelines.reddit_row import make_row


def parse(row: dict) -> tuple[str, Comment] | str:
    found = comment_from_row(orjson.loads(orjson.dumps(row)))
    return found if isinstance(found, str) else (found[0], Comment._make(found[1]))


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.fixed_dictionaries({}, optional={name: JSON for name in (*make_row(), "retrieved_utc")}))
def test_no_row_makes_the_parser_fail(row):
    found = parse(row)
    assert isinstance(found, str) or found[1].body == row["body"]


@given(
    st.fixed_dictionaries(
        {"id": st.text(max_size=5), "link_id": st.text(max_size=5), "body": st.text(max_size=5)},
        optional={name: JSON for name in ("parent_id", "retrieved_on", "retrieved_utc", "subreddit", "author")},
    )
)
def test_the_quick_reading_of_a_line_gives_what_the_careful_one_does(row):
    line = orjson.dumps(row)
    assert comment_from_row(parse_line(line)) == comment_from_row(orjson.loads(line))


@pytest.mark.parametrize("value", [b"1e300", b"123456789012345678901234567890", b'"99999999999999999999"', b"-1e30"])
def test_a_retrieval_time_beyond_64_bits_is_no_obstacle(value):
    row = orjson.loads(b'{"id":"c","link_id":"t3_a","body":"b","retrieved_on":%s}' % value)
    assert parse(row) == ("a", Comment("c", "", 0, "b"))
