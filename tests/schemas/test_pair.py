import hashlib
import struct
import unicodedata

import pytest
import xxhash
from hypothesis import assume, example, given
from hypothesis import strategies as st

from schemas.pair import Pair, fingerprint, normalise, shuffle_key, split_of, text_fingerprint, text_hash

WORDS = st.text(max_size=30)
FINGERPRINTS = st.integers(0, 2**64 - 1)
SEEDS = st.integers(0, 2**63 - 1)


def independent_normalise(text: str) -> bytes:
    folded = unicodedata.normalize("NFKC", text).casefold()
    words, word = [], ""
    for character in folded:
        if character.isspace():
            words.append(word)
            word = ""
        else:
            word += character
    return " ".join(filter(None, [*words, word])).encode("utf-8")


@given(WORDS)
@example("\x1c a\u2003\u00a0B \n")
@example(" Single  or double ")
@example(" Single ones ")
@example("a unit\x1fseparator")
def test_normalised_text_is_nfkc_casefolded_with_single_spaces(text):
    assert normalise(text).encode() == independent_normalise(text)


@given(WORDS)
def test_normalising_twice_changes_nothing_where_folding_leaves_nfkc(text):
    # Folding can take apart what NFKC had composed (ß + acute); such texts are beyond the claim.
    assume(unicodedata.is_normalized("NFKC", unicodedata.normalize("NFKC", text).casefold()))
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello  World", "hello world"),
        (" tabs\tand\nlines ", "tabs and lines"),
        ("Straße", "STRASSE"),
        ("ﬁne", "fine"),
        ("café", "cafe\u0301"),
        ("Ａ１", "a1"),
        ("no\u00a0break", "no break"),
    ],
)
def test_texts_that_read_alike_are_equal(one, other):
    assert normalise(one) == normalise(other)
    assert text_fingerprint(one) == text_fingerprint(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("resume", "résumé"), ("a.", "a"), ("", ".")])
def test_texts_that_differ_stay_different(one, other):
    assert normalise(one) != normalise(other)


@given(st.text(st.characters(exclude_categories=())))
@example("half a pair \ud800")
def test_a_text_is_hashed_as_it_stands_whatever_is_in_it(text):
    assert text_hash(text) == xxhash.xxh3_64(text.encode("utf-8", "surrogatepass")).intdigest()


@given(
    WORDS,
    WORDS,
    st.lists(WORDS, max_size=3),
    st.text(max_size=10),
    st.one_of(st.none(), st.text(max_size=10)),
)
def test_fingerprints_are_xxh3_of_length_prefixed_normalised_texts(anchor, positive, negatives, dataset, cluster):
    texts = [independent_normalise(text) for text in (anchor, positive, *negatives)]
    whole = xxhash.xxh3_64()
    for text in texts:
        whole.update(len(text).to_bytes(4, "little"))
        whole.update(text)
    found = fingerprint(Pair(dataset, anchor, positive, tuple(negatives), cluster=cluster))
    assert found.pair == whole.intdigest()
    assert found.texts == tuple(xxhash.xxh3_64(text).intdigest() for text in texts)
    named = dataset.encode()
    of_cluster = xxhash.xxh3_64(struct.pack("<I", len(named)) + named + (cluster or "").encode()).intdigest()
    assert found.cluster == (0 if cluster is None else of_cluster)


def test_moving_a_letter_across_the_border_changes_the_pair():
    assert fingerprint(Pair("d", "ab", "c")).pair != fingerprint(Pair("d", "a", "bc")).pair
    assert fingerprint(Pair("d", "a", "b", ("c",))).pair != fingerprint(Pair("d", "a", "b", ("c", ""))).pair


def test_dataset_group_cluster_and_contexts_are_no_part_of_a_pair_s_identity():
    plain = Pair("one", "anchor", "positive")
    other = Pair("two", "Anchor", " positive", group="g", cluster="c", contexts=("x",))
    assert fingerprint(plain).pair == fingerprint(other).pair


def test_one_cluster_name_in_two_datasets_is_two_clusters():
    one, other = (fingerprint(Pair(name, "a", "b", cluster="7")).cluster for name in ("quora", "coco"))
    assert one != other and 0 not in (one, other)


def published_split(group: str, test_share: float) -> str:
    # (1 + md5 mod 4096) / 4096 < 0.9; the last twelve bits of the digest are its value mod 4096.
    bucket = int(hashlib.md5(group.encode()).hexdigest()[-3:], 16)
    return "train" if (1 + bucket) / 4096 < 1 - test_share else "test"


@given(st.text(min_size=1, max_size=20), st.sampled_from([0.1, 0.25, 0.5]))
def test_the_group_alone_decides_the_split(group, share):
    expected = published_split(group, share)
    assert split_of(Pair("d", "a", "b", group=group), share) == expected
    assert split_of(Pair("other", "x", "y", ("z",), group=group, cluster="c"), share) == expected


@given(WORDS)
def test_without_a_group_the_normalised_anchor_decides(anchor):
    expected = published_split(independent_normalise(anchor).decode(), 0.5)
    assert split_of(Pair("d", anchor, "b"), 0.5) == expected
    assert split_of(Pair("d", f"  {anchor}\n", "c"), 0.5) == expected


@pytest.mark.parametrize(("share", "last_in_train"), [(0.1, 3685), (0.5, 2046), (0.25, 3070)])
def test_the_border_lies_where_the_published_rule_puts_it(share, last_in_train):
    def group_of(bucket):
        names = map(str, range(100_000))
        return next(name for name in names if int(hashlib.md5(name.encode()).hexdigest()[-3:], 16) == bucket)

    splits = [split_of(Pair("d", "a", "b", group=group_of(last_in_train + more)), share) for more in (0, 1)]
    assert splits == ["train", "test"]


def test_a_tenth_of_the_groups_is_held_out_and_none_when_nothing_is_asked_for():
    groups = [Pair("d", "a", "b", group=f"thread{number}") for number in range(5000)]
    held_out = sum(split_of(pair, 0.1) == "test" for pair in groups)
    assert 430 < held_out < 570
    assert {split_of(pair, 0) for pair in groups} == {"train"}


@given(st.sets(FINGERPRINTS, min_size=2, max_size=50), SEEDS)
def test_shuffle_keys_of_different_fingerprints_differ(fingerprints, seed):
    keys = {shuffle_key(value, seed) for value in fingerprints}
    assert len(keys) == len(fingerprints)
    assert all(0 <= key < 2**64 for key in keys)


def unmix(x: int) -> int:
    """The inverse of SplitMix64's finaliser, from its inverse constants."""
    x ^= x >> 31 ^ x >> 62
    x = x * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    x ^= x >> 27 ^ x >> 54
    x = x * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
    return x ^ x >> 30 ^ x >> 60


@given(FINGERPRINTS, FINGERPRINTS, SEEDS)
def test_the_shuffle_key_can_be_undone(one, other, seed):
    undone = [unmix(shuffle_key(value, seed)) for value in (one, other)]
    assert undone[0] ^ undone[1] == one ^ other  # the same mask for each, so every step is a bijection


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_seeds_give_different_orders(one, other):
    assume(one != other)
    values = range(64)
    orders = [sorted(values, key=lambda value: shuffle_key(value, seed)) for seed in (one, other)]
    assert orders[0] != orders[1]
