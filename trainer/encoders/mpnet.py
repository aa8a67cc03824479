"""MPNet: Song et al., "MPNet: Masked and Permuted Pre-training for Language Understanding" (2020).

No token types; positions start after the padding id, which is always 1; and one table of relative
positions, of 32 buckets, is added to the attention of all layers.
"""

from __future__ import annotations

from trainer.encoders.family import Family

MPNET = Family(
    model_type="mpnet",
    architecture="MPNetModel",
    modules={
        "embeddings.word": "embeddings.word_embeddings",
        "embeddings.position": "embeddings.position_embeddings",
        "embeddings.norm": "embeddings.LayerNorm",
        "relative_bias.table": "encoder.relative_attention_bias",
    },
    layers="encoder.layer",
    layer_modules={
        "attention.query": "attention.attn.q",
        "attention.key": "attention.attn.k",
        "attention.value": "attention.attn.v",
        "attention.output": "attention.attn.o",
        "attention_norm": "attention.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    },
    must_be={"hidden_act": "gelu", "pad_token_id": 1},
    defaults={"pad_token_id": 1, "relative_attention_num_buckets": 32},
    fixed={"type_vocab_size": 0},
    positions_follow_padding=True,
)
