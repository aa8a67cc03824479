from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, join_words, split_words

WORDS = st.lists(st.integers(0, 2**64 - 1), max_size=20)


@given(WORDS)
def test_words_joined_again_are_the_fingerprints(values):
    fingerprints = np.array(values, np.uint64)
    words = split_words(fingerprints)
    assert words.shape == (len(values), 2) and words.dtype == np.uint32
    assert join_words(words).tolist() == values


@given(WORDS)
def test_the_low_word_comes_first(values):
    words = split_words(np.array(values, np.uint64)).tolist()
    assert words == [[value % 2**32, value // 2**32] for value in values]


def test_words_keep_the_other_axes():
    values = np.arange(24, dtype=np.uint64).reshape(2, 3, 4) << np.uint64(40)
    assert split_words(values).shape == (2, 3, 4, 2)
    np.testing.assert_array_equal(join_words(split_words(values)), values)


def test_a_batch_counts_its_pairs_over_all_packs():
    empty: Any = np.zeros(0)
    batch = Batch(*[empty] * len(Batch._fields))._replace(pairs=np.zeros((3, 5, 2), np.uint32))
    assert batch.size == 15


def test_the_real_share_counts_tokens_that_belong_to_a_text():
    empty: Any = np.zeros(0)
    segments = np.array([[[1, 1, 2, 0], [3, 0, 0, 0]]], np.int32)
    assert Batch(*[empty] * len(Batch._fields))._replace(segments=segments).real_share == 0.5
