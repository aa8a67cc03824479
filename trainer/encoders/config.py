"""The shape of an encoder, in one set of names for all families."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderConfig:
    """What the modules are built from. Fields that a BERT `config.json` has too bear its names.

    The defaults are BERT's. `trainer.encoders.families` reads and writes other families' keys.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    """Rows of the position table."""
    type_vocab_size: int = 2
    """Rows of the token-type table, of which the first is added to every token; 0: no such table."""
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    """Standard deviation of random kernels and tables."""
    pad_token_id: int = 0
    first_position: int = 0
    """Row of the position table that a text's first token takes."""
    relative_attention_num_buckets: int = 0
    """Rows of the table of relative positions that all layers share; 0: no such table."""
    model_type: str = "bert"
    """The family, as `config.json` names it."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size is {self.hidden_size}; expected a multiple of num_attention_heads "
                f"({self.num_attention_heads}); correct config.json"
            )

    @property
    def max_tokens(self) -> int:
        """Most tokens a text can have: the positions from `first_position` on."""
        return self.max_position_embeddings - self.first_position

    def check_inputs(self, *, vocabulary: int, longest: int) -> None:
        """Raises ValueError unless ids below `vocabulary` and texts of `longest` tokens are in the tables.

        Compiled code cannot raise: there an id beyond its table looks up NaN.
        """
        if vocabulary > self.vocab_size:
            raise ValueError(
                f"the tokenizer has {vocabulary:,} ids; expected at most the encoder's {self.vocab_size:,} "
                "(vocab_size); use the tokenizer.json this encoder came with"
            )
        if longest > self.max_tokens:
            raise ValueError(
                f"texts may have {longest:,} tokens; expected at most the encoder's {self.max_tokens:,}; "
                "lower max_seq_length in sentence_bert_config.json or the run's limits"
            )
