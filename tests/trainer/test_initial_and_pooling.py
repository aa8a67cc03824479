"""Runs from random weights, and runs with a pooling of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from corpora import write_encoder, write_run
from safetensors.numpy import load_file, save_file

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


def test_a_pooler_of_the_base_is_written_again_unless_the_encoder_began_at_random(tmp_path: Path) -> None:
    base = write_encoder(tmp_path / "base")
    path = base / "model.safetensors"
    save_file(load_file(path) | {"pooler.dense.bias": np.zeros(16, np.float32)}, path, metadata={"format": "pt"})
    for pooler in (True, False):
        save_encoder(load_encoder(base), tmp_path / f"{pooler}", base=base, pooler=pooler)
        tensors = load_file(tmp_path / f"{pooler}" / "model.safetensors")
        assert ("pooler.dense.bias" in tensors) == pooler


@pytest.mark.slow
def test_a_run_pools_as_it_says_or_else_as_its_base_does(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=1, dropout=0.0)
    base = Path(config.encoder)
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    module = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    (base / "modules.json").write_text(json.dumps([module]))
    losses = {}
    for stated, pooling in ((None, "cls"), ("mean", "mean")):
        changed, folder = dataclasses.replace(config, pooling=stated), tmp_path / pooling
        train(changed, folder)
        losses[pooling] = json.loads((folder / "metrics.jsonl").read_text())["loss"]
        export(changed, folder, folder / "encoder")
        assert TextEncoder.open(folder / "encoder").head.pooling == pooling
        assert f"; {pooling} pooling." in (folder / "encoder" / "README.md").read_text()
    assert losses["cls"] != losses["mean"]
    with pytest.raises(ValueError, match="holds a run with pooling None, not 'mean'"):
        train(dataclasses.replace(config, pooling="mean"), tmp_path / "cls")
