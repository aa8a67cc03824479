import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters import ApplyFilters, LengthRule, empty_text, same_text
from pipelines.funnel import Drop
from schemas.pair import Pair

BOUND = st.none() | st.integers(0, 6)


@given(st.text("x", max_size=8), st.text("y", max_size=8), BOUND, BOUND, BOUND, BOUND)
def test_bounds_hold_both_ends_and_the_anchor_is_looked_at_first(anchor, positive, low_a, high_a, low_p, high_p):
    expected = None
    for side, text, low, high in (("positive", positive, low_p, high_p), ("anchor", anchor, low_a, high_a)):
        if high is not None and len(text) > high:
            expected = f"{side}_too_long"
        if low is not None and len(text) < low:
            expected = f"{side}_too_short"
    assert LengthRule(low_a, high_a, low_p, high_p)(Pair("d", anchor, positive)) == expected


def test_lengths_are_characters_not_bytes():
    assert LengthRule(max_anchor=3)(Pair("d", "äöü", "")) is None


@pytest.mark.parametrize(
    ("anchor", "positive", "reason"),
    [("A  b", "a B ", "anchor_is_positive"), ("a", "b", None), ("ab", "a b", None)],
)
def test_texts_equal_once_normalised_teach_nothing(anchor, positive, reason):
    assert same_text(Pair("d", anchor, positive)) == reason


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("a", "b"), None),
        (("", "b"), "empty_text"),
        (("a", " \n\t"), "empty_text"),
        (("a", "b", "\u2003"), "empty_text"),
        (("a", "b", "c"), None),
    ],
)
def test_white_space_alone_is_no_text(texts, reason):
    assert empty_text(Pair("d", texts[0], texts[1], texts[2:])) == reason


def test_the_first_reason_counts():
    filters = ApplyFilters((empty_text, same_text, LengthRule(min_anchor=5)))
    assert list(filters(Pair("d", "", ""))) == [Drop("d", "filter", "empty_text")]
    assert list(filters(Pair("d", "a", "A"))) == [Drop("d", "filter", "anchor_is_positive")]
    assert list(filters(Pair("e", "a", "b"))) == [Drop("e", "filter", "anchor_too_short")]


def test_a_pair_that_passes_goes_on_unchanged():
    pair = Pair("d", "long enough", "b", ("c",), group="g")
    assert list(ApplyFilters((LengthRule(min_anchor=5), same_text))(pair)) == [pair]
    assert list(ApplyFilters(())(pair)) == [pair]
