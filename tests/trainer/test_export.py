"""The encoder folder that a run leaves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from corpora import write_run
from tokenizers import Tokenizer

from trainer.config import TrainConfig
from trainer.encode import TextEncoder
from trainer.export import ExportOptions, export
from trainer.train import train

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    root = tmp_path_factory.mktemp("run")
    config = write_run(root, steps=6)
    train(config, root / "run")
    return config, root / "run"


def test_the_folder_encodes_as_the_trained_parameters_do(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    assert export(config, folder, tmp_path / "encoder") == 6
    trained = TextEncoder.open(tmp_path / "encoder").encode(TEXTS)
    base = TextEncoder.open(config.encoder).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(trained, axis=1), 1, rtol=1e-6)
    assert np.abs(trained - base).max() > 1e-3


def test_an_earlier_checkpoint_can_be_exported(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    assert export(config, folder, tmp_path / "early", step=5) == 5
    export(config, folder, tmp_path / "late")
    early, late = (TextEncoder.open(tmp_path / name).encode(TEXTS) for name in ("early", "late"))
    assert np.abs(early - late).max() > 1e-5


def test_exporting_twice_gives_the_same_bytes(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    for name in ("one", "two"):
        export(config, folder, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_folder_that_is_no_encoder_is_left_alone(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not an encoder folder"):
        export(config, folder, tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("refused", ["mixture", "step"])
def test_an_export_that_is_refused_leaves_no_folder(
    run: tuple[TrainConfig, Path], tmp_path: Path, refused: str
) -> None:
    config, folder = run
    if refused == "mixture":
        config = dataclasses.replace(config, mixture=str(tmp_path / "nowhere.json"))
    with pytest.raises(FileNotFoundError):
        export(config, folder, tmp_path / "new" / "encoder", step=3 if refused == "step" else None)
    with pytest.raises(FileNotFoundError):
        export(config, tmp_path / "no run", tmp_path / "new" / "encoder")
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_it_was_trained_on(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    export(config, folder, tmp_path / "encoder")
    card = (tmp_path / "encoder" / "README.md").read_text()
    assert "| a | text → text | 200 | 2 | 66.7% |" in card
    assert "Not evaluated yet" in card


@pytest.mark.parametrize(("similarity", "last"), [("cosine", "2_Normalize"), ("dot", "1_Pooling")])
def test_an_encoder_of_dot_products_is_not_brought_to_unit_length(
    run: tuple[TrainConfig, Path], tmp_path: Path, similarity: str, last: str
) -> None:
    config, folder = run
    changed = dataclasses.replace(config, loss=dataclasses.replace(config.loss, similarity=similarity))
    export(changed, folder, tmp_path / "encoder")
    modules = json.loads((tmp_path / "encoder" / "modules.json").read_text())
    assert modules[-1]["path"] == last
    said = json.loads((tmp_path / "encoder" / "config_sentence_transformers.json").read_text())
    assert said["similarity_fn_name"] == similarity
    lengths = np.linalg.norm(TextEncoder.open(tmp_path / "encoder").encode(TEXTS), axis=1)
    assert np.allclose(lengths, 1, atol=1e-5) == (similarity == "cosine")


def test_the_card_says_how_it_was_trained_and_how_vectors_are_compared(
    run: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    config, folder = run
    export(config, folder, tmp_path / "cosine")
    card = (tmp_path / "cosine" / "README.md").read_text()
    assert "unit length and are compared by cosine" in card and "Scaled-cosine softmax" in card
    assert "8 × cpu" in card and "minutes of training" in card and '"batch_size": 16' in card
    dot = dataclasses.replace(config, loss=dataclasses.replace(config.loss, similarity="dot"))
    export(dot, folder, tmp_path / "dot", options=ExportOptions(dtype="bfloat16"))
    card = (tmp_path / "dot" / "README.md").read_text()
    assert "compared by dot product" in card and "Dot-product softmax" in card and "cosine" not in card.lower()
    assert "stored in bfloat16" in card


def test_bfloat16_weights_are_close_and_half_the_size(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    export(config, folder, tmp_path / "whole")
    export(config, folder, tmp_path / "half", options=ExportOptions(dtype="bfloat16"))
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    half, whole = (TextEncoder.open(tmp_path / name).encode(TEXTS) for name in ("half", "whole"))
    assert (half * whole).sum(axis=1).min() > 0.999 and np.abs(half - whole).max() > 1e-5


def test_prompts_and_the_tokenizers_limit_are_written(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    export(config, folder, tmp_path / "encoder", options=ExportOptions(prompts={"query": "w1 "}))
    assert TextEncoder.open(tmp_path / "encoder").prompts.named == {"query": "w1 "}
    tokenizer = Tokenizer.from_file(str(tmp_path / "encoder" / "tokenizer.json"))
    assert [len(each.ids) for each in tokenizer.encode_batch(["w1 " * 99, "w2"])] == [32, 32]
    assert len(tokenizer.encode("w2").ids) == 3
    document = json.loads((tmp_path / "encoder" / "tokenizer_config.json").read_text())
    assert document["model_max_length"] == 32
