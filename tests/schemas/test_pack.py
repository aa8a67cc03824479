from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.pack import PackedTexts, pack_texts, pad_texts

PAD, CLS, SEP = 0, 1, 2


def make_text(number: int, length: int) -> list[int]:
    """Ids that tell text and place apart, with special tokens at both ends."""
    inner = [1000 * (number + 1) + place for place in range(max(0, length - 2))]
    return ([CLS, *inner, SEP] if length > 1 else [CLS])[:length]


def pack(packs: list[list[list[int]]], *, limit: int | None = None, **shape: Any) -> PackedTexts:
    """Packs of texts as ids; [] is a text that a pair does not have."""
    ids = np.array([token for texts in packs for text in texts for token in text], np.uint16)
    lengths = np.array([[len(text) for text in texts] for texts in packs], np.int64)
    limits = np.full(lengths.shape[1], limit or 10_000)
    if "rows" not in shape:
        return pad_texts(ids, lengths, limits=limits, pad_id=PAD, **shape)
    return pack_texts(ids, lengths, limits=limits, pad_id=PAD, **shape)


@st.composite
def packs(draw):
    rows, row_tokens = draw(st.integers(1, 6)), draw(st.integers(2, 24))
    texts = draw(st.integers(1, 12))
    lengths = draw(st.lists(st.lists(st.integers(0, 30), min_size=texts, max_size=texts), min_size=1, max_size=3))
    return [[make_text(i, length) for i, length in enumerate(of_pack)] for of_pack in lengths], rows, row_tokens


def dealt_fits(lengths: list[int], rows: int, row_tokens: int) -> bool:
    """Dealing to and fro, the longest first, the slow and plain way."""
    filled, row, way = [0] * rows, 0, 1
    for length in sorted(lengths, reverse=True):
        filled[row] += length
        if 0 <= row + way < rows:
            row += way
        else:
            way = -way
    return max(filled) <= row_tokens


def best_fits(lengths: list[int], rows: int, row_tokens: int) -> bool:
    """Best fit, longest first, the slow and plain way."""
    free = [row_tokens] * rows
    for length in sorted(lengths, reverse=True):
        candidates = [row for row in range(rows) if free[row] >= length]
        if not candidates:
            return False
        free[min(candidates, key=lambda row: free[row])] -= length
    return True


def greatest_limit(lengths: list[int], rows: int, row_tokens: int) -> int | None:
    if dealt_fits(lengths, rows, row_tokens):
        return row_tokens
    limits = [
        limit
        for limit in range(2, row_tokens + 1)
        if best_fits([min(length, limit) for length in lengths], rows, row_tokens)
    ]
    return max(limits, default=None)


@given(packs())
def test_each_text_lies_once_whole_and_in_order(case):
    contents, rows, row_tokens = case
    limits = [greatest_limit([len(text) for text in texts], rows, row_tokens) for texts in contents]
    if None in limits:
        with pytest.raises(ValueError, match="do not fit"):
            pack(contents, rows=rows, row_tokens=row_tokens)
        return
    packed = pack(contents, rows=rows, row_tokens=row_tokens)
    assert packed.tokens.shape == packed.segments.shape == packed.positions.shape == (len(contents), rows, row_tokens)
    for k, (texts, limit) in enumerate(zip(contents, limits, strict=True)):
        assert limit is not None
        for number, text in enumerate(texts):
            where = np.argwhere(packed.segments[k] == number + 1)
            if not text:
                assert not len(where)
                continue
            expected = text if len(text) <= limit else [*text[: limit - 1], text[-1]]
            assert len(set(where[:, 0].tolist())) == 1  # one row
            assert where[:, 1].tolist() == list(range(where[0, 1], where[0, 1] + len(expected)))  # one run
            assert [int(packed.tokens[k][tuple(place)]) for place in where] == expected
            assert [int(packed.positions[k][tuple(place)]) for place in where] == list(range(len(expected)))
        padding = packed.segments[k] == 0
        assert (packed.tokens[k][padding] == PAD).all() and (packed.positions[k][padding] == 0).all()
        # no overlap, nothing left out
        assert int((~padding).sum()) == sum(min(len(text), limit) for text in texts)
        assert packed.shortened[k] == sum(len(text) > limit for text in texts)


@given(packs())
def test_a_pack_does_not_depend_on_the_packs_beside_it(case):
    contents, rows, row_tokens = case
    try:
        together = pack(contents, rows=rows, row_tokens=row_tokens)
    except ValueError:
        return
    for k, texts in enumerate(contents):
        alone = pack([texts], rows=rows, row_tokens=row_tokens)
        for field, whole in zip(alone, together, strict=True):
            np.testing.assert_array_equal(field[0], whole[k])


def test_what_fits_is_not_shortened():
    packed = pack([[make_text(i, 8) for i in range(4)]], rows=2, row_tokens=16)
    assert packed.shortened.tolist() == [0] and (packed.segments > 0).all()


def test_what_dealing_cannot_place_best_fit_does():
    lengths = [10, 4, 4, 4, 4, 4]  # dealt to and fro: 10 + 4 + 4 in the first of two rows of 16
    assert not dealt_fits(lengths, 2, 16) and best_fits(lengths, 2, 16)
    packed = pack([[make_text(i, length) for i, length in enumerate(lengths)]], rows=2, row_tokens=16)
    assert packed.shortened.tolist() == [0] and (packed.segments > 0).sum() == 30


def test_only_the_longest_texts_are_shortened_and_keep_their_closing_token():
    packed = pack([[make_text(0, 20), make_text(1, 3), make_text(2, 3)]], rows=1, row_tokens=16)
    assert packed.shortened.tolist() == [1]
    assert packed.tokens[packed.segments == 1].tolist() == [*make_text(0, 20)[:9], SEP]
    assert packed.tokens[packed.segments == 2].tolist() == make_text(1, 3)


def test_a_text_cut_to_its_own_limit_is_not_counted_as_shortened():
    packed = pack([[make_text(0, 20), make_text(1, 3)]], limit=6, rows=1, row_tokens=16)
    assert packed.shortened.tolist() == [0]
    assert packed.tokens[packed.segments == 1].tolist() == [*make_text(0, 20)[:5], SEP]


def test_padding_gives_each_text_a_row_of_its_own():
    texts = [make_text(0, 5), [], make_text(2, 9), make_text(3, 2)]
    packed = pack([texts, texts], limit=6, row_tokens=8)
    assert packed.tokens.shape == (2, 4, 8) and packed.shortened.tolist() == [0, 0]
    for k in range(2):
        for row, text in enumerate(texts):
            kept = text if len(text) <= 6 else [*text[:5], SEP]
            assert packed.tokens[k, row].tolist() == kept + [PAD] * (8 - len(kept))
            assert packed.segments[k, row].tolist() == [row + 1] * len(kept) + [0] * (8 - len(kept))
            assert packed.positions[k, row].tolist() == [*range(len(kept)), *[0] * (8 - len(kept))]


def test_a_pack_that_cannot_hold_two_tokens_a_text_says_what_to_set():
    with pytest.raises(ValueError, match=r"5 texts do not fit 2 rows of 4 tokens; set more pack\.rows"):
        pack([[make_text(i, 9) for i in range(5)]], rows=2, row_tokens=4)
