"""Training from datasets of token ids: the same steps as from their texts, and from no other ids."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from corpora import topic_pairs, write_dataset, write_run
from tokenizers import Tokenizer

from pipelines.tokenize import TokenizeJob, run
from schemas.manifest import find_manifests
from schemas.tokens import NO_PREFIXES, Prefixes, load_tokenizer
from trainer.checkpoint import Checkpoints
from trainer.config import TrainConfig
from trainer.encoders.weights import load_encoder
from trainer.step import init_state
from trainer.train import train


def tokenize(texts: Path, output: Path, tokenizer: Tokenizer, prefixes: Prefixes = NO_PREFIXES) -> Path:
    folders = tuple((str(folder), str(output / folder.relative_to(texts))) for folder in find_manifests(texts))
    run(TokenizeJob(folders=folders, output=str(output), tokenizer=tokenizer.to_str(), prefixes=prefixes))
    return output


def final_state(config: TrainConfig, folder: Path) -> list[np.ndarray]:
    _, like = init_state(load_encoder(config.encoder), config)
    checkpoints = Checkpoints(folder / "checkpoints")
    state, _ = checkpoints.restore(like)
    checkpoints.close()
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


@pytest.fixture(scope="module")
def on_texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    """(config of six steps on texts, root): the ids of the same texts lie in `ids`."""
    root = tmp_path_factory.mktemp("runs")
    config = write_run(root, steps=6)
    tokenize(root / "data", root / "ids", load_tokenizer(config.encoder))
    return config, root


@pytest.mark.slow
def test_a_run_begun_on_texts_goes_on_with_their_ids_as_if_nothing_had_changed(
    on_texts: tuple[TrainConfig, Path],
) -> None:
    config, root = on_texts
    on_ids = dataclasses.replace(config, steps=12, data=str(root / "ids"))
    train(config, root / "both")
    done = train(on_ids, root / "both")
    assert (done.step, done.resumed_from) == (12, 6)
    train(on_ids, root / "ids_alone")
    for ours, theirs in zip(final_state(on_ids, root / "both"), final_state(on_ids, root / "ids_alone"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_ids_of_other_texts_are_other_data(on_texts: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, _ = on_texts
    train(config, tmp_path / "run")
    for name, pairs in (("a", topic_pairs("a", 200, 1)), ("b", topic_pairs("b", 100, 7))):
        write_dataset(tmp_path / "other" / name, name, {"train": pairs})
    other = tokenize(tmp_path / "other", tmp_path / "ids", load_tokenizer(config.encoder))
    with pytest.raises(ValueError, match="trained on another mixture or other data"):
        train(dataclasses.replace(config, steps=7, data=str(other)), tmp_path / "run")


def without_words(tokenizer: Tokenizer) -> Tokenizer:
    document = json.loads(tokenizer.to_str())
    del document["model"]["vocab"]["w0"]
    return Tokenizer.from_str(json.dumps(document))


@pytest.mark.parametrize("prefixes", [None, Prefixes("w1 ", ""), Prefixes("", "w1 ")])
def test_ids_of_another_tokenizer_or_with_prefixes_are_refused_in_one_line(
    prefixes: Prefixes | None, on_texts: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    config, root = on_texts
    tokenizer = load_tokenizer(config.encoder)
    ids = tokenize(
        root / "data",
        tmp_path / "ids",
        without_words(tokenizer) if prefixes is None else tokenizer,
        prefixes or NO_PREFIXES,
    )
    with pytest.raises(ValueError, match="run `pairstream tokenize` again") as caught:
        train(dataclasses.replace(config, data=str(ids)), tmp_path / "run")
    said = str(caught.value)
    assert "\n" not in said and said.startswith(f"{ids / 'a'}: ids of tokenizer ")
    assert f"with prefixes {list(prefixes or NO_PREFIXES)}; expected " in said
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_only_datasets_that_are_drawn_must_have_the_runs_ids(
    on_texts: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    config, root = on_texts
    tokenizer = load_tokenizer(config.encoder)
    tokenize(root / "data" / "b", tmp_path / "data" / "b", tokenizer, Prefixes("w1 ", ""))
    (tmp_path / "data" / "a").symlink_to(root / "ids" / "a", target_is_directory=True)
    mixture = tmp_path / "mixture.json"
    changed = dataclasses.replace(config, steps=1, data=str(tmp_path / "data"), mixture=str(mixture))
    mixture.write_text(json.dumps([{"name": "a", "weight": 1}, {"name": "b", "weight": 0}]))
    assert train(changed, tmp_path / "run").step == 1
    mixture.write_text(json.dumps([{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]))
    with pytest.raises(ValueError, match="run `pairstream tokenize` again"):
        train(changed, tmp_path / "other")
