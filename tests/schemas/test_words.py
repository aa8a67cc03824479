from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

import schemas.words
from schemas.words import WordTokenizer, cuts_at_spaces

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "run", "##ning", "##s", "un", "##able", "e", "##e", "中"]
VOCABULARY = {piece: number for number, piece in enumerate([*PIECES, *"abcdefghij", ".", ",", "[", "]", "#", "'"])}


def make_tokenizer(*, lowercase: bool = True) -> Tokenizer:
    made = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)  # pyright: ignore[reportAttributeAccessIssue]
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyright: ignore[reportAttributeAccessIssue]
    made.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", AddedToken("[MASK]", lstrip=True, rstrip=True)])
    return made


def encoded(tokenizer: WordTokenizer, texts: list[str]) -> list[list[int]]:
    ids, lengths = tokenizer.encode(texts)
    ends = lengths.cumsum().tolist()
    return [ids[end - length : end].tolist() for end, length in zip(ends, lengths.tolist(), strict=True)]


ODD = st.sampled_from(["the", " ", "  ", "running", "unable", "E\u0301e", "\u0301", "İ", "ΣΑΣ", "中", "\u3000", "\x00"])
MARKS = st.sampled_from(["\t", "\n", "\u200b", "[MASK]", "[SEP]", " [MASK] ", "[ SEP]", ".", "#", "x" * 101, "ſ", "ﬁ"])


@settings(max_examples=300)
@given(st.lists(st.lists(ODD | MARKS | st.text(max_size=8), max_size=8).map("".join), max_size=6), st.booleans())
def test_a_text_has_the_ids_that_the_whole_tokenizer_gives_it(texts, lowercase):
    whole = make_tokenizer(lowercase=lowercase)
    assert cuts_at_spaces(whole)
    by_words = WordTokenizer(whole)
    expected = [each.ids for each in whole.encode_batch(texts)]
    assert encoded(by_words, texts) == expected
    assert encoded(by_words, texts) == expected  # from memory


def test_a_memory_that_is_full_begins_anew_and_gives_the_same_ids(monkeypatch):
    monkeypatch.setattr(schemas.words, "REMEMBERED", 10)
    whole = make_tokenizer()
    by_words = WordTokenizer(whole)
    for texts in (["the running", "a b"], ["unable", "the runs"], ["a"], []):
        assert encoded(by_words, texts) == [each.ids for each in whole.encode_batch(texts)]
        assert by_words._characters <= 10 and sum(map(len, by_words._ids)) == by_words._characters


def test_a_tokenizer_is_asked_for_a_word_once():
    asked: list[str] = []

    class Counting:
        def __init__(self, whole: Tokenizer) -> None:
            self.encode = whole.encode
            self._whole = whole

        def encode_batch_fast(self, texts, **options):
            asked.extend(texts)
            return self._whole.encode_batch_fast(texts, **options)

    by_words = WordTokenizer(Counting(make_tokenizer()))  # pyright: ignore[reportArgumentType]
    by_words.encode(["the a", "a the b"])
    by_words.encode(["b c the"])
    assert sorted(asked) == ["a", "b", "c", "the"]


def changed(**parts: object) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(json.loads(make_tokenizer().to_str()) | parts))


def padding(tokenizer: Tokenizer) -> None:
    tokenizer.enable_padding(length=8)


def cutting(tokenizer: Tokenizer) -> None:
    tokenizer.enable_truncation(4)


def added_words(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens(["the a"])


def added_letters(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens(["中a"])


@pytest.mark.parametrize("change", [padding, cutting, added_words, added_letters])
def test_a_tokenizer_that_looks_beyond_a_word_is_not_taken_word_by_word(change):
    tokenizer = make_tokenizer()
    change(tokenizer)
    assert not cuts_at_spaces(tokenizer)


@pytest.mark.parametrize(
    "parts",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": None},
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": None},
    ],
)
def test_a_tokenizer_of_other_parts_is_not_taken_word_by_word(parts):
    assert not cuts_at_spaces(changed(**parts))
