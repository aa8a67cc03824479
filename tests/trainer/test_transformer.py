"""The modules that all families share."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import TINY, one_a_row, tiny_encoder
from flax import nnx

from trainer.encoders.config import EncoderConfig
from trainer.encoders.transformer import REMATS, Encoder, gelu

TEXTS = [[1, 5, 6, 2], [1, 7, 2]]


def test_ids_under_padding_change_no_text():
    encoder = tiny_encoder()
    tokens, segments, positions = one_a_row(TEXTS, 8)
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
    inputs = one_a_row(TEXTS, 8)
    exact, short = (tiny_encoder(dtype=dtype)(*inputs) for dtype in ("float32", "bfloat16"))
    assert short.dtype == jnp.bfloat16
    difference = np.abs(np.asarray(exact) - np.asarray(short, np.float32))[inputs[1] > 0]
    assert 0 < difference.max() < 0.1


def equations(encoder: Encoder, primitive: str) -> list[str]:
    """The encoder's operations of one kind, with the types of their operands."""
    jaxpr = jax.make_jaxpr(lambda *inputs: encoder(*inputs))(*one_a_row(TEXTS, 8))
    operands = [(eq, " ".join(str(var.aval) for var in eq.invars)) for eq in jaxpr.eqns]
    return [f"{eq} of {kinds}" for eq, kinds in operands if str(eq.primitive) == primitive]


@pytest.mark.parametrize(("dtype", "asked"), [("float32", True), ("bfloat16", False)])
def test_float32_asks_every_device_for_float32_products(dtype, asked):
    products = equations(tiny_encoder(dtype=dtype, layers=1), "dot_general")
    assert len(products) == 8  # four projections, two of attention, two of the perceptron
    assert all(("HIGHEST" in product) == asked for product in products)


def test_bfloat16_normalises_in_float32_with_float32_scales():
    roots = equations(tiny_encoder(dtype="bfloat16", layers=1), "rsqrt")
    assert len(roots) == 3 and all("of float32" in root for root in roots)
    graphdef, variables = nnx.split(tiny_encoder(dtype="bfloat16", layers=1))
    inputs, params = one_a_row([[1] * 32] * 64, 32), nnx.to_pure_dict(variables)
    gradient = jax.grad(lambda p: nnx.merge(graphdef, p)(*inputs).astype(jnp.float32).sum())(params)
    # Each of 2048 tokens sends 1: a sum in bfloat16 would have stopped at 256.
    np.testing.assert_allclose(gradient["layers"][0]["norm"]["bias"], 2048, rtol=1e-6)


def test_parameters_stay_float32_whatever_the_compute_type():
    leaves = jax.tree.leaves(nnx.state(tiny_encoder(dtype="bfloat16")))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_no_module_holds_random_state():
    kinds = {type(variable) for _, variable in nnx.to_flat_state(nnx.state(tiny_encoder(dropout=0.1)))}
    assert kinds == {nnx.Param}


@pytest.mark.parametrize("remat", REMATS[1:])
def test_what_is_computed_again_changes_no_gradient_dropout_on(remat):
    relative = dataclasses.replace(TINY, relative_attention_num_buckets=32)

    def gradients(remat):
        graphdef, variables = nnx.split(Encoder(relative, dropout=0.3, remat=remat, rngs=nnx.Rngs(0)))
        inputs = one_a_row(TEXTS, 8)

        def total(params):
            return jnp.sum(nnx.merge(graphdef, params)(*inputs, jax.random.key(3))[..., 0])

        return jax.tree.leaves(jax.jit(jax.grad(total))(nnx.to_pure_dict(variables)))

    for left, right in zip(gradients("none"), gradients(remat), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5 * max(1, np.abs(left).max()))


def test_each_choice_of_remat_keeps_less_for_the_backward_pass():
    def kept(remat) -> int:
        encoder = Encoder(TINY, remat=remat, rngs=nnx.Rngs(0))
        graphdef, variables = nnx.split(encoder)
        params = nnx.to_pure_dict(variables)
        inputs = one_a_row(TEXTS * 8, 32)
        backward = jax.eval_shape(lambda p: jax.vjp(lambda q: nnx.merge(graphdef, q)(*inputs), p)[1], params)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))

    none, dots, full = (kept(remat) for remat in ("none", "dots", "full"))
    assert full < dots < none


def test_an_unknown_remat_is_refused():
    with pytest.raises(ValueError, match="remat is 'some'; expected one of none, full, dots"):
        Encoder(TINY, remat="some", rngs=nnx.Rngs(0))  # pyright: ignore[reportArgumentType]


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


def test_gelu_is_the_exact_one_and_so_is_its_gradient():
    x = jnp.linspace(-6, 6, 101)
    exact = partial(jax.nn.gelu, approximate=False)
    np.testing.assert_allclose(gelu(x), exact(x), atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(gelu))(x), jax.vmap(jax.grad(exact))(x), atol=1e-6)
    assert np.abs(np.asarray(gelu(x) - jax.nn.gelu(x, approximate=True))).max() > 1e-5


def test_gelu_of_bfloat16_is_that_of_float32_rounded_once():
    x = jnp.linspace(-6, 6, 101).astype(jnp.bfloat16)
    np.testing.assert_array_equal(gelu(x), gelu(x.astype(jnp.float32)).astype(jnp.bfloat16))


def test_rows_longer_than_the_position_table_are_refused():
    rows = jnp.zeros((1, 33), jnp.int32)
    with pytest.raises(ValueError, match="rows have 33 tokens; expected at most the encoder's 32"):
        tiny_encoder()(rows, rows, rows)


def test_heads_must_divide_the_hidden_size():
    with pytest.raises(ValueError, match="hidden_size is 16; expected a multiple of num_attention_heads"):
        EncoderConfig(50, 16, 2, 3, 32)


def test_ids_and_texts_beyond_the_tables_are_refused_by_the_host():
    config = EncoderConfig(50, 16, 2, 2, 32, max_position_embeddings=34, first_position=2)
    config.check_inputs(vocabulary=50, longest=32)
    with pytest.raises(ValueError, match="tokenizer has 51 ids; expected at most the encoder's 50"):
        config.check_inputs(vocabulary=51, longest=32)
    with pytest.raises(ValueError, match="texts may have 33 tokens; expected at most the encoder's 32"):
        config.check_inputs(vocabulary=50, longest=33)
