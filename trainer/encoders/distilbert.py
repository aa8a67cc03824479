"""DistilBERT: Sanh et al., "DistilBERT, a distilled version of BERT" (2019).

No token types, names of its own, and an epsilon that its config does not state. Its authors do not
drop out attention's output before the residual; here that is done as in BERT.
"""

from __future__ import annotations

from trainer.encoders.family import Family

DISTILBERT = Family(
    model_type="distilbert",
    architecture="DistilBertModel",
    modules={
        "embeddings.word": "embeddings.word_embeddings",
        "embeddings.position": "embeddings.position_embeddings",
        "embeddings.norm": "embeddings.LayerNorm",
    },
    layers="transformer.layer",
    layer_modules={
        "attention.query": "attention.q_lin",
        "attention.key": "attention.k_lin",
        "attention.value": "attention.v_lin",
        "attention.output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
        "norm": "output_layer_norm",
    },
    must_be={"activation": "gelu"},
    keys={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    },
    fixed={"type_vocab_size": 0, "layer_norm_eps": 1e-12, "relative_attention_num_buckets": 0},
)
