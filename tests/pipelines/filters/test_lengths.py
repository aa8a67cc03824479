import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters.lengths import LengthRule, OverlapRule, WordRule, words_of
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
    ("text", "words"),
    [
        ("It's a well-known fact, isn't it?", ["It's", "a", "well", "known", "fact", "isn't", "it"]),
        ("“Quoted” – text…", ["Quoted", "text"]),
        ("我喜欢 Python。", ["我", "喜", "欢", "Python"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया।"]),
        ("안녕 세상", ["안녕", "세상"]),
        ("... !?", []),
    ],
)
def test_words_are_runs_between_spaces_and_punctuation(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (WordRule(), None),
        (WordRule(3, 3, 2, 2), None),
        (WordRule(min_anchor=4), "anchor_too_few_words"),
        (WordRule(max_anchor=2), "anchor_too_many_words"),
        (WordRule(min_positive=3), "positive_too_few_words"),
        (WordRule(max_positive=1), "positive_too_many_words"),
    ],
)
def test_word_bounds_hold_both_ends(rule, reason):
    assert rule(Pair("d", "one, two three", "four five!")) == reason


@pytest.mark.parametrize(
    ("anchor", "positive", "overlap"),
    [("A b", "a, B!", 1.0), ("a b c", "b c d", 0.5), ("a", "b", 0.0), ("!", "?", 0.0), ("我喜欢", "我不喜欢", 0.75)],
)
def test_overlap_is_jaccards_of_normalised_words(anchor, positive, overlap):
    pair = Pair("d", anchor, positive)
    assert OverlapRule(overlap, overlap)(pair) is None
    if overlap < 1:
        assert OverlapRule(least=overlap + 0.01)(pair) == "overlap_too_low"
    if overlap > 0:
        assert OverlapRule(most=overlap - 0.01)(pair) == "overlap_too_high"
