import random

from hypothesis import given
from hypothesis import strategies as st

from pipelines import dedup
from pipelines.dedup import Entry, make_entry, unique_entries
from schemas.example import decode_pair, encode_pair
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


def survivors(pairs: list[Pair], *, seed: int = 0) -> list[tuple[str, Pair]]:
    blobs = [make_entry(pair, test_fraction=0.1, seed=seed).to_bytes() for pair in pairs]
    return [(entry.split, decode_pair(entry.record)[0]) for entry in unique_entries(blobs)]


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
    monkeypatch.setattr(dedup, "fingerprint", collide)
    pairs = [Pair("d", "one", "x", group=IN_TRAIN), Pair("d", "other", "x", group=IN_TRAIN)]
    copy = Pair("d", "One", "X", group=IN_TRAIN)
    kept = survivors([*pairs, copy, copy])
    assert len(kept) == 2
    assert {pair.anchor.lower() for _, pair in kept} == {"one", "other"}


@given(st.lists(PAIRS, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_arrival_order_never_shows(pairs, chance, colliding):
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    real = dedup.fingerprint
    try:
        dedup.fingerprint = collide if colliding else real
        assert survivors(pairs) == survivors(shuffled)
    finally:
        dedup.fingerprint = real


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


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**62))
def test_an_entry_s_bytes_give_it_back(anchor, positive, seed):
    entry = make_entry(Pair("d", anchor, positive), test_fraction=0.5, seed=seed)
    assert Entry.from_bytes(entry.to_bytes()) == entry
    assert entry.characters == (len(anchor), len(positive))
    assert entry.split == split_of(Pair("d", anchor, positive), 0.5)
