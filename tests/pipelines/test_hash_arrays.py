from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.hash_arrays import HashSet, distinct_keys, merge_owned

KEYS = st.lists(st.integers(0, 9) | st.integers(0, 2**64 - 1), max_size=20)


@pytest.mark.parametrize("count", [0, 1, 1000, 2_200_000])
def test_hashes_are_looked_up_in_sets_of_any_size(count: int) -> None:
    rng = np.random.default_rng(count)
    edges = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    keys = np.union1d(rng.integers(0, 2**64, count, np.uint64), edges) if count else np.empty(0, np.uint64)
    wanted = np.concatenate([keys[:: max(1, count // 5000)], edges, rng.integers(0, 2**64, 5000, np.uint64)])
    which, places = HashSet(keys).find(wanted)
    assert which.tolist() == np.flatnonzero(np.isin(wanted, keys)).tolist()
    assert (keys[places] == wanted[which]).all()


@given(st.lists(KEYS, min_size=1, max_size=4))
def test_distinct_keys_are_sorted_and_each_is_there_once(many: list[list[int]]) -> None:
    arrays = [np.array(keys, np.uint64) for keys in many]
    assert distinct_keys(arrays).tolist() == sorted({key for keys in many for key in keys})
    assert arrays == []


@given(st.lists(KEYS.map(lambda keys: sorted(set(keys))), max_size=4))
def test_merged_sets_are_sorted_with_the_owners_of_each_key_in_order(many: list[list[int]]) -> None:
    keys, owners = np.empty(0, np.uint64), np.empty(0, np.uint16)
    for owner, of_set in enumerate(many):
        keys, owners = merge_owned(keys, owners, np.array(of_set, np.uint64), owner)
    merged = list(zip(keys.tolist(), owners.tolist(), strict=True))
    assert merged == sorted((key, owner) for owner, of_set in enumerate(many) for key in of_set)
