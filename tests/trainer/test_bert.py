from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import TINY, one_a_row, tiny_encoder
from flax import nnx
from safetensors.numpy import save_file

from trainer.encoders.bert import BertConfig, BertEncoder, dropout, gelu
from trainer.encoders.weights import load_encoder

PARITY = Path(__file__).parents[1] / "parity" / "bert.npz"


@pytest.fixture(scope="module")
def parity() -> dict[str, np.ndarray]:
    with np.load(PARITY) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def parity_encoder(parity, tmp_path_factory) -> BertEncoder:
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "config.json").write_text(str(parity["config"]))
    prefix = "weight/"
    weights = {name.removeprefix(prefix): array for name, array in parity.items() if name.startswith(prefix)}
    save_file(weights, folder / "model.safetensors")
    return load_encoder(folder)


def parity_texts(parity) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(parity["tokens"], parity["lengths"], strict=True)]


def test_hidden_states_of_padded_texts_are_those_of_transformers(parity, parity_encoder):
    texts = parity_texts(parity)
    hidden = np.asarray(parity_encoder(*one_a_row(texts, 16)))
    for row, text in enumerate(texts):
        np.testing.assert_allclose(hidden[row, : len(text)], parity["hidden"][row, : len(text)], atol=1e-5)


def test_hidden_states_of_texts_that_share_a_row_are_those_of_transformers(parity, parity_encoder):
    texts = parity_texts(parity)
    tokens = jnp.array([texts[1] + texts[2]])
    segments = jnp.array([[4] * 7 + [9] * 3])  # the second text has 7 tokens, the third 3
    positions = jnp.array([[*range(7), *range(3)]])
    hidden = np.asarray(parity_encoder(tokens, segments, positions))[0]
    np.testing.assert_allclose(hidden[:7], parity["hidden"][1, :7], atol=1e-5)
    np.testing.assert_allclose(hidden[7:], parity["hidden"][2, :3], atol=1e-5)


def test_ids_under_padding_change_no_text():
    encoder = tiny_encoder()
    tokens, segments, positions = one_a_row([[1, 5, 6, 2], [1, 7, 2]], 8)
    other = jnp.where(segments == 0, 33, tokens)
    before, after = (np.asarray(encoder(ids, segments, positions)) for ids in (tokens, other))
    np.testing.assert_array_equal(before[segments > 0], after[segments > 0])
    assert not np.array_equal(before, after)


def test_rows_of_padding_alone_give_finite_values_and_gradients():
    graphdef, variables = nnx.split(tiny_encoder(layers=1))
    tokens = segments = positions = jnp.zeros((2, 8), jnp.int32)

    def total(params):
        hidden = nnx.merge(graphdef, params)(tokens, segments, positions, jax.random.key(0))
        return jnp.sum(hidden**2)

    value, gradients = jax.value_and_grad(total)(nnx.to_pure_dict(variables))
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_bfloat16_computes_in_bfloat16_near_the_float32_result():
    inputs = one_a_row([[1, 5, 6, 2], [1, 7, 2]], 8)
    exact, short = (tiny_encoder(dtype=dtype)(*inputs) for dtype in ("float32", "bfloat16"))
    assert short.dtype == jnp.bfloat16
    difference = np.abs(np.asarray(exact) - np.asarray(short, np.float32))[inputs[1] > 0]
    assert 0 < difference.max() < 0.1


def test_parameters_stay_float32_whatever_the_compute_type():
    leaves = jax.tree.leaves(nnx.state(tiny_encoder(dtype="bfloat16")))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_no_module_holds_random_state():
    kinds = {type(variable) for _, variable in nnx.to_flat_state(nnx.state(tiny_encoder(dropout=0.1)))}
    assert kinds == {nnx.Param}


def test_dropout_follows_its_key_and_nothing_else():
    encoder = tiny_encoder(dropout=0.5)
    inputs = one_a_row([[1, 5, 6, 2]], 8)
    first, same, other = (encoder(*inputs, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(encoder(*inputs), tiny_encoder(dropout=0.0)(*inputs, jax.random.key(0)))


def test_the_dropout_rates_are_the_configs_unless_overridden():
    assert tiny_encoder().layers[0].attention.dropout == TINY.attention_probs_dropout_prob == 0.1
    assert tiny_encoder(dropout=0.25).layers[0].attention.dropout == 0.25
    assert tiny_encoder(dropout=0.0).hidden_dropout == 0.0


@pytest.mark.parametrize("shape", [(100, 1000), (101, 1000)])
def test_dropout_zeroes_the_stated_share_and_keeps_the_mean(shape):
    dropped = np.asarray(dropout(jnp.ones(shape), 0.1, jax.random.key(0)))
    assert dropped.shape == shape
    assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.005)
    assert dropped.mean() == pytest.approx(1, abs=0.005)
    assert dropped.max() == pytest.approx(1 / 0.9, rel=1e-4)


def test_dropout_decides_each_element_on_its_own():
    dropped = np.asarray(dropout(jnp.ones((2, 100_000)), 0.5, jax.random.key(0))) == 0
    # Both rows come from one set of random words, low and high half.
    assert (dropped[0] & dropped[1]).mean() == pytest.approx(0.25, abs=0.01)


def test_gelu_is_the_exact_one():
    x = jnp.array([-3.0, -1.0, 0.0, 0.5, 2.0])
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=1e-6)
    assert np.abs(np.asarray(gelu(x) - jax.nn.gelu(x, approximate=True))).max() > 1e-5


def test_rows_longer_than_the_position_table_are_refused():
    rows = jnp.zeros((1, 33), jnp.int32)
    with pytest.raises(ValueError, match="rows have 33 tokens; expected at most the encoder's 32"):
        tiny_encoder()(rows, rows, rows)


@pytest.mark.parametrize(
    ("key", "value"),
    [("model_type", "mpnet"), ("hidden_act", "gelu_new"), ("position_embedding_type", "relative_key")],
)
def test_a_config_of_another_model_is_refused_in_one_line(key, value):
    with pytest.raises(ValueError, match=f"{key} is '{value}'; expected") as caught:
        BertConfig.from_dict(TINY.to_dict() | {key: value})
    assert "\n" not in str(caught.value)


def test_a_config_without_a_needed_key_is_refused_by_name():
    document = TINY.to_dict()
    del document["intermediate_size"]
    with pytest.raises(ValueError, match="no 'intermediate_size'"):
        BertConfig.from_dict(document)


def test_heads_must_divide_the_hidden_size():
    with pytest.raises(ValueError, match="hidden_size is 16; expected a multiple of num_attention_heads"):
        BertConfig.from_dict(TINY.to_dict() | {"num_attention_heads": 3})


def test_a_config_survives_its_json():
    assert BertConfig.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
