"""Runs from random weights, and runs with a pooling of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from corpora import write_run

from trainer.config import TrainConfig
from trainer.encode import TextEncoder
from trainer.encoders.weights import load_encoder, read_config, save_encoder
from trainer.export import export
from trainer.step import init_state
from trainer.train import make_encoder, train

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9"]


@pytest.fixture(scope="module")
def without_weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    """(config of a run from random weights, root): its base has a config and a tokenizer alone."""
    root = tmp_path_factory.mktemp("random")
    config = write_run(root, steps=3, initial="random")
    (Path(config.encoder) / "model.safetensors").unlink()
    return config, root


def params(config: TrainConfig) -> list[np.ndarray]:
    _, state = init_state(make_encoder(config, Path(config.encoder)), config)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def test_random_weights_come_from_the_seed_in_the_shape_of_the_config(
    without_weights: tuple[TrainConfig, Path],
) -> None:
    config, _ = without_weights
    one, same, other = params(config), params(config), params(dataclasses.replace(config, seed=7))
    assert all(np.array_equal(*both) for both in zip(one, same, strict=True))
    assert not all(np.array_equal(*both) for both in zip(one, other, strict=True))
    shape = read_config(Path(config.encoder))
    assert (shape["vocab_size"], shape["hidden_size"]) in {leaf.shape for leaf in one}


def test_a_run_from_random_weights_needs_a_config_and_a_tokenizer_alone(
    without_weights: tuple[TrainConfig, Path],
) -> None:
    config, root = without_weights
    assert train(config, root / "run").step == 3
    assert export(config, root / "run", root / "encoder") == 3
    vectors = TextEncoder.open(root / "encoder").encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    card = (root / "encoder" / "README.md").read_text()
    assert "from random weights, in the shape" in card and "base_model" not in card and "have no base" in card


def test_a_run_from_a_base_without_weights_is_refused_in_one_line(without_weights: tuple[TrainConfig, Path]) -> None:
    config, root = without_weights
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors not found") as refused:
        train(dataclasses.replace(config, initial="pretrained"), root / "refused")
    assert "\n" not in str(refused.value) and not (root / "refused").exists()


def test_nothing_of_the_bases_weights_is_in_an_encoder_that_began_at_random(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=1, initial="random")
    base = Path(config.encoder)
    with_pooler(base)
    train(config, tmp_path / "run")
    export(config, tmp_path / "run", tmp_path / "encoder")
    assert "pooler.dense.bias" in tensors(base) and "pooler.dense.bias" not in tensors(tmp_path / "encoder")
    save_encoder(load_encoder(base), tmp_path / "trained", base=base)
    assert "pooler.dense.bias" in tensors(tmp_path / "trained")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_runs_pooling_is_what_it_trains_scores_and_exports_with(pooling: str, tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=2, pooling=pooling)
    train(config, tmp_path / "run")
    export(config, tmp_path / "run", tmp_path / "encoder")
    document = json.loads((tmp_path / "encoder" / "1_Pooling" / "config.json").read_text())
    assert (document["pooling_mode_cls_token"], document["pooling_mode_mean_tokens"]) == (
        pooling == "cls",
        pooling == "mean",
    )
    assert TextEncoder.open(tmp_path / "encoder").pooling == pooling
    assert f"; {pooling} pooling." in (tmp_path / "encoder" / "README.md").read_text()


def test_another_pooling_is_another_run(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=2, dropout=0.0)
    losses = {}
    for pooling in ("mean", "cls", None):
        folder = tmp_path / f"run-{pooling}"
        train(dataclasses.replace(config, pooling=pooling), folder)
        losses[pooling] = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert losses["mean"] == losses[None] != losses["cls"]
    with pytest.raises(ValueError, match="holds a run with pooling None, not 'cls'"):
        train(dataclasses.replace(config, pooling="cls"), tmp_path / "run-None")


def test_without_a_pooling_of_its_own_a_run_has_that_of_its_base(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=1)
    base = Path(config.encoder)
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    module = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    (base / "modules.json").write_text(json.dumps([module]))
    train(config, tmp_path / "run")
    export(config, tmp_path / "run", tmp_path / "encoder")
    assert TextEncoder.open(tmp_path / "encoder").pooling == "cls"


def tensors(folder: Path) -> set[str]:
    from safetensors.numpy import load_file

    return set(load_file(folder / "model.safetensors"))


def with_pooler(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    save_file(load_file(path) | {"pooler.dense.bias": np.zeros(16, np.float32)}, path, metadata={"format": "pt"})
