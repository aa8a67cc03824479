import pickle

import pytest
import tyro
from hypothesis import given

from pipelines.filters.boilerplate import BOILERPLATE, is_bot
from pipelines.filters.degenerate import ONLY_URLS, REPEATED, LetterRule, not_unicode, same_text
from pipelines.filters.lengths import LengthRule, OverlapRule, WordRule
from pipelines.filters.names import NameRule
from pipelines.filters.options import CLEAN, RULES_BY_KIND, FilterOptions
from pipelines.filters.rule import TextRule
from schemas.pair import Pair
from tests.pipelines.filters.any_text import ANY_TEXT

PUBLISHED = (LengthRule(min_anchor=1), same_text)


def test_published_alone_is_exactly_the_originals_rules():
    assert FilterOptions().filters_for(PUBLISHED, CLEAN) == (not_unicode, *PUBLISHED)


def test_clean_adds_the_sources_cleaning_each_filter_once():
    added = tuple(rule for rule in CLEAN if rule is not same_text)
    assert FilterOptions("clean").filters_for(PUBLISHED, CLEAN) == (not_unicode, *PUBLISHED, *added)
    assert FilterOptions("clean").filters_for(PUBLISHED, ()) == (not_unicode, *PUBLISHED)


def test_explicit_options_go_on_top_of_either_preset():
    asked = FilterOptions(drop=("urls",), min_letters=0.7, min_words=2, max_words=9, max_overlap=0.8)
    extra = (ONLY_URLS, LetterRule(0.7), WordRule(2, 9, 2, 9), OverlapRule(None, 0.8))
    assert asked.filters_for(PUBLISHED, CLEAN) == (not_unicode, *PUBLISHED, *extra)
    mixed = FilterOptions("clean", keep=("boilerplate", "urls"), min_letters=0).filters_for((), CLEAN)
    assert BOILERPLATE not in mixed
    assert ONLY_URLS not in mixed
    assert not any(isinstance(rule, LetterRule) for rule in mixed)
    assert REPEATED in mixed


def test_keep_and_min_letters_leave_published_rules_alone():
    published = (ONLY_URLS, LetterRule(0.5))
    options = FilterOptions("clean", keep=("urls",), min_letters=0.1)
    assert options.filters_for(published, ()) == (not_unicode, *published, LetterRule(0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": "best"}, "'best'; expected published or clean"),
        ({"drop": ("url",)}, "drop has url; expected of urls, markup"),
        ({"drop": ("urls",), "keep": ("urls",)}, "urls in both"),
        ({"min_letters": 1.5}, "letters: at least 1.5"),
        ({"min_letters": float("nan")}, "letters: at least nan"),
        ({"min_words": 5, "max_words": 4}, "words: at least 5, at most 4"),
        ({"min_words": -1}, "at least -1"),
        (
            {"min_overlap": 0.5, "max_overlap": 0.4},
            "overlap: at least 0.5, at most 0.4; expected 0 <= least <= most <= 1",
        ),
        ({"min_confidence": 2}, "confidence"),
    ],
)
def test_wrong_options_are_named_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        FilterOptions(**options)
    assert "\n" not in str(error.value)


def test_the_options_are_a_command_line():
    words = ["--filters", "clean", "--drop", "urls", "markup", "--keep", "repeated", "--min-words", "2"]
    expected = FilterOptions("clean", ("urls", "markup"), ("repeated",), min_words=2)
    assert tyro.cli(FilterOptions, args=words) == expected
    assert tyro.cli(FilterOptions, args=[]) == FilterOptions()


def test_every_kind_can_be_dropped_and_kept():
    for kind, rule in RULES_BY_KIND.items():
        assert FilterOptions(drop=(kind,)).filters_for(()) == (not_unicode, rule)
        assert rule not in FilterOptions("clean", keep=(kind,)).filters_for(())
    assert {rule for rule in CLEAN if isinstance(rule, TextRule)} == set(RULES_BY_KIND.values())


# The filters together

PROSE = (
    "I think that the second one is better, but not by that much!",
    "Yes.",
    "Über die Straße, bitte – sofort",
    "今天天气很好我们去公园散步吧",
    "お疲れさまでした。また明日!",
    "안녕하세요저는학생입니다",
    "สวัสดีครับวันนี้อากาศดี",
    "नमस्ते दुनिया, आप कैसे हैं?",
    "மிக்க நன்றி நண்பரே",
    "السلام عليكم ورحمة الله",
    "congratulations 🎉🎉🎉 you two!!!",
    "for i in range(10): print(i)",
    "if (a[i] < b && c > d) { return NULL; }",
    "see https://example.org/a/b?c=d for how they did it",
    "Mississippi, no no, Yesss!",
    "<3 you",
    "AT&T and R&amp;D",
    "1923",
    "700–1000",
    '12-7/8" x 10"',
)


@pytest.mark.parametrize("text", PROSE)
def test_ordinary_texts_pass_the_recommended_cleaning(text):
    for pair in (Pair("d", text, "an answer"), Pair("d", "a question", text)):
        assert [rule(pair) for rule in (not_unicode, *CLEAN)] == [None] * (1 + len(CLEAN))


RULES = (not_unicode, *CLEAN, WordRule(1, 9, 1, 9), OverlapRule(0.1, 0.9), LengthRule(1, 9, 1, 9))


@given(ANY_TEXT, ANY_TEXT)
def test_no_filter_raises_whatever_the_texts(anchor, positive):
    pair = Pair("d", anchor, positive)
    for rule in RULES:
        reason = rule(pair)
        assert reason is None or reason.replace("_", "").isalpha()
    is_bot(anchor, positive)


@pytest.mark.parametrize(
    "text",
    [
        "&#" + "1" * 5000 + ";",
        "<a" * 50_000,
        "[](" * 50_000,
        "[](http://" + "." * 100_000 + "é",
        "bot" + "\n" * 100_000,
        "*" * 100_000 + "your post",
        "ab" * 3 + "a" * 50_000 + "b" * 60_000,
    ],
    ids=["entity", "tags", "links", "dots", "lines", "marks", "runs"],
)
def test_hostile_texts_neither_raise_nor_stall(text):
    pair = Pair("d", text, "b")
    assert all((rule(pair) or "anchor_").startswith("anchor_") for rule in CLEAN)


@pytest.mark.parametrize("rule", (*RULES, NameRule(frozenset({"a"}))))
def test_filters_pickle_and_compare(rule):
    assert pickle.loads(pickle.dumps(rule)) == rule
