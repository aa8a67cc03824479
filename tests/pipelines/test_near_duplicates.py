import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.near_duplicates as module
from benchmarks.near_duplicates import judge, plant, precision, recall
from pipelines.hash_arrays import mix64
from pipelines.minhash import Signer
from pipelines.near_duplicates import Members, near_duplicates
from schemas.pair import Pair, fingerprint, shuffle_key

SIGNER = Signer()
LONG = "the quick brown fox jumps over the lazy dog while the patient cat looks on from the garden wall"
ANSWER = "because nobody has ever told the fox that a dog asleep in the sun is better left alone"


def key_of(pair: Pair) -> int:
    return shuffle_key(fingerprint(pair).pair, 0)


def members_of(some: list[Pair], ranks: list[int] | None = None, signer: Signer = SIGNER) -> Members:
    keys = np.array([key_of(pair) for pair in some], np.uint64)
    return Members.of(signer.sign(some), keys, np.array(ranks or [1] * len(some), np.uint8))


def dropped(some: list[Pair], ranks: list[int] | None = None) -> set[int]:
    """Places in the list of the pairs that go."""
    blob = members_of(some, ranks).to_bytes()
    marks = set(near_duplicates(lambda: [blob], SIGNER).tolist())
    return {place for place, pair in enumerate(some) if key_of(pair) in marks}


def replaced(text: str, *places: int) -> str:
    words = text.split()
    for place in places:
        words[place] = "something"
    return " ".join(words)


# What is near


def test_planted_near_duplicates_are_found_and_little_else():
    findings = judge(list(plant(6_000, seed=0)), SIGNER)
    assert recall(findings, 0.9) >= 0.98
    assert recall(findings, 0.8) >= 0.85
    assert precision(findings, 0.6) >= 0.999
    assert precision(findings, 0.7) >= 0.98
    unlike = [finding.dropped for finding in findings if finding.similarity < 0.6]
    assert len(unlike) > 1_000 and np.mean(unlike) < 0.001


@pytest.mark.parametrize(("script", "thread"), [("han", 1), ("latin", 500)])
def test_so_are_those_without_spaces_and_those_of_large_threads(script, thread):
    findings = judge(list(plant(3_000, 0, script, thread)), SIGNER)
    assert recall(findings, 0.9) >= 0.97
    assert precision(findings, 0.7) >= 0.97


@pytest.mark.parametrize(
    ("anchor", "positive"),
    [
        ("thanks", "welcome"),
        ("Thanks!!", "Welcome :)"),
        ("THANKS", "— welcome —"),
        (" thanks…", "“welcome”"),
    ],
)
def test_case_and_marks_alone_make_no_new_pair_however_short(anchor, positive):
    plain = Pair("d", "Thanks.", "Welcome.")
    assert len(dropped([plain, Pair("d", anchor, positive)])) == 1


def test_a_word_in_twenty_makes_no_new_pair():
    assert len(dropped([Pair("d", LONG, ANSWER), Pair("d", replaced(LONG, 9), ANSWER)])) == 1


@pytest.mark.parametrize(
    "other",
    [
        Pair("d", LONG, "ask the dog"),
        Pair("d", "why does it do that", ANSWER),
        Pair("d", ANSWER, LONG),
        Pair("d", replaced(LONG, 1, 5, 9, 13, 17), ANSWER),
        Pair("d", LONG, ANSWER, negatives=("ask the dog",)),
    ],
    ids=["another answer", "another question", "the other way round", "another wording", "another negative"],
)
def test_pairs_with_one_side_unlike_are_no_duplicates(other):
    assert not dropped([Pair("d", LONG, ANSWER), other])


def test_triplets_with_equal_negatives_are_compared_by_their_pairs():
    some = [Pair("d", LONG, ANSWER, ("No way",)), Pair("d", replaced(LONG, 9), ANSWER, ("no  way",))]
    assert len(dropped(some)) == 1


def test_texts_without_words_are_told_apart_by_their_marks():
    assert not dropped([Pair("d", "???", "!!!"), Pair("d", "...", "???"), Pair("d", "", "!!!")])


# Who stays


def test_the_smallest_key_stays_and_test_before_train():
    some = [Pair("d", replaced(LONG, place), ANSWER) for place in (8, 9)]
    some.sort(key=key_of)
    assert dropped(some) == {1}
    assert dropped(some, ranks=[1, 0]) == {0}
    assert dropped(some, ranks=[0, 0]) == {1}


def test_exact_duplicates_are_not_marked():
    pair = Pair("d", LONG, ANSWER)
    assert not dropped([pair, Pair("d", LONG.upper(), f" {ANSWER}")], ranks=[0, 1])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(0, 4))
def test_the_smallest_of_linked_pairs_survives_and_each_dropped_one_is_near_a_smaller(seed, count, chain):
    rng = np.random.default_rng(seed)
    some = {key_of(pair): pair for pair in walk(rng, count, chain)}
    keys, ranks = list(some), rng.integers(0, 2, len(some)).tolist()
    sketches = SIGNER.sign(list(some.values())).sketches
    order = {key: (rank, key) for key, rank in zip(keys, ranks, strict=True)}
    near = {
        key: {
            other for other, is_near in zip(keys, SIGNER.near(sketches, sketches[place][None]), strict=True) if is_near
        }
        for place, key in enumerate(keys)
    }
    blob = members_of(list(some.values()), ranks).to_bytes()
    marks = set(near_duplicates(lambda: [blob], SIGNER).tolist())
    for key in marks:
        assert any(order[other] < order[key] for other in near[key])
    for linked in components(near):
        assert min(linked, key=order.__getitem__) not in marks


def walk(rng: np.random.Generator, count: int, chain: int) -> list[Pair]:
    """Pairs each a few words from the one before: chains whose ends are far apart."""
    text, made = LONG, []
    for _ in range(count):
        text = " ".join(w if rng.random() > chain / 40 else f"w{rng.integers(99)}" for w in text.split())
        made.append(Pair("d", text, ANSWER))
    return made


def components(near: dict[int, set[int]]) -> list[set[int]]:
    left, found = set(near), []
    while left:
        linked, edge = set(), {next(iter(left))}
        while edge:
            linked |= edge
            edge = set().union(*(near[key] for key in edge)) - linked
        found.append(linked)
        left -= linked
    return found


# Partitions and bytes

KEYS = st.integers(0, 40)


@st.composite
def members(draw) -> Members:
    """A few bands with many members; a sketch follows from its key, as it does from texts."""
    rows = draw(st.lists(st.tuples(st.integers(0, 5), KEYS, st.integers(0, 1)), max_size=60))
    bands, keys, ranks = np.array(rows, np.uint64).reshape(-1, 3).T
    # Keys of one residue are near one another: they differ in one bit alone.
    sketches = np.repeat(mix64(keys % np.uint64(4))[:, None, None], 4, axis=1).reshape(-1, 2, 2)
    sketches = sketches ^ (keys >> np.uint64(5))[:, None, None]
    return Members(bands << np.uint64(61), keys * np.uint64(2**57), ranks.astype(np.uint8), sketches)


@given(members())
def test_bytes_give_the_members_back(some):
    for column, expected in zip(Members.from_bytes(some.to_bytes(), 2), some, strict=True):
        assert column.dtype == expected.dtype
        np.testing.assert_array_equal(column, expected)


def test_a_pair_takes_392_bytes_through_the_shuffle():
    assert len(members_of([Pair("d", LONG, ANSWER)]).to_bytes()) == 8 * (8 + 8 + 1 + 2 * 16)


def test_bytes_of_another_width_are_refused():
    blob = members_of([Pair("d", LONG, ANSWER)], signer=Signer(permutations=192)).to_bytes()
    with pytest.raises(ValueError, match="49 bytes each, found 520 bytes"):
        Members.from_bytes(blob, 2)


@given(members(), st.integers(0, 3))
def test_partitions_hold_each_member_once_with_all_of_its_band(some, bits):
    parts = list(some.partitions(bits))
    for number, blob in parts:
        bands = Members.from_bytes(blob, 2).bands
        assert len(bands) and {int(band) >> (64 - bits) for band in bands} == {number}
    assert len({number for number, _ in parts}) == len(parts)
    assert sorted(rows(b"".join(blob for _, blob in parts))) == sorted(rows(some.to_bytes()))


def rows(blob: bytes) -> list[bytes]:
    return [blob[start : start + 49] for start in range(0, len(blob), 49)]


@given(members(), st.randoms(use_true_random=False), st.integers(1, 70), st.sampled_from([1, 7, 1 << 16]))
def test_marks_follow_the_rule_in_whatever_order_and_grouping_members_come(some, random, size, block):
    shuffled = rows(some.to_bytes())
    random.shuffle(shuffled)
    blobs = [b"".join(shuffled[start : start + size]) for start in range(0, len(shuffled), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_MEMBERS", block)
        marks = near_duplicates(lambda: iter(blobs), SIGNER)
    assert marks.dtype == np.uint64 and marks.tolist() == sorted(plain_marks(some))


def plain_marks(some: Members) -> set[int]:
    """The rule, a member at a time."""
    places = sorted(range(len(some.keys)), key=lambda place: (some.bands[place], some.ranks[place], some.keys[place]))
    marks = set()
    for _, band in itertools.groupby(places, key=lambda place: some.bands[place]):
        leader, *others = band
        for other in others:
            sides = zip(some.sketches[leader].tolist(), some.sketches[other].tolist(), strict=True)
            differing = (sum((a ^ b).bit_count() for a, b in zip(*side, strict=True)) for side in sides)
            if some.keys[other] != some.keys[leader] and max(differing) <= 12:
                marks.add(int(some.keys[other]))
    return marks


def test_nothing_in_nothing_out():
    assert near_duplicates(lambda: [], SIGNER).tolist() == []
    assert list(members_of([]).partitions(4)) == []


def test_a_band_of_any_number_of_members_takes_the_memory_of_a_block(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_MEMBERS", 1_000)
    peaks = []
    for blocks in (5, 40):
        tracemalloc.start()
        marks = near_duplicates(lambda blocks=blocks: map(one_band, range(blocks)), SIGNER)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert marks.tolist() == [1]
    assert peaks[1] < 1.1 * peaks[0] < 40 * 1_000 * 49


def one_band(block: int) -> bytes:
    """A thousand members of one band: the leader, one near it, and those that are not."""
    keys = np.arange(1_000, dtype=np.uint64) + np.uint64(1_000 * block * (block > 0))
    sketches = np.repeat(mix64(keys)[:, None, None], 4, axis=1).reshape(-1, 2, 2)
    if block == 0:
        sketches[1] = sketches[0]
    return Members(np.zeros(1_000, np.uint64), keys, np.ones(1_000, np.uint8), sketches).to_bytes()
