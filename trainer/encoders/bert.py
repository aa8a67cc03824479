"""BERT and MiniLM: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2019)."""

from __future__ import annotations

from trainer.encoders.config import EncoderConfig as BertConfig
from trainer.encoders.family import Family
from trainer.encoders.transformer import Encoder as BertEncoder

__all__ = ["BERT", "BertConfig", "BertEncoder"]

BERT = Family(
    model_type="bert",
    architecture="BertModel",
    modules={
        "embeddings.word": "embeddings.word_embeddings",
        "embeddings.position": "embeddings.position_embeddings",
        "embeddings.token_type": "embeddings.token_type_embeddings",
        "embeddings.norm": "embeddings.LayerNorm",
    },
    layers="encoder.layer",
    layer_modules={
        "attention.query": "attention.self.query",
        "attention.key": "attention.self.key",
        "attention.value": "attention.self.value",
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    },
    must_be={"hidden_act": "gelu", "position_embedding_type": "absolute"},
    fixed={"relative_attention_num_buckets": 0},
)
