from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import tiny_encoder
from flax import nnx
from safetensors import safe_open
from safetensors.flax import save_file as save_jax
from safetensors.numpy import load_file, save_file

from trainer.encoders.transformer import Encoder
from trainer.encoders.weights import init_encoder, load_encoder, save_encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_encoder(tiny_encoder(), tmp_path)
    return tmp_path


def rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors")


def assert_same_parameters(left: Encoder, right: Encoder) -> None:
    pairs = zip(jax.tree.leaves(nnx.state(left)), jax.tree.leaves(nnx.state(right)), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_saved_encoder_loads_as_it_was(folder):
    assert_same_parameters(load_encoder(folder), tiny_encoder())


def test_saving_leaves_two_whole_files_and_nothing_else(folder):
    save_encoder(tiny_encoder(), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    with safe_open(folder / "model.safetensors", framework="numpy") as stored:
        assert stored.metadata() == {"format": "pt"}


def test_a_bfloat16_encoder_is_saved_in_float32(tmp_path):
    save_encoder(tiny_encoder(dtype="bfloat16"), tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {np.dtype("float32")}


def test_weights_stored_in_bfloat16_load_as_float32(folder):
    tensors = load_file(folder / "model.safetensors")
    short = {name: jnp.asarray(tensor, jnp.bfloat16) for name, tensor in tensors.items()}
    save_jax(short, folder / "model.safetensors")
    word = load_encoder(folder).embeddings.word.embedding[...]
    assert word.dtype == jnp.float32
    np.testing.assert_array_equal(word, short["embeddings.word_embeddings.weight"].astype(jnp.float32))


def test_tensors_of_a_pretraining_checkpoint_are_found_and_its_heads_left_out(folder):
    def as_pretraining(tensors):
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        renamed = {}
        for name, tensor in tensors.items():
            for new, former in old.items():
                name = name.replace(new, former)
            renamed[f"bert.{name}"] = tensor
        extra = np.zeros((3, 3), np.float32)
        ids = np.arange(32)[None]
        return renamed | {
            "cls.predictions.bias": extra,
            "bert.pooler.dense.weight": extra,
            "bert.embeddings.position_ids": ids,
        }

    rewrite(folder, as_pretraining)
    assert_same_parameters(load_encoder(folder), tiny_encoder())


def test_the_pooler_and_other_config_keys_of_the_base_are_kept(folder, tmp_path_factory):
    pooler = {
        "pooler.dense.weight": np.eye(16, dtype=np.float32),
        "pooler.dense.bias": np.ones(16, np.float32),
    }
    rewrite(folder, lambda tensors: tensors | pooler)
    document = json.loads((folder / "config.json").read_text()) | {
        "note": "kept",
        "architectures": ["BertForMaskedLM"],
    }
    (folder / "config.json").write_text(json.dumps(document))
    trained = Encoder(load_encoder(folder).config, rngs=nnx.Rngs(7))
    out = tmp_path_factory.mktemp("out")
    save_encoder(trained, out, base=folder)
    stored = load_file(out / "model.safetensors")
    for name, tensor in pooler.items():
        np.testing.assert_array_equal(stored[name], tensor)
    assert_same_parameters(load_encoder(out), trained)
    saved = json.loads((out / "config.json").read_text())
    assert saved["note"] == "kept" and saved["architectures"] == ["BertModel"]


def test_a_missing_tensor_is_refused_by_name(folder):
    rewrite(folder, lambda tensors: {k: v for k, v in tensors.items() if "layer.1.output.dense.bias" not in k})
    with pytest.raises(ValueError, match=r"no tensor encoder\.layer\.1\.output\.dense\.bias"):
        load_encoder(folder)


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(folder):
    name = "encoder.layer.0.intermediate.dense.weight"
    rewrite(folder, lambda tensors: tensors | {name: np.zeros((16, 32), np.float32)})
    with pytest.raises(ValueError, match=r"has shape \(16, 32\); expected \(32, 16\)"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_refused_by_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} not found"):
        load_encoder(folder)


def test_pickled_weights_are_refused_with_the_conversion(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"found: pytorch_model\.bin.*save_pretrained") as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def shard(folder: Path) -> Path:
    """Rewrites the weights as two shards; returns their index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(tensors)}
    for file in set(names.values()):
        save_file({name: tensors[name] for name in names if names[name] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return index


def test_shards_are_read_through_their_index(folder):
    shard(folder)
    assert_same_parameters(load_encoder(folder), tiny_encoder())


def test_a_missing_shard_is_refused_by_name(folder):
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors not found"):
        load_encoder(folder)


@pytest.mark.parametrize("text", ["{ half", "[]", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_is_refused_in_one_line(folder, text):
    shard(folder).write_text(text)
    with pytest.raises(ValueError, match="is no index; expected JSON with a weight_map") as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_an_index_cannot_lead_out_of_its_folder(folder):
    index = shard(folder)
    index.write_text(index.read_text().replace('"model-00001', '"../model-00001', 1))
    with pytest.raises(ValueError, match="expected files of its own folder"):
        load_encoder(folder)


def test_weights_with_more_layers_than_the_config_are_refused(folder):
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"num_hidden_layers": 1}))
    with pytest.raises(ValueError, match=r"has 2 layers; expected 1 from config\.json"):
        load_encoder(folder)


def test_weights_of_another_family_are_refused_in_one_line(folder):
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"model_type": "mpnet", "pad_token_id": 1}))
    with pytest.raises(ValueError, match=r"no tensor .*; expected those of a mpnet encoder"):
        load_encoder(folder)


def test_the_saved_config_states_the_saved_type(folder, tmp_path_factory):
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"torch_dtype": "float16"}))
    out = tmp_path_factory.mktemp("out")
    save_encoder(load_encoder(folder), out, base=folder)
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == "float32"


def test_a_random_encoder_needs_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert_same_parameters(init_encoder(folder, seed=0), tiny_encoder())


@pytest.mark.parametrize(
    ("name", "says"), [("config.json", "is not JSON"), ("model.safetensors", "is not a safetensors file")]
)
def test_a_damaged_file_is_refused_in_one_line(folder, name, says):
    (folder / name).write_bytes(b"{ half")
    with pytest.raises(ValueError, match=says) as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)
