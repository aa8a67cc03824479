import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.near_duplicates import plain_shingles, plant, similarities
from pipelines import minhash
from pipelines.minhash import Signer, shingle_hashes
from schemas.pair import Pair, normalise

SIGNER = Signer()
PINNED_BANDS = ["2a1082566c89e687", "ea883b2c90f6b6bd", "b438879d4045e192", "53d27cd865e2d3cf"]
PINNED_SKETCHES = ["5b2cee2cc5a04c82", "ce14bd7b1e7a2283", "e2aedf55dce69bb9", "0cf1d5ced91540a8"]
texts = st.text(st.sampled_from("abé ,.!?\tßＡ東京かカ한국้ากि😀\u0301"), max_size=20)
pairs = st.builds(Pair, st.just("d"), texts, texts)


# Shingles


@given(st.lists(texts, min_size=1, max_size=6), st.integers(2, 6))
def test_shingles_are_those_of_the_plain_definition(some, length):
    some = [normalise(text) for text in some]
    hashes, starts = shingle_hashes(some, length)
    sets = [set(part.tolist()) for part in np.split(hashes, starts[1:])]
    plain = [plain_shingles(text, length) for text in some]
    assert [len(one) for one in sets] == [len(one) for one in plain]
    for (first, plain_first), (second, plain_second) in itertools.combinations(zip(sets, plain, strict=True), 2):
        assert len(first & second) == len(plain_first & plain_second)


@pytest.mark.parametrize(
    ("text", "shingles"),
    [
        ("hi, you", {" hi y", "hi yo", "i you", " you\n"}),
        ("a", {" a\n"}),
        ("?!", {" ?!\n"}),
        ("", {" \n"}),
        ("東京へ", {" 東京へ\n", "東京", "京へ", "へ\n"}),
    ],
)
def test_shingles_by_example(text, shingles):
    assert plain_shingles(text, 5) == {shingle[:5] for shingle in shingles}
    assert len(set(shingle_hashes([text], 5)[0].tolist())) == len(shingles)


# Signatures


@given(st.lists(pairs, max_size=8))
def test_a_signature_does_not_depend_on_the_batch(some):
    together = SIGNER.sign(some)
    assert together.bands.shape == (len(some), 8) and together.sketches.shape == (len(some), 2, 2)
    for place, pair in enumerate(some):
        alone = SIGNER.sign([pair])
        np.testing.assert_array_equal(alone.bands[0], together.bands[place])
        np.testing.assert_array_equal(alone.sketches[0], together.sketches[place])


def test_a_signature_does_not_depend_on_the_block(monkeypatch):
    some = [pair for planted in plant(50, seed=2) for pair in planted]
    whole = SIGNER.sign(some)
    monkeypatch.setattr(minhash, "BLOCK_CHARACTERS", 200)
    for column, expected in zip(SIGNER.sign(some), whole, strict=True):
        np.testing.assert_array_equal(column, expected)


@given(pairs, st.sampled_from([str.upper, str.title, "\t{}\n\n".format, "{}\u3000".format]))
def test_equal_texts_share_all_bands(pair, change):
    other = Pair("other", change(pair.anchor), change(pair.positive), group="elsewhere")
    if all(normalise(a) == normalise(b) for a, b in zip(pair.texts, other.texts, strict=True)):
        first, second = SIGNER.sign([pair, other]).bands
        np.testing.assert_array_equal(first, second)


def test_a_signature_is_the_same_on_every_machine():
    bands, sketches = SIGNER.sign([Pair("d", "How are you?", "東京へ, fine"), Pair("d", "a", "b", negatives=("c",))])
    assert [f"{band:016x}" for band in bands[:, :2].ravel()] == PINNED_BANDS
    assert [f"{word:016x}" for word in sketches[:, :, 0].ravel()] == PINNED_SKETCHES


def test_the_bits_of_sketches_estimate_similarity_without_bias():
    planted = list(plant(1_500, seed=5))
    signed = SIGNER.sign([pair for one in planted for pair in one]).sketches.reshape(-1, 2, 2, 2)
    differing = np.bitwise_count(signed[:, 0] ^ signed[:, 1]).sum(axis=-1)
    true = np.array([similarities(*one, 5) for one in planted])
    error = 1 - 2 * differing / 128 - true
    assert abs(error.mean()) < 0.003
    unequal = (1 - true) / 2
    assert error.std() == pytest.approx(2 * np.sqrt((unequal * (1 - unequal) / 128).mean()), rel=0.06)


def test_bands_are_shared_as_often_as_the_s_curve_says():
    planted = list(plant(3_000, seed=6))
    bands = SIGNER.sign([pair for one in planted for pair in one]).bands.reshape(-1, 2, 8)
    shared = (bands[:, 0, 1:] == bands[:, 1, 1:]).any(axis=-1)
    expected = np.array([SIGNER.candidate_probability(*similarities(*one, 5)) for one in planted])
    for some in (expected < 0.5, expected >= 0.5):
        assert shared[some].mean() == pytest.approx(expected[some].mean(), abs=0.02)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"permutations": 100}, "multiple of 64"),
        ({"bands": 1}, "expected two bands"),
        ({"rows": 0}, "one row"),
        ({"bands": 65, "rows": 3}, "at most 128 rows"),
        ({"shingle": 1}, "at least 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Signer(**wrong)


def test_half_a_surrogate_pair_does_not_stop_the_signing():
    assert SIGNER.sign([Pair("d", "a\ud800", "b", ("\udfff",))]).bands.shape == (1, 8)


@pytest.mark.parametrize("side", [0, 1])
def test_each_side_must_pass_the_threshold(side):
    first = np.zeros((2, 2, 2), np.uint64)
    second = first.copy()
    second[:, side, 0] = [2**12 - 1, 2**13 - 1]  # 12 of 128 bits are a similarity of 0.81, 13 are 0.797
    assert SIGNER.near(first, second).tolist() == [True, False]
    second[0, 1 - side, 1] = 2**12 - 1
    assert SIGNER.near(first, second).tolist() == [True, False]


def test_no_pairs_have_no_signatures():
    assert SIGNER.sign([]).bands.shape == (0, 8) and SIGNER.sign([]).sketches.shape == (0, 2, 2)
