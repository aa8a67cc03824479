from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dedup import RANKS, Entries
from pipelines.hot_texts import limits_of, over_the_cap, smallest_keys
from schemas.example import encode_pair
from schemas.pair import Pair, fingerprint, shuffle_key
from schemas.shards import frame

WORDS = ["thanks", "Thanks ", "ok", *(f"text {n}" for n in range(5))]
PAIRS = st.builds(Pair, st.just("d"), st.sampled_from(WORDS), st.sampled_from(WORDS))
MARKED = st.lists(st.tuples(PAIRS, st.sampled_from(RANKS)), max_size=30)


def entries_of(marked: list[tuple[Pair, str]]) -> Entries:
    prints = [fingerprint(pair) for pair, _ in marked]
    framed = [frame(encode_pair(pair, one)) for (pair, _), one in zip(marked, prints, strict=True)]
    return Entries(
        "d",
        np.array([shuffle_key(one.pair, 0) for one in prints], np.uint64),
        np.array([one.pair for one in prints], np.uint64),
        np.array([RANKS.index(rank) for _, rank in marked], np.uint8),
        np.zeros((len(marked), 2), np.uint32),
        np.array([len(one) for one in framed], np.uint32),
        b"".join(framed),
    )


def limits(groups: list[list[tuple[Pair, str]]], most: int, bits: int = 2) -> list[bytes]:
    """The limits that come out when each group is a piece of work of its own."""
    partitions: defaultdict[int, list[bytes]] = defaultdict(list)
    for group in groups:
        texts = [fingerprint(pair).texts for pair, _ in group]
        for blob in smallest_keys(entries_of(group), texts, most, bits):
            partitions[blob.partition].append(blob.data)
    return [limit for _, blobs in sorted(partitions.items()) for limit in limits_of(blobs, most)]


@given(MARKED, st.integers(1, 5), st.integers(1, 7), st.randoms(use_true_random=False))
def test_over_the_cap_is_who_stands_behind_the_first_pairs_with_one_of_its_texts(marked, most, cut, chance):
    keys: defaultdict[int, set[int]] = defaultdict(set)
    for pair, rank in marked:
        if rank != "rejects":
            for text in fingerprint(pair).texts:
                keys[text].add(shuffle_key(fingerprint(pair).pair, 0))
    last = {text: sorted(of_text)[:most][-1] for text, of_text in keys.items()}
    expected = [
        place
        for place, (pair, rank) in enumerate(marked)
        if rank != "rejects"
        and any(shuffle_key(fingerprint(pair).pair, 0) > last[text] for text in fingerprint(pair).texts)
    ]
    shuffled = list(marked)
    chance.shuffle(shuffled)
    groups = [shuffled[start : start + cut] for start in range(0, len(shuffled), cut)]
    assert list(over_the_cap(entries_of(marked), limits(groups, most))) == expected
    assert limits(groups, most) == limits([marked], most)  # how the work was cut never shows


def test_rejects_alone_have_no_limits():
    assert limits([[(Pair("d", "a", "b"), "rejects")]], 1) == []


def test_each_piece_of_work_sends_a_few_keys_of_a_text_however_frequent():
    pairs = [(Pair("d", "thanks", f"a text of its own {n}"), "train") for n in range(500)]
    texts = [fingerprint(pair).texts for pair, _ in pairs]
    of_thanks = fingerprint(pairs[0][0]).texts[0]
    sent = 0
    for blob in smallest_keys(entries_of(pairs), texts, 3, 1):
        body = blob.data[blob.data.index(b"\n") + 1 :]
        sent += int((np.frombuffer(body, "<u8")[: len(body) // 16] == of_thanks).sum())
    assert sent == 4


def test_the_limits_of_another_dataset_count_for_nothing():
    pairs = [(Pair("d", "thanks", f"text {n}"), "train") for n in range(9)]
    found = limits([pairs], 1)
    entries = entries_of(pairs)
    assert len(list(over_the_cap(entries, found))) == 8
    assert list(over_the_cap(entries._replace(dataset="e"), found)) == []
