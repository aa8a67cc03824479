import dataclasses

import pytest

from reader.pack_rows import propose_rows

EDGES = [0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]


def histogram(length: int, records: int = 100) -> list[int]:
    """All texts in the bin that holds this length."""
    place = max(n for n, edge in enumerate(EDGES) if edge <= length)
    return [records if n == place else 0 for n in range(len(EDGES))]


@pytest.fixture
def with_lengths(listed_dataset):
    def make(name, anchor, positive, kind="characters"):
        manifest = listed_dataset(name, [100])
        counts = {"anchor": histogram(anchor), "positive": histogram(positive)}
        statistics = {kind: {"edges": EDGES, "train": counts}}
        return dataclasses.replace(manifest, parts=(dataclasses.replace(manifest.parts[0], statistics=statistics),))

    return make


def test_rows_hold_the_texts_of_a_pack_and_little_more(with_lengths):
    # 96 characters, the middle of their bin, are 96 / 4.5 + 2 = 23.3 tokens; 64 pairs are 2,987 tokens.
    proposal = propose_rows([with_lengths("a", 100, 100)], [1.0], pairs=64, row_tokens=128)
    assert proposal is not None and proposal.estimated
    assert proposal.rows == 25 and proposal.fitting == 1
    assert proposal.filled == pytest.approx(2987 / (25 * 128), abs=0.01)


def test_counted_tokens_are_taken_as_they_are(with_lengths):
    proposal = propose_rows([with_lengths("a", 20, 20, kind="tokens")], [1.0], pairs=64, row_tokens=128)
    assert proposal is not None and not proposal.estimated
    assert proposal.rows == -(-64 * 2 * 24 * 100 // (128 * 95))


def test_a_rare_dataset_of_long_texts_does_not_decide(with_lengths):
    short, long = with_lengths("short", 100, 100), with_lengths("long", 5000, 5000)
    rare = propose_rows([short, long], [0.97, 0.03])
    often = propose_rows([short, long], [0.7, 0.3])
    assert rare is not None and often is not None
    assert rare.rows == 25 and rare.fitting == pytest.approx(0.97)
    # Two texts of at most a row each.
    assert often.rows == -(-64 * 2 * 100 // 95) and often.fitting == pytest.approx(1)


def test_without_histograms_nothing_is_proposed(listed_dataset):
    assert propose_rows([listed_dataset("a", [10])], [1.0]) is None
