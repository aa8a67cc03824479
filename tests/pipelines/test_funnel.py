import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import (
    SAMPLE_CHARACTERS,
    SAMPLES,
    STAGES,
    Drop,
    Origin,
    Read,
    Tallies,
    build_funnel,
    origins_of,
    smallest_samples,
)
from schemas.manifest import Stage


def test_counts_of_several_records_and_datasets_are_summed_apart():
    tallies = Tallies()
    for _ in range(2):
        tallies.read(Read("one", 5))
        tallies.drop(Drop("one", "dedup", "duplicate", 3))
        tallies.drop(Drop("one", "filter", "duplicate"))
        tallies.read(Read("two", 1))
        tallies.come_from(Origin("two", "site", "islam", 4))
    counts, samples = tallies.to_data()
    assert counts == [
        (("one", "", ""), 10),
        (("one", "dedup", "duplicate"), 6),
        (("one", "filter", "duplicate"), 2),
        (("two", "", ""), 2),
        (("two", "origin/site", "islam"), 8),
    ]
    assert samples == []


TEXTS = st.tuples(st.sampled_from(["thanks", "a", "b", "c", "\ud800"]), st.sampled_from(["x", "y", "z" * 500, "w"]))
DROPS = st.lists(
    st.builds(Drop, st.just("d"), st.just("filter"), st.sampled_from(["one", "two"]), st.just(1), TEXTS), max_size=40
)


@given(DROPS, st.integers(1, 10), st.randoms(use_true_random=False))
def test_samples_are_the_same_however_the_work_is_cut_and_ordered(drops, size, chance):
    def samples(order: list[Drop], size: int) -> dict:
        found: dict = {}
        for start in range(0, len(order), size):
            tallies = Tallies()
            for drop in order[start : start + size]:
                tallies.drop(drop)
            for key, of_piece in tallies.to_data()[1]:
                found.setdefault(key, []).append(of_piece)
        return {key: smallest_samples(pieces) for key, pieces in found.items()}

    shuffled = list(drops)
    chance.shuffle(shuffled)
    found = samples(drops, size)
    assert found == samples(shuffled, len(drops) or 1)
    for (_, _, reason), of_reason in found.items():
        texts = [texts for _, texts in of_reason]
        assert len(set(texts)) == len(texts) <= SAMPLES
        for one in texts:
            assert any(
                drop.reason == reason
                and all(
                    text.encode(errors="replace").decode()[:SAMPLE_CHARACTERS] == shown
                    for text, shown in zip(drop.texts, one, strict=True)
                )
                for drop in drops
            )


def test_origins_are_the_most_frequent_and_the_rest_together():
    tallies = Tallies()
    counts = Counter({f"place{n}": n for n in range(1, 11)})
    for name, pairs in random.Random(0).sample(sorted(counts.items()), 10):
        tallies.come_from(Origin("d", "subreddit", name, pairs))
    tallies.come_from(Origin("other", "subreddit", "place1", 99))
    tallies.read(Read("d", 5))
    found = origins_of("d", dict(tallies.to_data()[0]), most=3)
    assert found == {"subreddit": {"place10": 10, "place9": 9, "place8": 8, "": 28}}
    assert list(found["subreddit"])[:2] == ["place10", "place9"]
    assert origins_of("d", dict(tallies.to_data()[0])) == {"subreddit": dict(counts.most_common())}


def test_the_funnel_has_every_stage_in_order_and_adds_up():
    tallies = {
        ("d", "", ""): 100,
        ("d", "read", "not_json"): 5,
        ("d", "filter", "too_short"): 7,
        ("d", "filter", "a_first"): 1,
        ("d", "dedup", "duplicate"): 2,
        ("other", "", ""): 50,
        ("other", "read", "not_json"): 50,
    }
    read, stages = build_funnel("d", tallies)
    assert read == 100
    assert stages == (
        Stage("read", 95, {"not_json": 5}),
        Stage("pair", 95, {}),
        Stage("filter", 87, {"a_first": 1, "too_short": 7}),
        Stage("decontaminate", 87, {}),
        Stage("dedup", 85, {"duplicate": 2}),
        Stage("cap", 85, {}),
        Stage("split", 85, {}),
    )


@given(st.dictionaries(st.tuples(st.just("d"), st.sampled_from(STAGES), st.text("ab", max_size=2)), st.integers(1, 50)))
def test_what_is_read_is_what_is_kept_plus_all_drops(drops):
    read, stages = build_funnel("d", {("d", "", ""): 1000, **drops})
    assert read == stages[-1].kept + sum(drops.values())
    assert sum(sum(stage.drops.values()) for stage in stages) == sum(drops.values())


@pytest.mark.parametrize("name", ["", "never_seen"])
def test_a_dataset_without_records_has_an_empty_funnel(name):
    read, stages = build_funnel(name, {})
    assert read == 0 and [stage.kept for stage in stages] == [0] * len(STAGES)
