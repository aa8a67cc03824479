import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.permutation import permutation_key, permute

KEYS = st.integers(0, 2**64 - 1)


def whole(size: int, key: int) -> list[int]:
    return permute(np.arange(size), size, key).tolist()


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_every_size_up_to_300_is_permuted(key):
    for size in range(1, 301):
        assert sorted(whole(size, key)) == list(range(size))


@pytest.mark.parametrize("size", [4095, 4096, 4097, 65_537, 300_007])
def test_larger_sizes_are_permuted(size):
    assert len(np.unique(permute(np.arange(size), size, 5))) == size


@given(st.integers(2, 2**40), KEYS, st.data())
def test_places_of_a_corpus_too_large_to_list_stay_in_it_and_apart(size, key, data):
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20, unique=True))
    found = permute(np.array(places, np.int64), size, key).tolist()
    assert len(set(found)) == len(places) and all(0 <= place < size for place in found)


@given(st.integers(1, 500), KEYS, st.data())
def test_a_place_does_not_depend_on_what_else_is_asked(size, key, data):
    places = data.draw(st.lists(st.integers(0, size - 1), max_size=10))
    found = permute(np.array(places, np.int64), size, key).tolist()
    assert found == [whole(size, key)[place] for place in places]


@given(KEYS, KEYS)
def test_another_key_is_another_order(one, other):
    assert (whole(200, one) == whole(200, other)) == (one == other)


def test_every_place_is_reached_about_equally_often():
    counts = np.zeros((10, 10), int)
    for key in range(1000):
        counts[np.arange(10), whole(10, key)] += 1
    # 100 expected in each of 100 cells, with a standard deviation of 9.5.
    assert counts.min() > 100 - 5 * 9.5 and counts.max() < 100 + 5 * 9.5


def test_neighbours_do_not_stay_neighbours():
    found = np.array(whole(10_000, 3))
    assert (np.abs(np.diff(found)) == 1).mean() < 0.01


def test_keys_tell_their_parts_apart():
    keys = {
        permutation_key(*parts) for parts in ((0, "a", 1), (0, "a1"), (0, "a", 2), (1, "a", 1), (0, "b", 1), ("0a1",))
    }
    assert len(keys) == 6 and all(0 <= key < 2**64 for key in keys)
