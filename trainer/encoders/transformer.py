"""The transformer that all families share, as Flax modules that read packed rows.

The block is that of Vaswani et al., "Attention Is All You Need" (2017), with layer norms after the
residuals. There is no pooler: embeddings are pooled from the last hidden states. Numbers agree with
`transformers` on a text alone in its row, and are the same when the row holds other texts too.

Parameters are float32. `dtype` is that of activations and matrix products; layer norms, softmax and
the activation function are computed in float32 whatever it is, and with float32 the products are
float32 on every device, not a faster type that the device would choose.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.config import Remat
from trainer.encoders.attention import Method, attention
from trainer.encoders.config import EncoderConfig
from trainer.encoders.dropout import Dropout
from trainer.encoders.relative import RelativeBias

REMATS: tuple[Remat, ...] = get_args(Remat)


class Encoder(nnx.Module):
    """Token ids → last hidden states; every operation is independent for each row."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        dtype: Any = jnp.float32,
        param_dtype: Any = jnp.float32,
        dropout: float | None = None,
        remat: Remat = "none",
        method: Method | None = None,
        rngs: nnx.Rngs,
    ):
        """A randomly initialised encoder.

        `dtype` is that of activations; `dropout` (None: the config's) overrides both rates;
        `remat` says what a layer keeps for the backward pass: `none` of it is computed again,
        `full`, all is, or all but its products with parameters, `dots`; `method` is attention's.
        """
        if remat not in REMATS:
            raise ValueError(f"remat is {remat!r}; expected one of {', '.join(REMATS)}")
        self.config = config
        self.dtype = jnp.dtype(dtype)
        self.remat: Remat = remat
        self.hidden_dropout = config.hidden_dropout_prob if dropout is None else dropout
        self.embeddings = Embeddings(config, param_dtype, rngs)
        relative = config.relative_attention_num_buckets > 0
        self.relative_bias = RelativeBias(config, param_dtype, rngs) if relative else None
        self.layers = nnx.List(
            [Layer(config, self.dtype, param_dtype, dropout, method, rngs) for _ in range(config.num_hidden_layers)]
        )

    def __call__(
        self,
        tokens: jax.Array,
        segments: jax.Array,
        positions: jax.Array,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        """Hidden states of every token.

        tokens, segments and positions are int32[R, L]: ids, the number of the text a token belongs
        to (0: padding; a number never spans rows) and its place in that text, from 0. A text's
        tokens stand side by side. Without a key there is no dropout. Returns `dtype`[R, L, H]; what
        stands under padding is finite and meaningless.

        Raises ValueError for rows longer than a text can be.
        """
        length = tokens.shape[1]
        if length > self.config.max_tokens:
            raise ValueError(
                f"rows have {length} tokens; expected at most the encoder's "
                f"{self.config.max_tokens} positions; shorten the rows"
            )
        hidden = self.embeddings(tokens, positions).astype(self.dtype)
        drop = None if dropout_key is None else Dropout.of(dropout_key, segments, positions)
        hidden = _drop(hidden, self.hidden_dropout, drop, 0)
        # Padding counts as one text more: it sees itself, so that no softmax runs over nothing.
        same_text = segments[:, :, None] == segments[:, None, :]
        bias = None if self.relative_bias is None else self.relative_bias(length)
        for number, layer in enumerate(self.layers, start=1):
            hidden = _apply(layer, self.remat, hidden, same_text, bias, drop and drop.fold_in(number))
        return hidden


class Embeddings(nnx.Module):
    """Word, position and type tables, added and normalised.

    Computed in float32 whatever the compute type: rows of a table cast to bfloat16 would also sum
    their gradients in bfloat16, and [CLS] collects one from every text.
    """

    def __init__(self, config: EncoderConfig, param_dtype: Any, rngs: nnx.Rngs):
        def table(rows: int) -> nnx.Embed:
            return nnx.Embed(
                rows,
                config.hidden_size,
                dtype=jnp.float32,
                param_dtype=param_dtype,
                embedding_init=nnx.initializers.normal(config.initializer_range),
                rngs=rngs,
            )

        self.first_position = config.first_position
        self.word = table(config.vocab_size)
        self.position = table(config.max_position_embeddings)
        self.token_type = table(config.type_vocab_size) if config.type_vocab_size else None
        self.norm = _layer_norm(config, param_dtype, rngs)

    def __call__(self, tokens: jax.Array, positions: jax.Array) -> jax.Array:
        """int32[R, L] ids and places → float32[R, L, H]; every token has type 0."""
        total = self.word(tokens) + self.position(positions + self.first_position)
        if self.token_type is not None:
            total += self.token_type.embedding[...][0]
        return self.norm(total)


class Layer(nnx.Module):
    """Attention, then a two-layer perceptron; each with its residual and layer norm after."""

    def __init__(
        self,
        config: EncoderConfig,
        dtype: Any,
        param_dtype: Any,
        dropout: float | None,
        method: Method | None,
        rngs: nnx.Rngs,
    ):
        self.hidden_dropout = config.hidden_dropout_prob if dropout is None else dropout
        self.attention = Attention(config, dtype, param_dtype, dropout, method, rngs)
        self.attention_norm = _layer_norm(config, param_dtype, rngs)
        self.up = _linear(config, config.hidden_size, config.intermediate_size, dtype, param_dtype, rngs)
        self.down = _linear(config, config.intermediate_size, config.hidden_size, dtype, param_dtype, rngs)
        self.norm = _layer_norm(config, param_dtype, rngs)

    def __call__(
        self, hidden: jax.Array, same_text: jax.Array, bias: jax.Array | None, drop: Dropout | None
    ) -> jax.Array:
        attended = self.attention(hidden, same_text, bias, drop)
        attended = _drop(attended, self.hidden_dropout, drop, 1)
        hidden = _add_and_normalise(self.attention_norm, hidden, attended)
        transformed = self.down(gelu(self.up(hidden)))
        transformed = _drop(transformed, self.hidden_dropout, drop, 2)
        return _add_and_normalise(self.norm, hidden, transformed)


class Attention(nnx.Module):
    """Multi-head self-attention in which a token sees the tokens of its own text alone."""

    def __init__(
        self,
        config: EncoderConfig,
        dtype: Any,
        param_dtype: Any,
        dropout: float | None,
        method: Method | None,
        rngs: nnx.Rngs,
    ):
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob if dropout is None else dropout
        self.method: Method | None = method
        self.query = _linear(config, width, width, dtype, param_dtype, rngs)
        self.key = _linear(config, width, width, dtype, param_dtype, rngs)
        self.value = _linear(config, width, width, dtype, param_dtype, rngs)
        self.output = _linear(config, width, width, dtype, param_dtype, rngs)

    def __call__(
        self, hidden: jax.Array, same_text: jax.Array, bias: jax.Array | None, drop: Dropout | None
    ) -> jax.Array:
        """hidden [R, L, H], same_text bool[R, query, key], bias as for `attention` → [R, L, H]."""
        rows, length, width = hidden.shape
        query, keys, value = (
            project(hidden).reshape(rows, length, self.heads, -1) for project in (self.query, self.key, self.value)
        )
        drop_weights = None if drop is None or not self.dropout else partial(drop.fold_in(0).weights, rate=self.dropout)
        attended = attention(query, keys, value, same_text, bias, drop_weights, method=self.method)
        return self.output(attended.reshape(rows, length, width))


@jax.custom_jvp
def gelu(x: jax.Array) -> jax.Array:
    """x Φ(x), Φ being the normal distribution's, computed in float32; the result has the type of x.

    Φ is had from erf, as jax.nn's erfc is three times slower on a CPU. The derivative is stated so
    that one array of x's type is kept for it.
    """
    wide = x.astype(jnp.float32)
    return (wide * _normal_cdf(wide)).astype(x.dtype)


@gelu.defjvp
def _gelu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    wide = x.astype(jnp.float32)
    density = jnp.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    return gelu(x), (_normal_cdf(wide) + wide * density).astype(x.dtype) * tangent


def _normal_cdf(x: jax.Array) -> jax.Array:
    return 0.5 * (1 + jax.lax.erf(x * 0.5**0.5))


def _drop(hidden: jax.Array, rate: float, drop: Dropout | None, number: int) -> jax.Array:
    return hidden if drop is None else drop.fold_in(number).hidden(hidden, rate)


def _apply(layer: Layer, remat: Remat, *inputs: Any) -> jax.Array:
    if remat == "none":
        return layer(*inputs)
    graphdef, params = nnx.split(layer)
    # Products without batch dimensions are those with parameters; attention's have rows and heads.
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
    run = jax.checkpoint(lambda params, *inputs: nnx.merge(graphdef, params)(*inputs), policy=policy)
    return run(params, *inputs)


def _add_and_normalise(norm: nnx.LayerNorm, hidden: jax.Array, change: jax.Array) -> jax.Array:
    """In float32, and back to the type of `hidden`."""
    return norm(hidden.astype(jnp.float32) + change.astype(jnp.float32)).astype(hidden.dtype)


def _linear(config: EncoderConfig, inputs: int, outputs: int, dtype: Any, param_dtype: Any, rngs: nnx.Rngs):
    return nnx.Linear(
        inputs,
        outputs,
        dtype=dtype,
        param_dtype=param_dtype,
        precision=jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None,
        kernel_init=nnx.initializers.normal(config.initializer_range),
        rngs=rngs,
    )


def _layer_norm(config: EncoderConfig, param_dtype: Any, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.hidden_size,
        epsilon=config.layer_norm_eps,
        dtype=jnp.float32,
        param_dtype=param_dtype,
        use_fast_variance=False,  # E[x²] - E[x]² cancels; parity to 1e-5 needs the plain form
        rngs=rngs,
    )
