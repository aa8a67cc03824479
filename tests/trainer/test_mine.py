"""Hard negatives: near, and not known to be right."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from corpora import topic_pairs, write_dataset, write_encoder, write_run

from schemas.example import decode_pair
from schemas.manifest import Manifest, verify
from schemas.pair import Pair, normalise
from schemas.shards import read_shard
from trainer import mine as mine_module
from trainer.encode import TextEncoder
from trainer.encoders.settings import EncoderSettings, Prompts
from trainer.mine import MineConfig, Miner, mine
from trainer.train import train

ALL = MineConfig(relative_margin=None)


@pytest.fixture(scope="module")
def miner(tmp_path_factory: pytest.TempPathFactory) -> Miner:
    folder = write_encoder(tmp_path_factory.mktemp("encoder") / "tiny")
    return Miner(TextEncoder.open(folder), "tiny", "d1ge57")


def pairs_of(manifest: Manifest, split: str = "train") -> list[Pair]:
    return [decode_pair(record)[0] for path, _ in manifest.shards(split) for record in read_shard(path)]


def scores(miner: Miner, pair: Pair) -> tuple[float, list[float]]:
    anchor, positive, *negatives = miner.encoder.encode(pair.texts)
    return float(anchor @ positive), [float(anchor @ negative) for negative in negatives]


def test_negatives_are_the_nearest_train_positives_that_are_not_known_to_be_right(miner: Miner, tmp_path: Path) -> None:
    pairs = topic_pairs("a", 60, 1)
    parent = write_dataset(tmp_path / "a", "a", {"train": pairs, "test": topic_pairs("a", 20, 2)})
    made = mine(parent, miner, tmp_path / "mined", dataclasses.replace(ALL, negatives=3)).manifest
    vectors = dict(
        zip({p.positive for p in pairs}, miner.encoder.encode(list({p.positive for p in pairs})), strict=True)
    )
    for pair in pairs_of(made):
        right = {normalise(p.positive) for p in pairs if p.anchor == pair.anchor} | {normalise(pair.anchor)}
        anchor = miner.encoder.encode([pair.anchor])[0]
        others = sorted((t for t in vectors if normalise(t) not in right), key=lambda t: -float(anchor @ vectors[t]))
        expected = [float(anchor @ vectors[text]) for text in others[:3]]
        np.testing.assert_allclose(scores(miner, pair)[1], expected, atol=1e-5)


def test_the_result_is_a_dataset_with_the_same_pairs_in_the_same_order(miner: Miner, tmp_path: Path) -> None:
    splits = {"train": topic_pairs("a", 60, 1), "test": topic_pairs("a", 20, 2)}
    parent = write_dataset(tmp_path / "a", "a", splits)
    made = mine(parent, miner, tmp_path / "mined", ALL, command=("mine", "…")).manifest
    assert Manifest.load(tmp_path / "mined") == made and not list(verify(made))
    for split in splits:
        bare = [dataclasses.replace(pair, negatives=(), dataset="a") for pair in pairs_of(made, split)]
        assert bare == pairs_of(parent, split)
    assert all(not pair.negatives and pair.dataset == "mined" for pair in pairs_of(made, "test"))
    options = made.parts[0].options
    assert options["encoder_sha256"] == "d1ge57" and options["mined_from"] == parent.content_hash
    assert not (tmp_path / "mined" / mine_module.WORK_FOLDER).exists()


def test_what_is_known_to_be_right_is_never_a_negative(miner: Miner, tmp_path: Path) -> None:
    pairs = [
        Pair("a", "w1 w2", "w1 w3", group="1"),
        Pair("a", "w1 w2", "w1 w4", group="2"),  # the same anchor
        Pair("a", "w5 w6", "W1  W2", group="3"),  # a positive that is the anchor of others
        Pair("a", "w7 w1", "w1 w8", group="4", cluster="c"),
        Pair("a", "w9 w1", "w1 w9", group="4", cluster="c"),  # the same cluster
        Pair("a", "w20 w21", "w22 w23", group="4"),  # the same group, which says nothing
    ]
    parent = write_dataset(tmp_path / "a", "a", {"train": pairs})
    made = mine(parent, miner, tmp_path / "mined", dataclasses.replace(ALL, negatives=9)).manifest
    found = {(pair.anchor, pair.positive): set(pair.negatives) for pair in pairs_of(made)}
    every = {pair.positive for pair in pairs}
    assert found["w1 w2", "w1 w3"] == found["w1 w2", "w1 w4"] == every - {"w1 w3", "w1 w4", "W1  W2"}
    assert found["w5 w6", "W1  W2"] == every - {"W1  W2"}
    assert found["w7 w1", "w1 w8"] == found["w9 w1", "w1 w9"] == every - {"w1 w8", "w1 w9"}
    assert found["w20 w21", "w22 w23"] == every - {"w22 w23"}


def test_texts_of_the_test_split_are_never_negatives(miner: Miner, tmp_path: Path) -> None:
    held_out = [Pair("a", f"w{n} w40", f"w{n} w41", group=str(n)) for n in range(20)]
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 30, 1), "test": held_out})
    made = mine(parent, miner, tmp_path / "mined", dataclasses.replace(ALL, negatives=5)).manifest
    assert not {text for pair in pairs_of(made) for text in pair.negatives} & {pair.positive for pair in held_out}


@pytest.mark.parametrize(
    "bounds", [{"margin": 0.05}, {"relative_margin": 0.1}, {"max_score": 0.5}, {"min_score": 0.6}, {"first_rank": 4}]
)
def test_bounds_hold(miner: Miner, tmp_path: Path, bounds: dict) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1)})
    config = MineConfig(**({"relative_margin": None, "negatives": 2} | bounds))
    made = mine(parent, miner, tmp_path / "mined", config)
    free = {
        p.anchor: p
        for p in pairs_of(mine(parent, miner, tmp_path / "free", dataclasses.replace(ALL, negatives=3)).manifest)
    }
    assert sum(number * pairs for number, pairs in made.negatives.items())
    for pair in pairs_of(made.manifest):
        positive, negatives = scores(miner, pair)
        for score in negatives:
            assert score <= positive - bounds.get("margin", -9) + 1e-5
            assert score <= positive - abs(positive) * bounds.get("relative_margin", -9) + 1e-5
            assert bounds.get("min_score", -9) - 1e-5 <= score <= bounds.get("max_score", 9) + 1e-5
        if "first_rank" in bounds:
            assert not set(pair.negatives) & set(free[pair.anchor].negatives)


def test_bounds_that_leave_no_negative_at_all_are_refused(miner: Miner, tmp_path: Path) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1)})
    with pytest.raises(ValueError, match=r"no negative for any of 60 pairs: .* [\d,]+ were too near and 0 too far"):
        mine(parent, miner, tmp_path / "mined", MineConfig(max_score=-1.1))
    assert not (tmp_path / "mined" / "manifest.json").exists()
    assert mine(parent, miner, tmp_path / "mined", ALL).manifest.records("train") == 60


def test_only_full_drops_the_others_and_counts_them(miner: Miner, tmp_path: Path) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1), "test": topic_pairs("a", 9, 2)})
    config = MineConfig(negatives=2, margin=0.2)
    every = mine(parent, miner, tmp_path / "every", config)
    full = mine(parent, miner, tmp_path / "full", dataclasses.replace(config, only_full=True))
    assert set(every.negatives) == {0, 1, 2} and set(full.negatives) == {2}
    assert full.negatives[2] == every.negatives[2]
    drops = full.manifest.parts[0].funnel[-1].drops
    assert drops == {"fewer_negatives_found": every.negatives[0] + every.negatives[1]}
    with pytest.raises(ValueError, match="no pair has 60 negatives"):
        mine(parent, miner, tmp_path / "none", MineConfig(negatives=60, relative_margin=None, only_full=True))
    assert not (tmp_path / "none" / "manifest.json").exists()


def test_a_pairs_own_negatives_stay_in_front(miner: Miner, tmp_path: Path) -> None:
    pairs = [dataclasses.replace(pair, negatives=("w30 w31",)) for pair in topic_pairs("a", 40, 1)]
    parent = write_dataset(tmp_path / "a", "a", {"train": pairs})
    made = mine(parent, miner, tmp_path / "mined", dataclasses.replace(ALL, negatives=2))
    assert made.negatives == {2: 40}
    assert all(p.negatives[0] == "w30 w31" != p.negatives[1] for p in pairs_of(made.manifest))


def test_a_limit_mines_the_first_pairs_alone(miner: Miner, tmp_path: Path) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1)})
    made = mine(parent, miner, tmp_path / "mined", dataclasses.replace(ALL, limit=25)).manifest
    assert [p.anchor for p in pairs_of(made)] == [p.anchor for p in pairs_of(parent)[:25]]
    assert {t for p in pairs_of(made) for t in p.negatives} <= {p.positive for p in pairs_of(parent)[:25]}


def test_a_random_choice_follows_its_seed(miner: Miner, tmp_path: Path) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1)})

    def content(name: str, seed: int) -> list[Pair]:
        config = dataclasses.replace(ALL, choice="random", seed=seed)
        return pairs_of(mine(parent, miner, tmp_path / name, config, dataset="x").manifest)

    assert content("one", 1) == content("again", 1) != content("two", 2)


def test_a_killed_call_goes_on_and_gives_the_same_dataset(
    miner: Miner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1)})
    whole = mine(parent, miner, tmp_path / "whole", ALL, dataset="x").manifest

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mine_module, "search", fail)
        mine(parent, miner, tmp_path / "killed", ALL, dataset="x")
    assert not (tmp_path / "killed" / "manifest.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(mine_module, "encode_to_file", fail)  # the vectors are there
        again = mine(parent, miner, tmp_path / "killed", ALL, dataset="x").manifest
    assert again.content_hash == whole.content_hash


def test_a_dataset_that_is_there_is_replaced_only_when_asked(miner: Miner, tmp_path: Path) -> None:
    parent = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 60, 1)})
    mine(parent, miner, tmp_path / "mined", ALL)
    with pytest.raises(FileExistsError, match="--overwrite"):
        mine(parent, miner, tmp_path / "mined", ALL)
    again = mine(parent, miner, tmp_path / "mined", dataclasses.replace(ALL, negatives=2), overwrite=True)
    assert again.negatives == {2: 60} and not list(verify(again.manifest))
    with pytest.raises(ValueError, match="is the dataset that is mined"):
        mine(parent, miner, tmp_path / "a", ALL, overwrite=True)


def test_anchors_are_queries_and_positives_documents_to_an_encoder_with_prompts(miner: Miner, tmp_path: Path) -> None:
    pairs = topic_pairs("a", 60, 1)
    parent = write_dataset(tmp_path / "a", "a", {"train": pairs})
    folder = write_encoder(tmp_path / "tiny")
    EncoderSettings(Prompts({"query": "w1 w1 ", "document": "w30 "}, "query")).save(folder)
    prompted = mine(parent, Miner(TextEncoder.open(folder), "tiny", "d"), tmp_path / "mined", ALL).manifest
    positives = list({pair.positive for pair in pairs})
    documents = miner.encoder.encode([f"w30 {text}" for text in positives])
    for pair in pairs_of(prompted):
        [query] = miner.encoder.encode([f"w1 w1 {pair.anchor}"])
        right = {normalise(p.positive) for p in pairs if p.anchor == pair.anchor} | {normalise(pair.anchor)}
        best = max(float(query @ v) for t, v in zip(positives, documents, strict=True) if normalise(t) not in right)
        assert float(query @ documents[positives.index(pair.negatives[0])]) == pytest.approx(best, abs=1e-5)
    plain = mine(parent, miner, tmp_path / "plain", ALL).manifest
    assert [p.negatives for p in pairs_of(prompted)] != [p.negatives for p in pairs_of(plain)]
    said = [(m.parts[0].options["query_prompt"], m.parts[0].options["document_prompt"]) for m in (prompted, plain)]
    assert said == [("w1 w1 ", "w30 "), ("", "")]


@pytest.mark.slow
def test_training_on_the_result_needs_nothing_new(miner: Miner, tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=2, negatives=1)
    for name in ("a", "b"):
        mine(Manifest.load(tmp_path / "data" / name), miner, tmp_path / "mined" / name, ALL)
    config = dataclasses.replace(config, data=str(tmp_path / "mined"))
    assert train(config, tmp_path / "run").step == 2
    logged = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(logged["loss"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"negatives": 0}, "negatives is 0"),
        ({"first_rank": 5, "last_rank": 4}, "ranks 5 to 4"),
        ({"relative_margin": 1.5}, "relative_margin is 1.5"),
        ({"limit": 0}, "limit is 0"),
        ({"choice": "best"}, "choice is 'best'"),
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MineConfig(**wrong)
