import itertools
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import BadFile, Drop, Keyed, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import Delimited
from pipelines.sources.sets import (
    MAX_TEXTS,
    GroupedSets,
    SetOptions,
    ordered_texts,
    pair_set,
    read_members,
    same_meaning,
    set_pairs,
)
from schemas.example import decode_pair
from schemas.pair import Pair, normalise
from schemas.shards import read_shard


def pairs_of(texts, most: int | None = 10, cluster=None) -> list[Any]:
    return list(set_pairs(texts, dataset="d", group="g", cluster=cluster, most=most))


def unordered(pairs) -> set[frozenset[str]]:
    return {frozenset((pair.anchor, pair.positive)) for pair in pairs}


# The rule


@pytest.mark.parametrize("size", [2, 3, 5, 9])
def test_without_a_limit_a_set_gives_each_two_of_its_texts_once(size):
    texts = [f"text {number}" for number in range(size)]
    found = pairs_of(texts, most=None)
    assert len(found) == size * (size - 1) // 2
    assert unordered(found) == {frozenset(two) for two in itertools.combinations(texts, 2)}


def test_five_captions_give_ten_pairs_and_six_no_more_by_default():
    texts = [f"text {number}" for number in range(6)]
    most = SetOptions().set_pairs
    assert len(pairs_of(texts[:5], most)) == 10
    assert len(pairs_of(texts, most)) == 10


def test_the_pairs_under_a_limit_are_the_beginning_of_those_under_a_higher_one():
    texts = [f"text {number}" for number in range(8)]
    assert pairs_of(texts, 4) == pairs_of(texts, 9)[:4]
    assert unordered(pairs_of(texts, 28)) == unordered(pairs_of(texts, None))


@given(st.lists(st.text("abAB \t", max_size=3), max_size=8), st.integers(1, 12), st.integers(0, 2**32))
def test_the_order_of_a_set_never_shows(texts, most, seed):
    assert pairs_of(random.Random(seed).sample(texts, len(texts)), most) == pairs_of(texts, most)


@given(st.lists(st.text("abAB \t", max_size=3), max_size=8), st.none() | st.integers(1, 12))
def test_a_set_gives_as_many_pairs_as_its_distinct_texts_allow(texts, most):
    distinct = {normalise(text) for text in texts} - {""}
    possible = len(distinct) * (len(distinct) - 1) // 2
    found = pairs_of(texts, most)
    if not possible:
        assert found == ["set_of_one"]
    else:
        assert len(unordered(found)) == len(found) == (possible if most is None else min(most, possible))
        assert all(normalise(pair.anchor) != normalise(pair.positive) for pair in found)


def test_which_pairs_are_taken_depends_on_the_texts_and_not_on_their_alphabet():
    first_taken = Counter()
    for number in range(200):
        (pair,) = pairs_of([f"{letter} of {number}" for letter in "abcd"], 1)
        first_taken[frozenset((pair.anchor[0], pair.positive[0]))] += 1
    assert set(first_taken) == {frozenset(two) for two in itertools.combinations("abcd", 2)}


def test_either_text_of_a_pair_may_be_the_anchor():
    (first,) = zip(*[pairs_of([f"a{number}", f"b{number}"]) for number in range(100)], strict=True)
    assert 20 < sum(pair.anchor.startswith("a") for pair in first) < 80


def test_of_texts_that_are_the_same_once_normalised_the_smallest_stands():
    assert ordered_texts(["the  cat", "The cat", " the cat "]) == ["The cat"]


def test_group_and_cluster_are_passed_on():
    assert {(pair.dataset, pair.group, pair.cluster) for pair in pairs_of("abc", cluster="c")} == {("d", "g", "c")}


def test_a_huge_set_is_cut_to_the_texts_that_come_first_by_hash():
    texts = [f"text {number}" for number in range(MAX_TEXTS * 4)]
    looked_at = set(ordered_texts(texts, MAX_TEXTS))
    found = pairs_of(texts, 50)
    assert len(found) == 50
    assert {text for pair in found for text in pair.texts} <= looked_at


def test_a_limit_above_what_the_cut_would_allow_is_still_reached():
    texts = [f"text {number}" for number in range(MAX_TEXTS * 2)]
    most = MAX_TEXTS * (MAX_TEXTS - 1) // 2 + 1
    assert len(pairs_of(texts, most)) == most


@pytest.mark.parametrize("most", [0, -1])
def test_a_limit_below_one_is_refused(most):
    with pytest.raises(ValueError, match="expected at least 1"):
        SetOptions(set_pairs=most)


# The source


def member(row):
    return (row[0], row[1]) if len(row) == 2 else "wrong_number_of_columns"


SOURCE = GroupedSets(
    DatasetInfo("sets", "text → text", "none", "nobody", "nowhere", "TSV of set and text"),
    read=Delimited(),
    member=member,
    pairs=same_meaning,
    settings=SetOptions(),
)


def test_a_record_joins_its_set_uncounted_or_counts_with_its_reason(tmp_path):
    path = tmp_path / "sets.tsv"
    path.write_bytes(b"a\tone\nalone\nb\t\xff\na\ttwo\n")
    assert list(read_members(str(path), SOURCE, "sets")) == [
        Keyed("a", "one"),
        Read("sets"),
        Drop("sets", "pair", "wrong_number_of_columns"),
        Read("sets"),
        Drop("sets", "read", "not_utf8"),
        Keyed("a", "two"),
    ]


def test_an_unreadable_file_becomes_one_bad_file(tmp_path):
    path = tmp_path / "sets.tsv.gz"
    path.write_bytes(b"no gzip")
    (found,) = read_members(str(path), SOURCE, "sets")
    assert isinstance(found, BadFile) and str(path) in found.message


def test_a_set_of_one_counts_once_and_another_as_its_pairs():
    assert list(pair_set(("a", ["one", "one"]), SOURCE, "sets")) == [Read("sets"), Drop("sets", "pair", "set_of_one")]
    found = list(pair_set(("a", ["one", "two", "three"]), SOURCE, "sets"))
    assert found.count(Read("sets")) == 3
    assert {(pair.group, pair.cluster) for pair in found if isinstance(pair, Pair)} == {("a", "a")}


def run_sets(source, output, *inputs):
    (manifest,) = run(Job(source, tuple(map(str, inputs)), str(output)))
    records = [record for located in manifest.shards("train") for record in read_shard(located.path)]
    return manifest, records


def test_a_set_scattered_over_files_becomes_pairs_whatever_the_files(tmp_path):
    rows = [f"{name}\ttext {number} of {name}" for name in "abc" for number in range(4)] + ["d\tlonely", "bad"]
    for seed in range(2):
        shuffled = random.Random(seed).sample(rows, len(rows))
        for part in range(2):
            (tmp_path / f"{seed}-{part}.tsv").write_text("\n".join(shuffled[part::2]))
    source = replace(SOURCE, settings=SetOptions(set_pairs=4))
    manifest, records = run_sets(source, tmp_path / "out", tmp_path / "0-*.tsv")
    assert records == run_sets(source, tmp_path / "again", tmp_path / "1-*.tsv")[1]
    assert manifest.parts[0].read == 3 * 4 + 2
    assert manifest.parts[0].funnel[1].drops == {"set_of_one": 1, "wrong_number_of_columns": 1}
    pairs = [decode_pair(record)[0] for record in records]
    assert Counter(pair.group for pair in pairs) == dict.fromkeys("abc", 4)


def test_a_file_without_sets_says_so(tmp_path):
    (tmp_path / "empty.tsv").write_bytes(b"")
    with pytest.raises(JobError, match="no record was read"):
        run_sets(SOURCE, tmp_path / "out", tmp_path / "empty.tsv")
