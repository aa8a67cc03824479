import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.filters.degenerate import LetterRule, empty_text, is_only_markup, is_only_urls, is_repeated, same_text
from schemas.pair import Pair, normalise
from tests.pipelines.filters.any_text import ANY_TEXT


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


@pytest.mark.parametrize(
    ("anchor", "positive", "reason"),
    [("A  b", "a B ", "anchor_is_positive"), ("a", "b", None), ("ab", "a b", None)],
)
def test_texts_equal_once_normalised_teach_nothing(anchor, positive, reason):
    assert same_text(Pair("d", anchor, positive)) == reason


@given(ANY_TEXT, ANY_TEXT)
def test_the_quick_way_of_same_text_decides_the_same(anchor, positive):
    same = normalise(anchor) == normalise(positive)
    assert (same_text(Pair("d", anchor, positive)) == "anchor_is_positive") == same


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a_(b)?c=d&e=%20#f",
        "WWW.example.org www.example.org",
        "  (http://example.org/1)\n* http://example.org/2 !!",
        "[a link](https://example.org/)",
        "> [source](http://example.org), [source](http://example.com)",
        "<ftp://example.org/file>",
    ],
)
def test_urls_alone_are_no_text(text):
    assert is_only_urls(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "see http://example.org",
        "http://example.org is down",
        "http://example.org\n\n2 of them",
        "http://example.org/这是说明",
        "[Why the slow road is in the end the quick one](http://example.org)",
        "[what](is this)",
        "a://",
    ],
)
def test_a_word_beside_the_url_or_a_long_label_is_a_text(text):
    assert not is_only_urls(text)


@pytest.mark.parametrize(
    "text",
    [
        "<br><br/>",
        "&nbsp;&#8203;",
        "&amp;nbsp;",
        "&lt;br&gt;",
        "**  **",
        "> > >",
        "---\n***",
        "<p class='a'>\n</p>",
        "<!-- note -->",
    ],
)
def test_markup_alone_is_no_text(text):
    assert is_only_markup(text)


@pytest.mark.parametrize(
    "text",
    ["", " \n", "!!!", "😂😂", "<b>a</b>", "&#20320;&#22909;", "> 1", "a < b > c", "<3", "&amp;c", "x<y"],
)
def test_what_has_letters_or_is_no_markup_stays(text):
    assert not is_only_markup(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10,
        "!" * 9,
        "hahahahaha",
        "no no no no no",
        "noooooooooooo",
        "哈哈哈哈哈哈哈哈哈哈",
        "👍" * 8,
        "test test test test test test",
        "well " + "xo" * 30,
        "=" * 80 + " end",
    ],
)
def test_one_unit_over_half_of_the_text_is_repetition(text):
    assert is_repeated(text)


@pytest.mark.parametrize(
    "text",
    ["", "aaaaaaa", "ewwwww", "Mississippi", "bye bye, see you", "1010 0101 1100", "x" * 40 + "abcdefghij" * 4],
)
def test_short_runs_and_half_a_text_stay(text):
    assert not is_repeated(text)


@given(
    st.text("abc ", max_size=30),
    st.text("xyz", min_size=1, max_size=5),
    st.integers(4, 40),
    st.text("abc ", max_size=30),
)
def test_a_run_of_over_half_is_found_wherever_it_stands(before, unit, times, after):
    run = unit * times
    assume(len(run) >= 8 and 2 * len(run) > len(before + run + after))
    assume(not any(letter * 4 in unit * 2 for letter in unit))  # a run within the run would be met first
    assert is_repeated(before + run + after)


@given(st.text("ab", max_size=40))
def test_repetition_is_four_units_in_a_row_over_half_of_the_text(text):
    runs = [
        unit * times
        for start in range(len(text))
        for size in range(1, 6)
        for unit in [text[start : start + size]]
        for times in range(4, len(text) + 1)
        if text.startswith(unit * times, start)
    ]
    if is_repeated(text):
        assert any(len(run) >= 8 and 2 * len(run) > len(text) for run in runs)


@pytest.mark.parametrize(
    ("text", "least", "goes"),
    [
        ("1234", 0.3, True),
        ("😂😂😂😂", 0.3, True),
        ("a 1 2", 0.3, False),  # one letter of three
        ("a 1 2", 0.34, True),
        ("é 1 2", 0.3, False),
        ("é 1 2", 0.34, True),
        ("नमस्ते", 1.0, False),  # vowel signs are part of their letters
        ("日本語", 1.0, False),
        ("", 1.0, False),  # empty_text's to drop
        (" \t\x1f", 1.0, False),
        ("\u2003 ", 1.0, False),
    ],
)
def test_letters_are_a_share_of_what_is_no_white_space(text, least, goes):
    rule = LetterRule(least)
    assert rule(Pair("d", text, "b")) == ("anchor_too_few_letters" if goes else None)
    assert rule(Pair("d", "b", text)) == ("positive_too_few_letters" if goes else None)


@pytest.mark.parametrize(
    ("text", "least", "goes"), [("1923", 1.0, False), ("٣٤", 1.0, False), ("7!", 0.6, True), ("½ – ?", 0.5, True)]
)
def test_digits_count_where_asked(text, least, goes):
    pair = Pair("d", text, "b")
    assert (LetterRule(least, digits=True)(pair) is not None) == goes
    assert LetterRule(least)(pair) == "anchor_too_few_letters"


@given(st.text(st.characters(codec="ascii")), st.floats(0, 1), st.booleans())
def test_the_quick_count_of_ascii_letters_is_the_count(text, least, digits):
    solid = [character for character in text if not character.isspace()]
    letters = sum(character.isalpha() or (digits and character.isdigit()) for character in solid)
    assert (LetterRule(least, digits)(Pair("d", text, "b")) is not None) == (letters < least * len(solid))
