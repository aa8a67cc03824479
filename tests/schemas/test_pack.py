import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.pack import pack_texts

PAD, CLS, SEP = 0, 1, 2


def make_text(number: int, length: int) -> list[int]:
    """Ids that tell text and place apart, with special tokens at both ends."""
    inner = [1000 * (number + 1) + place for place in range(max(0, length - 2))]
    return ([CLS, *inner, SEP] if length > 1 else [CLS])[:length]


@st.composite
def packs(draw):
    rows, row_tokens = draw(st.integers(1, 6)), draw(st.integers(2, 24))
    lengths = draw(st.lists(st.none() | st.integers(1, 30), min_size=1, max_size=12))
    return (
        [None if length is None else make_text(i, length) for i, length in enumerate(lengths)],
        rows,
        row_tokens,
    )


def fits(lengths: list[int], rows: int, row_tokens: int) -> bool:
    """Best fit, longest first, the slow and plain way."""
    free = [row_tokens] * rows
    for length in sorted(lengths, reverse=True):
        candidates = [row for row in range(rows) if free[row] >= length]
        if not candidates:
            return False
        free[min(candidates, key=lambda row: free[row])] -= length
    return True


def greatest_limit(lengths: list[int], rows: int, row_tokens: int) -> int | None:
    limits = [
        limit
        for limit in range(2, row_tokens + 1)
        if fits([min(length, limit) for length in lengths], rows, row_tokens)
    ]
    return max(limits, default=None)


@given(packs())
def test_each_text_lies_once_whole_and_in_order(case):
    texts, rows, row_tokens = case
    lengths = [len(text) for text in texts if text is not None]
    limit = greatest_limit(lengths, rows, row_tokens)
    if limit is None:
        with pytest.raises(ValueError, match="do not fit"):
            pack_texts(texts, rows=rows, row_tokens=row_tokens, pad_id=PAD)
        return
    packed = pack_texts(texts, rows=rows, row_tokens=row_tokens, pad_id=PAD)
    assert packed.tokens.shape == packed.segments.shape == packed.positions.shape == (rows, row_tokens)
    for number, text in enumerate(texts):
        where = np.argwhere(packed.segments == number + 1)
        if text is None:
            assert not len(where)
            continue
        expected = text if len(text) <= limit else [*text[: limit - 1], text[-1]]
        assert len(set(where[:, 0].tolist())) == 1  # one row
        assert where[:, 1].tolist() == list(range(where[0, 1], where[0, 1] + len(expected)))  # one run
        assert [int(packed.tokens[tuple(place)]) for place in where] == expected
        assert [int(packed.positions[tuple(place)]) for place in where] == list(range(len(expected)))
    padding = packed.segments == 0
    assert (packed.tokens[padding] == PAD).all() and (packed.positions[padding] == 0).all()
    assert int((~padding).sum()) == sum(min(length, limit) for length in lengths)  # no overlap, nothing left out
    assert packed.shortened == sum(length > limit for length in lengths)


def test_what_fits_is_not_shortened():
    packed = pack_texts([make_text(i, 8) for i in range(4)], rows=2, row_tokens=16, pad_id=PAD)
    assert packed.shortened == 0 and (packed.segments > 0).all()


def test_only_the_longest_texts_are_shortened_and_keep_their_closing_token():
    packed = pack_texts([make_text(0, 20), make_text(1, 3), make_text(2, 3)], rows=1, row_tokens=16, pad_id=PAD)
    assert packed.shortened == 1
    kept = packed.tokens[packed.segments == 1].tolist()
    assert kept == [*make_text(0, 20)[:9], SEP]
    assert packed.tokens[packed.segments == 2].tolist() == make_text(1, 3)


def test_one_text_a_row_is_plain_padding():
    packed = pack_texts([make_text(0, 5), make_text(1, 5)], rows=2, row_tokens=5, pad_id=PAD)
    assert sorted(packed.segments[:, 0].tolist()) == [1, 2]
    assert (packed.positions == np.arange(5)).all()


def test_a_pack_that_cannot_hold_two_tokens_a_text_says_what_to_set():
    with pytest.raises(ValueError, match=r"5 texts do not fit 2 rows of 4 tokens; set more pack\.rows"):
        pack_texts([make_text(i, 9) for i in range(5)], rows=2, row_tokens=4, pad_id=PAD)
