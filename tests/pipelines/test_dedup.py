import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import collect
from pipelines.collect import PairCollector, PairRules
from pipelines.dedup import RANKS, REJECTS, Entries, Keys, deduplicate, from_blob, join, to_blob
from pipelines.funnel import Drop
from schemas.example import decode_pair, encode_pair, reason_of
from schemas.pair import Fingerprints, Pair, fingerprint, shuffle_key, split_of

WORD = st.sampled_from(["a", "A", " a ", "b", "B", "c"])
PAIRS = st.builds(
    Pair,
    dataset=st.just("d"),
    anchor=WORD,
    positive=WORD,
    group=st.sampled_from([f"g{n}" for n in range(20)]),
)


def groups_in(split: str) -> str:
    return next(name for name in map(str, range(1000)) if split_of(Pair("d", "", "", group=name), 0.1) == split)


IN_TRAIN, IN_TEST = groups_in("train"), groups_in("test")


def entries_of(pairs: list[Pair], *, seed: int = 0, fraction: float = 0.1, rejects: tuple[Drop, ...] = ()) -> Entries:
    """Entries as they arrive: of several blobs."""
    collector = PairCollector(PairRules((), fraction, seed, bits=1))
    for pair in pairs:
        assert collector.add(pair) is None
    for reject in rejects:
        collector.add_reject(reject)
    collector.settle()
    found = [from_blob(blob.data) for blob in collector.flush()]
    return join([item for item in found if isinstance(item, Entries)])


def survivors(pairs: list[Pair], *, seed: int = 0, exact: bool = True) -> list[tuple[str, Pair]]:
    if not pairs:
        return []
    entries, reasons = deduplicate(entries_of(pairs, seed=seed), [], exact=exact)
    assert set(reasons.values()) <= {"duplicate"}
    record = entries.records()
    kept = [place for place in range(len(entries.keys)) if place not in reasons]
    return [(RANKS[entries.ranks[place]], decode_pair(record(place))[0]) for place in kept]


def test_equal_pairs_keep_the_copy_in_test():
    # "a" < "A" never matters here: bytes decide only within one split.
    in_test = Pair("d", "question one", "answer", group=IN_TEST)
    in_train = Pair("d", "QUESTION  one", "answer", group=IN_TRAIN)
    for pairs in ([in_test, in_train], [in_train, in_test]):
        assert survivors(pairs) == [("test", in_test)]


def test_of_equal_pairs_in_one_split_the_smallest_record_stays():
    copies = [Pair("d", anchor, "answer", group=IN_TRAIN) for anchor in ("Question", "question", "QUESTION")]
    smallest = min(copies, key=lambda pair: encode_pair(pair, fingerprint(pair)))
    assert survivors(copies) == [("train", smallest)]


def test_a_pair_and_its_mirror_image_are_two():
    assert len(survivors([Pair("d", "one", "two"), Pair("d", "two", "one")])) == 2


def test_negatives_count_in_what_makes_pairs_equal():
    assert len(survivors([Pair("d", "a", "b", ("c",)), Pair("d", "a", "b", ("x",)), Pair("d", "a", "b")])) == 3
    assert len(survivors([Pair("d", "a", "b", ("c",)), Pair("d", "a", "b", ("C ",))])) == 1


def collide(pair: Pair) -> Fingerprints:
    return Fingerprints(7, fingerprint(pair).texts, 0)


def test_equal_fingerprints_of_different_texts_both_stay(monkeypatch):
    monkeypatch.setattr(collect, "fingerprint", collide)
    pairs = [Pair("d", "one", "x", group=IN_TRAIN), Pair("d", "other", "x", group=IN_TRAIN)]
    copy = Pair("d", "One", "X", group=IN_TRAIN)
    kept = survivors([*pairs, copy, copy])
    assert len(kept) == 2
    assert {pair.anchor.lower() for _, pair in kept} == {"one", "other"}


@given(st.lists(PAIRS, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_arrival_order_never_shows(pairs, chance, colliding):
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    real = collect.fingerprint
    try:
        collect.fingerprint = collide if colliding else real
        assert survivors(pairs) == survivors(shuffled)
    finally:
        collect.fingerprint = real


@given(st.lists(PAIRS, max_size=12))
def test_one_of_each_set_of_equal_pairs_survives_and_nothing_else_goes(pairs):
    def identity(pair):
        return pair.anchor.strip().lower(), pair.positive.strip().lower()

    kept = survivors(pairs)
    assert sorted(identity(pair) for _, pair in kept) == sorted({identity(pair) for pair in pairs})
    for split, pair in kept:
        copies = [other for other in pairs if identity(other) == identity(pair)]
        in_test = [other for other in copies if split_of(other, 0.1) == "test"]
        best = min(in_test or copies, key=lambda other: encode_pair(other, fingerprint(other)))
        assert (split, pair) == ("test" if in_test else "train", best)


@given(st.integers(0, 2**62))
def test_survivors_come_in_the_order_of_the_shuffle_key(seed):
    pairs = [Pair("d", f"anchor {n}", "positive") for n in range(30)]
    random.Random(seed).shuffle(pairs)
    kept = [pair for _, pair in survivors(pairs, seed=seed)]
    assert kept == sorted(pairs, key=lambda pair: shuffle_key(fingerprint(pair).pair, seed))


@given(st.lists(PAIRS, min_size=1, max_size=12), st.integers(0, 2**62))
def test_a_blob_s_bytes_give_its_entries_back(pairs, seed):
    entries = entries_of(pairs, seed=seed, fraction=0.5)
    found = from_blob(to_blob(entries))
    assert isinstance(found, Entries) and (found.dataset, found.data) == (entries.dataset, entries.data)
    for column, original in zip(found[1:6], entries[1:6], strict=True):
        np.testing.assert_array_equal(column, original)
    record = entries.records()
    for place, (key, print_, rank, characters) in enumerate(zip(*entries[1:5], strict=True)):
        pair, prints = decode_pair(record(place))
        assert (prints, int(print_)) == (fingerprint(pair), prints.pair)
        assert int(key) == shuffle_key(prints.pair, seed) and RANKS[rank] == split_of(pair, 0.5)
        assert characters.tolist() == [len(pair.anchor), len(pair.positive)]
    assert sorted(map(repr, pairs)) == sorted(repr(decode_pair(record(place))[0]) for place in range(len(pairs)))


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_a_blob_s_bytes_give_its_marks_back(keys):
    found = from_blob(to_blob(Keys("d", "why", np.array(keys, np.uint64))))
    assert isinstance(found, Keys) and found[:2] == ("d", "why") and found.keys.tolist() == keys


@given(st.lists(PAIRS, min_size=1, max_size=12))
def test_without_exact_dedup_every_copy_stays(pairs):
    found = [pair for _, pair in survivors(pairs, exact=False)]
    assert sorted(map(repr, found)) == sorted(map(repr, pairs))


def marks(reason: str, *pairs: Pair) -> Keys:
    return Keys("d", reason, np.array([shuffle_key(fingerprint(pair).pair, 0) for pair in pairs], np.uint64))


@pytest.mark.parametrize("order", [1, -1])
def test_marked_pairs_go_for_one_reason_in_whatever_order_the_marks_come(order):
    one, two, three = (Pair("d", name, "positive", group=IN_TRAIN) for name in ("one", "two", "three"))
    gone = [marks("near_duplicate", one, two), marks("in_older_part", one), marks("in_older_part")]
    entries, reasons = deduplicate(entries_of([one, one, two, three]), gone[::order], exact=True)
    record = entries.records()
    found = sorted((decode_pair(record(place))[0].anchor, reason) for place, reason in reasons.items())
    assert found == [("one", "duplicate"), ("one", "in_older_part"), ("two", "near_duplicate")]


def test_what_was_set_aside_is_no_copy_of_anything_and_cannot_be_marked():
    pair = Pair("d", "anchor", "positive", group=IN_TRAIN)
    aside = Drop("d", "filter", "why", 1, pair.texts, IN_TRAIN)
    entries, reasons = deduplicate(entries_of([pair], rejects=(aside, aside)), [], exact=True)
    assert reasons == {} and sorted(RANKS[rank] for rank in entries.ranks) == [REJECTS, REJECTS, "train"]
    record = entries.records()
    assert sorted(reason_of(record(place)) for place in range(3)) == ["", "filter/why", "filter/why"]
    _, reasons = deduplicate(entries, [marks("in_older_part", pair)], exact=True)
    assert [RANKS[entries.ranks[place]] for place in reasons] == ["train"]
