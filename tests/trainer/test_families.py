"""Every family against the numbers that `transformers` gave (tests/parity), and its names."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import one_a_row
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from trainer.encoders.families import FAMILIES, read_encoder_config
from trainer.encoders.transformer import Encoder
from trainer.encoders.weights import init_encoder, load_encoder, save_encoder
from trainer.pooling import pool

PARITY = Path(__file__).parents[1] / "parity"
SHORTEST = {  # the least that a config.json may say
    "bert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 8},
}

every_family = pytest.mark.parametrize("family", FAMILIES)


@functools.cache
def parity(family: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / f"{family}.npz") as stored:
        return dict(stored)


def tensors(family: str) -> dict[str, np.ndarray]:
    prefix = "weight/"
    return {name.removeprefix(prefix): array for name, array in parity(family).items() if name.startswith(prefix)}


def write_folder(family: str, folder: Path) -> Path:
    (folder / "config.json").write_text(str(parity(family)["config"]))
    save_file(tensors(family), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Encoder]:
    return {family: load_encoder(write_folder(family, tmp_path_factory.mktemp(family))) for family in FAMILIES}


def texts_of(family: str) -> list[list[int]]:
    stored = parity(family)
    return [row[:length].tolist() for row, length in zip(stored["tokens"], stored["lengths"], strict=True)]


@every_family
def test_hidden_states_of_padded_texts_are_those_of_transformers(family, encoders):
    texts = texts_of(family)
    hidden = np.asarray(encoders[family](*one_a_row(texts, 36)))
    for row, text in enumerate(texts):
        np.testing.assert_allclose(hidden[row, : len(text)], parity(family)["hidden"][row, : len(text)], atol=1e-5)


@every_family
def test_hidden_states_of_texts_that_share_a_row_are_those_of_transformers(family, encoders):
    texts = texts_of(family)
    order, row = (2, 3, 1), np.zeros((3, 1, 36), np.int32)
    begin = 1  # a row may begin with padding
    for text in order:
        span = slice(begin, begin + len(texts[text]))
        row[:, 0, span] = texts[text], [9 - text] * len(texts[text]), range(len(texts[text]))
        begin += len(texts[text])
    hidden = np.asarray(encoders[family](*(jnp.asarray(array) for array in row)))[0]
    begin = 1
    for text in order:
        expected = parity(family)["hidden"][text, : len(texts[text])]
        np.testing.assert_allclose(hidden[begin : begin + len(texts[text])], expected, atol=1e-5)
        begin += len(texts[text])


ROWS, LENGTH = 8, 32


@functools.cache
def compiled_embed(encoder: Encoder, mode):
    graphdef, variables = nnx.split(encoder)

    @jax.jit
    def embed(tokens, segments, positions):
        return pool(nnx.merge(graphdef, variables)(tokens, segments, positions), segments, positions, ROWS, mode)

    return embed


@every_family
@settings(max_examples=15)
@given(data=st.data())
def test_packed_texts_have_the_embeddings_of_texts_alone(family, encoders, data):
    lengths = data.draw(st.lists(st.integers(1, LENGTH), min_size=1, max_size=ROWS), label="lengths")
    mode = data.draw(st.sampled_from(["mean", "cls"]), label="pooling")
    order = data.draw(st.permutations(range(len(lengths))), label="order of the texts in their rows")
    rng = np.random.default_rng(data.draw(st.integers(0, 1000), label="seed of the ids"))
    texts = [rng.integers(2, 60, length) for length in lengths]
    alone, packed = np.zeros((2, 3, ROWS, LENGTH), np.int32)
    for number, text in enumerate(texts):
        alone[:, number, : len(text)] = text, [number + 1] * len(text), range(len(text))
    row = column = 0
    for number in order:
        gap = data.draw(st.integers(0, 2), label="padding before the text")
        if column + gap + len(texts[number]) > LENGTH:
            row, column, gap = row + 1, 0, 0
        span = slice(column + gap, column + gap + len(texts[number]))
        packed[:, row, span] = texts[number], [number + 1] * len(texts[number]), range(len(texts[number]))
        column = span.stop
    embed = compiled_embed(encoders[family], mode)
    expected = np.asarray(embed(*alone))
    np.testing.assert_allclose(np.asarray(embed(*packed)), expected, atol=1e-5)
    assert np.abs(expected[: len(texts)]).max(axis=1).min() > 0.1 and not expected[len(texts) :].any()


@every_family
def test_what_is_saved_is_to_the_bit_what_was_loaded(family, encoders, tmp_path):
    (tmp_path / "base").mkdir()
    save_encoder(encoders[family], tmp_path / "saved", base=write_folder(family, tmp_path / "base"))
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert saved.keys() == tensors(family).keys()
    for name, tensor in tensors(family).items():
        assert tensor.tobytes() == saved[name].tobytes(), name
    assert any(name.startswith("pooler.") for name in saved) == (family != "distilbert")
    document = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert document["architectures"] == [FAMILIES[family].architecture]


@every_family
def test_a_checkpoint_with_a_head_loads_as_one_without(family, encoders, tmp_path):
    folder = write_folder(family, tmp_path)

    def old(name: str) -> str:
        for new, former in (("weight", "gamma"), ("bias", "beta")):
            name = name.replace(f"LayerNorm.{new}", f"LayerNorm.{former}")
        return f"{family}.{name}"

    head = {"lm_head.bias": np.zeros(60, np.float32), "cls.predictions.bias": np.zeros(60, np.float32)}
    save_file({old(name): tensor for name, tensor in tensors(family).items()} | head, folder / "model.safetensors")
    loaded = load_encoder(folder)
    pairs = zip(jax.tree.leaves(nnx.state(loaded)), jax.tree.leaves(nnx.state(encoders[family])), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@every_family
def test_a_random_encoder_follows_its_seed_and_can_be_saved_and_loaded(family, tmp_path):
    (tmp_path / "config.json").write_text(str(parity(family)["config"]))
    first, same, other = (init_encoder(tmp_path, seed=seed) for seed in (1, 1, 2))
    save_encoder(first, tmp_path / "saved", base=tmp_path)
    inputs = one_a_row(texts_of(family), 36)
    expected = np.asarray(first(*inputs))
    np.testing.assert_array_equal(expected, np.asarray(same(*inputs)))
    assert np.abs(expected - np.asarray(other(*inputs))).max() > 0.1
    np.testing.assert_array_equal(expected, np.asarray(load_encoder(tmp_path / "saved")(*inputs)))


@every_family
def test_a_config_survives_its_json(family):
    config = read_encoder_config(json.loads(str(parity(family)["config"])))
    written = json.loads(json.dumps(FAMILIES[family].write_config(config)))
    assert read_encoder_config(written) == config


@every_family
def test_a_sparse_config_has_its_familys_defaults(family):
    config = read_encoder_config({"model_type": family, "vocab_size": 30} | SHORTEST.get(family, SHORTEST["bert"]))
    after_padding = family in ("roberta", "mpnet")
    assert config.layer_norm_eps == 1e-12
    assert config.pad_token_id == after_padding and config.first_position == 2 * after_padding
    assert config.relative_attention_num_buckets == (32 if family == "mpnet" else 0)
    assert (config.type_vocab_size > 0) == (family in ("bert", "roberta"))


def test_a_config_that_names_no_family_is_a_berts():
    assert read_encoder_config({"vocab_size": 30} | SHORTEST["bert"]).model_type == "bert"


@pytest.mark.parametrize(("family", "expected"), [("bert", 514), ("distilbert", 514), ("roberta", 512), ("mpnet", 512)])
def test_positions_after_the_padding_id_leave_room_for_fewer_tokens(family, expected):
    shape = SHORTEST.get(family, SHORTEST["bert"]) | {"vocab_size": 30, "max_position_embeddings": 514}
    assert read_encoder_config({"model_type": family} | shape).max_tokens == expected


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("bert", "model_type", "t5"),
        ("bert", "hidden_act", "gelu_new"),
        ("roberta", "position_embedding_type", "relative_key"),
        ("distilbert", "activation", "relu"),
        ("mpnet", "pad_token_id", 0),
    ],
)
def test_a_config_of_another_model_is_refused_in_one_line(family, key, value):
    document = json.loads(str(parity(family)["config"]))
    with pytest.raises(ValueError, match=f"{key} is {value!r}; expected") as caught:
        read_encoder_config(document | {key: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("family", "key"), [("bert", "intermediate_size"), ("distilbert", "hidden_dim")])
def test_a_config_without_a_needed_key_is_refused_by_name(family, key):
    document = json.loads(str(parity(family)["config"]))
    del document[key]
    with pytest.raises(ValueError, match=f"config.json has no '{key}'"):
        read_encoder_config(document)
