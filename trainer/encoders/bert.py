"""BERT as a Flax module that reads packed rows.

The model is that of Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
Language Understanding" (2019), post-layer-norm, with its pooler left out: the embedding is pooled
from the last hidden states. Numbers agree with `transformers.BertModel` on a text alone in its
row, and are the same when the row holds other texts too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

HALF_WORD = 1 << 16  # a dropout decision takes half a random word


@dataclass(frozen=True)
class BertConfig:
    """The keys of a Hugging Face `config.json` that shape the model, under their own names."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size is {self.hidden_size}; expected a multiple of num_attention_heads "
                f"({self.num_attention_heads}); correct config.json"
            )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> BertConfig:
        """Reads a parsed `config.json`; keys that do not shape the model are ignored.

        Raises ValueError when the model is none that this module computes, or a key is missing.
        """
        for key, supported in (
            ("model_type", "bert"),
            ("hidden_act", "gelu"),
            ("position_embedding_type", "absolute"),
        ):
            found = document.get(key) or supported
            if found != supported:
                raise ValueError(f"{key} is {found!r}; expected {supported!r}; choose a BERT encoder that has it")
        fields = dataclasses.fields(cls)
        missing = [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in document]
        if missing:
            raise ValueError(f"config.json has no {missing[0]!r}; expected a Hugging Face BERT config; add the key")
        given = {f.name: document[f.name] for f in fields if document.get(f.name) is not None}
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """A `config.json` document that `from_dict` and `transformers` read."""
        fixed = {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
        }
        return fixed | dataclasses.asdict(self)


class BertEncoder(nnx.Module):
    """Token ids → last hidden states; every operation is independent for each row."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: Any = jnp.float32,
        param_dtype: Any = jnp.float32,
        dropout: float | None = None,
        rngs: nnx.Rngs,
    ):
        """`dtype` is that of activations; `dropout` (None: the config's) overrides both rates."""
        self.config = config
        self.dtype = jnp.dtype(dtype)
        self.hidden_dropout = config.hidden_dropout_prob if dropout is None else dropout
        self.embeddings = Embeddings(config, param_dtype, rngs)
        self.layers = nnx.List(
            [Layer(config, self.dtype, param_dtype, dropout, rngs) for _ in range(config.num_hidden_layers)]
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
        to (0: padding; a number never spans rows) and its place in that text. Without a key there
        is no dropout. Returns `dtype`[R, L, H]; what stands under padding is finite and meaningless.

        Raises ValueError for rows longer than the position table.
        """
        if tokens.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"rows have {tokens.shape[1]} tokens; expected at most the encoder's "
                f"{self.config.max_position_embeddings} positions; shorten the rows"
            )
        hidden = self.embeddings(tokens, positions).astype(self.dtype)
        hidden = dropout(hidden, self.hidden_dropout, _fold_in(dropout_key, 0))
        # Padding counts as one text more: it sees itself, so that no softmax runs over nothing.
        same_text = segments[:, :, None] == segments[:, None, :]
        for number, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden, same_text, _fold_in(dropout_key, number))
        return hidden


class Embeddings(nnx.Module):
    """Word, position and type tables, added and normalised.

    Computed in float32 whatever the compute type: rows of a table cast to bfloat16 would also sum
    their gradients in bfloat16, and [CLS] collects one from every text.
    """

    def __init__(self, config: BertConfig, param_dtype: Any, rngs: nnx.Rngs):
        def table(rows: int) -> nnx.Embed:
            return nnx.Embed(
                rows,
                config.hidden_size,
                dtype=jnp.float32,
                param_dtype=param_dtype,
                embedding_init=nnx.initializers.normal(config.initializer_range),
                rngs=rngs,
            )

        self.word = table(config.vocab_size)
        self.position = table(config.max_position_embeddings)
        self.token_type = table(config.type_vocab_size)
        self.norm = _layer_norm(config, jnp.float32, param_dtype, rngs)

    def __call__(self, tokens: jax.Array, positions: jax.Array) -> jax.Array:
        """int32[R, L] ids and places → float32[R, L, H]; every token has type 0."""
        return self.norm(self.word(tokens) + self.position(positions) + self.token_type(jnp.zeros_like(tokens)))


class Layer(nnx.Module):
    """Attention, then a two-layer perceptron; each with its residual and layer norm after."""

    def __init__(self, config: BertConfig, dtype: Any, param_dtype: Any, dropout: float | None, rngs: nnx.Rngs):
        self.hidden_dropout = config.hidden_dropout_prob if dropout is None else dropout
        self.attention = Attention(config, dtype, param_dtype, dropout, rngs)
        self.attention_norm = _layer_norm(config, dtype, param_dtype, rngs)
        self.up = _linear(config, config.hidden_size, config.intermediate_size, dtype, param_dtype, rngs)
        self.down = _linear(config, config.intermediate_size, config.hidden_size, dtype, param_dtype, rngs)
        self.norm = _layer_norm(config, dtype, param_dtype, rngs)

    def __call__(self, hidden: jax.Array, same_text: jax.Array, key: jax.Array | None) -> jax.Array:
        attended = self.attention(hidden, same_text, _fold_in(key, 0))
        attended = dropout(attended, self.hidden_dropout, _fold_in(key, 1))
        hidden = self.attention_norm(hidden + attended)
        transformed = self.down(gelu(self.up(hidden)))
        transformed = dropout(transformed, self.hidden_dropout, _fold_in(key, 2))
        return self.norm(hidden + transformed)


class Attention(nnx.Module):
    """Multi-head self-attention in which a token sees the tokens of its own text alone."""

    def __init__(self, config: BertConfig, dtype: Any, param_dtype: Any, dropout: float | None, rngs: nnx.Rngs):
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob if dropout is None else dropout
        self.query = _linear(config, width, width, dtype, param_dtype, rngs)
        self.key = _linear(config, width, width, dtype, param_dtype, rngs)
        self.value = _linear(config, width, width, dtype, param_dtype, rngs)
        self.output = _linear(config, width, width, dtype, param_dtype, rngs)

    def __call__(self, hidden: jax.Array, same_text: jax.Array, key: jax.Array | None) -> jax.Array:
        """hidden [R, L, H], same_text bool[R, query, key] → [R, L, H]; the softmax is float32."""
        rows, length, width = hidden.shape

        def by_head(projected: jax.Array) -> jax.Array:
            # Heads before tokens: as batch dimensions first, the two products run a third faster.
            return projected.reshape(rows, length, self.heads, -1).swapaxes(1, 2)

        query, keys, value = (by_head(project(hidden)) for project in (self.query, self.key, self.value))
        scale = query.shape[-1] ** -0.5
        logits = jnp.einsum("rhqd,rhkd->rhqk", query * scale, keys, preferred_element_type=jnp.float32)
        logits = jnp.where(same_text[:, None], logits, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(hidden.dtype)
        weights = dropout(weights, self.dropout, key)
        attended = jnp.einsum("rhqk,rhkd->rhqd", weights, value)
        return self.output(attended.swapaxes(1, 2).reshape(rows, length, width))


def gelu(x: jax.Array) -> jax.Array:
    """x Φ(x), Φ being the normal distribution's; by erf, as jax.nn's erfc is three times slower on a CPU."""
    return x * 0.5 * (1 + jax.lax.erf(x * 0.5**0.5))


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Zeroes each element with probability `rate` and rescales the others; no key, no dropout.

    The rate is taken to the nearest 1/65536 and the rescaling is exact for that, so that one
    random word decides for two elements: random bits are a good part of a step's cost.
    """
    threshold = round(rate * HALF_WORD)
    if key is None or threshold == 0:
        return x
    rows = x.shape[0]
    words = jax.random.bits(key, ((rows + 1) // 2, *x.shape[1:]), jnp.uint32)
    halves = jnp.concatenate([words & (HALF_WORD - 1), words >> 16])[:rows]
    return jnp.where(halves >= threshold, x * (HALF_WORD / (HALF_WORD - threshold)), jnp.zeros_like(x))


def _fold_in(key: jax.Array | None, number: int) -> jax.Array | None:
    return None if key is None else jax.random.fold_in(key, number)


def _linear(config: BertConfig, inputs: int, outputs: int, dtype: Any, param_dtype: Any, rngs: nnx.Rngs):
    return nnx.Linear(
        inputs,
        outputs,
        dtype=dtype,
        param_dtype=param_dtype,
        kernel_init=nnx.initializers.normal(config.initializer_range),
        rngs=rngs,
    )


def _layer_norm(config: BertConfig, dtype: Any, param_dtype: Any, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.hidden_size,
        epsilon=config.layer_norm_eps,
        dtype=dtype,
        param_dtype=param_dtype,
        use_fast_variance=False,  # E[x²] - E[x]² cancels; parity to 1e-5 needs the plain form
        rngs=rngs,
    )
