from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import collect
from pipelines.collect import BANDS, CELLS, TEST_TEXTS, PairCollector, PairRules
from pipelines.decontaminate import load_eval_texts
from pipelines.dedup import RANKS, REJECTS, Entries, from_blob
from pipelines.filters.degenerate import not_unicode
from pipelines.funnel import Drop
from pipelines.hot_texts import TEXTS
from pipelines.minhash import Signer
from pipelines.shuffle import Blob
from schemas.example import decode_pair, reason_of
from schemas.pair import Pair, fingerprint, shuffle_key, split_of

RULES = PairRules((), 0.3, 5, bits=3)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PAIRS = st.lists(
    st.builds(
        Pair,
        st.sampled_from(["d", "e"]),
        TEXT,
        TEXT,
        st.lists(TEXT, max_size=2).map(tuple),
        group=TEXT,
        contexts=st.lists(TEXT, max_size=2).map(tuple),
    ),
    max_size=20,
)


def entries_in(blobs: list[Blob]) -> list[tuple[int, str, int, bytes]]:
    """(shuffle key, rank, fingerprint, record) of all pairs on their way to cells; each blob in its place."""
    found = []
    for blob in blobs:
        if blob.stage == CELLS:
            entries = from_blob(blob.data)
            assert isinstance(entries, Entries)
            record = entries.records()
            for place, (key, prints, rank) in enumerate(
                zip(*(column.tolist() for column in entries[1:4]), strict=True)
            ):
                assert key >> 61 == blob.partition and decode_pair(record(place))[0].dataset == entries.dataset
                found.append((key, RANKS[rank], prints, record(place)))
    return found


@given(PAIRS, st.sets(st.integers(0, 19)))
def test_every_pair_goes_to_the_cell_of_its_key_however_it_is_flushed(pairs, flushes):
    collector, blobs = PairCollector(RULES), []
    for number, pair in enumerate(pairs):
        assert collector.add(pair) is None
        if number in flushes:
            assert collector.settle() == []
            blobs += collector.flush()
    assert collector.settle() == []
    blobs += collector.flush()
    found = entries_in(blobs)
    assert Counter(decode_pair(record)[0] for *_, record in found) == Counter(pairs)
    for key, rank, prints, record in found:
        pair, _ = decode_pair(record)
        assert (prints, rank) == (fingerprint(pair).pair, split_of(pair, 0.3)) and key == shuffle_key(prints, 5)
    assert {blob.stage for blob in blobs} <= {CELLS}
    assert list(collector.flush()) == []


def no_b(pair: Pair) -> str | None:
    return "has_b" if "b" in pair.positive else None


def no_c(pair: Pair) -> str | None:
    return "has_c" if "c" in pair.positive else None


def test_the_first_reason_counts_and_comes_with_what_can_be_kept():
    collector = PairCollector(replace(RULES, filters=(no_b, no_c)))
    assert collector.add(Pair("d", "x", "bc", ("n",), group="g")) == Drop(
        "d", "filter", "has_b", 1, ("x", "bc", "n"), "g"
    )
    assert collector.add(Pair("d", "x", "c")) == Drop("d", "filter", "has_c", 1, ("x", "c"))
    assert collector.add(Pair("d", "x", "a")) is None
    assert collector.settle() == []
    assert [decode_pair(record)[0].positive for *_, record in entries_in(list(collector.flush()))] == ["a"]


def test_what_is_set_aside_keeps_texts_group_and_reason_even_if_it_is_no_unicode():
    collector = PairCollector(replace(RULES, filters=(not_unicode,)))
    bad = Pair("d", "half \ud800", "positive", ("\udfff",), group="g\ud800")
    drop = collector.add(bad)
    assert drop is not None and drop.reason == "not_unicode"
    collector.add_reject(drop)
    collector.add_reject(Drop("d", "read", "not_json", texts=("a raw line",)))
    found = {
        reason_of(record): (rank, decode_pair(record)[0]) for _, rank, _, record in entries_in(list(collector.flush()))
    }
    assert found == {
        "filter/not_unicode": (REJECTS, Pair("d", "half ?", "positive", ("?",), group="g?")),
        "read/not_json": (REJECTS, Pair("d", "a raw line", "")),
    }


def test_pairs_are_decontaminated_many_at_once_and_none_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "SETTLED_AT_ONCE", 7)
    (tmp_path / "set.txt").write_text("\n".join(f"a sentence of the test number {n}" for n in range(30)))
    load_eval_texts((str(tmp_path / "set.txt"),), ngram=0).save(str(tmp_path / "eval.npz"))
    collector = PairCollector(replace(RULES, eval_texts=str(tmp_path / "eval.npz")))
    drops: list[Drop] = []
    for number in range(60):
        assert collector.add(Pair("d", "question", f"a sentence of the test number {number}")) is None
        assert collector.must_settle == (number % 7 == 6)
        if collector.must_settle:
            drops += collector.settle()
    drops += collector.settle()
    assert [drop[1:3] for drop in drops] == [("decontaminate", "set")] * 30
    left = [decode_pair(record)[0].positive for *_, record in entries_in(list(collector.flush()))]
    assert sorted(left) == sorted(f"a sentence of the test number {n}" for n in range(30, 60))


def test_a_collector_is_full_when_its_records_are(monkeypatch):
    monkeypatch.setattr(collect, "FULL_BYTES", 1500)
    collector = PairCollector(RULES)
    collector.add(Pair("d", "x" * 1000, "y"))
    collector.settle()
    assert not collector.is_full
    collector.add(Pair("d", "x", "y"))
    collector.settle()
    assert collector.is_full
    list(collector.flush())
    assert not collector.is_full


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, {CELLS}),
        ({"signer": Signer()}, {CELLS, BANDS}),
        ({"max_per_text": 1}, {CELLS, TEXTS}),
        ({"drop_train_texts_in_test": True}, {CELLS, TEST_TEXTS}),
    ],
    ids=["exact", "near", "caps", "test"],
)
def test_other_shuffles_are_fed_where_rules_need_them_and_never_with_rejects(changes, stages):
    rules = replace(RULES, **changes)
    collector = PairCollector(rules)
    for number in range(20):
        collector.add(Pair("d", f"anchor {number}", f"positive {number}"))
    collector.settle()
    assert {blob.stage for blob in collector.flush()} == stages
    collector.add_reject(Drop("d", "filter", "why", texts=("anchor", "positive")))
    fed = [blob for blob in collector.flush() if blob.stage != CELLS]
    assert all(blob.stage == TEST_TEXTS and blob.data == b"" for blob in fed)


def test_texts_of_the_test_split_are_sent_once_each():
    collector = PairCollector(replace(RULES, drop_train_texts_in_test=True))
    pairs = [Pair("d", "the same anchor", f"positive {n}", group=str(n)) for n in range(30)]
    for pair in pairs:
        collector.add(pair)
    collector.settle()
    (blob,) = [blob for blob in collector.flush() if blob.stage == TEST_TEXTS]
    expected = {text for pair in pairs if split_of(pair, 0.3) == "test" for text in fingerprint(pair).texts}
    assert np.frombuffer(blob.data, "<u8").tolist() == sorted(expected) and len(expected) > 3
