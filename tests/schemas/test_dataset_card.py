"""A dataset's card says what its manifest says."""

from __future__ import annotations

import dataclasses

import pytest

from schemas.dataset_card import dataset_card
from schemas.manifest import Manifest, Part, Split, Stage
from schemas.shards import Shard


def manifest(licence: str = "CC BY-SA 4.0", records: int = 2000, **options: object) -> Manifest:
    shard = Shard("train-00000-of-00001.tfrecord", records, 9, "a", "b", "c")
    part = Part(
        "",
        ("preprocess", "csv", "--input", "my file.csv"),
        options,
        {},
        records + 7,
        (Stage("read", records + 7), Stage("dedup", records, {"duplicate": 7})),
        {"train": Split(records, 9, 16, (shard,))},
        {},
    )
    return Manifest("faq", "question → answer", licence, "Somebody (2020)", "https://example.org", (part,))


def test_the_card_tells_the_tuple_the_licence_and_the_drops() -> None:
    card = dataset_card(manifest())
    assert "question → answer" in card and "2,000 in train" in card
    assert "| dedup | duplicate | -7 |" in card and "| read | | 2,007 |" in card
    assert "pairstream preprocess csv --input 'my file.csv'" in card
    assert "Somebody (2020)" in card and manifest().content_hash in card


@pytest.mark.parametrize(
    ("licence", "lines"),
    [
        ("CC BY-SA 4.0", "license: cc-by-sa-4.0\n"),
        ("Reddit's terms", "license: other\nlicense_name: reddit-s-terms\n"),
        ("", "license: other\nlicense_name: not-stated\n"),
    ],
)
def test_licences_have_the_hubs_names_where_it_has_one(licence: str, lines: str) -> None:
    assert lines in dataset_card(manifest(licence))


@pytest.mark.parametrize(
    ("records", "size"), [(10, "n<1K"), (1000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (10**12, "n>1T")]
)
def test_sizes_are_the_hubs_classes(records: int, size: str) -> None:
    assert f"size_categories:\n- {size}\n" in dataset_card(manifest(records=records))


def test_a_mined_datasets_card_names_the_miner() -> None:
    assert "Negatives were mined" not in dataset_card(manifest())
    mined = manifest(mined_from="f00", encoder="runs/x/encoder", encoder_sha256="d1ge57")
    assert "`runs/x/encoder` (sha256 `d1ge57`)" in dataset_card(mined)


def test_every_part_is_told() -> None:
    one = manifest()
    card = dataset_card(dataclasses.replace(one, parts=(*one.parts, dataclasses.replace(one.parts[0], path="part-1"))))
    assert card.count("| dedup | duplicate | -7 |") == 2 and "4,000 in train" in card
