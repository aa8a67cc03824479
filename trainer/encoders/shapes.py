"""The published shapes of the bases that presets start from: what is known of an encoder that is not fetched.

They are the `config.json` of the bases, by Hub id, down to what the shape depends on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.encoders.config import EncoderConfig
from trainer.encoders.families import read_encoder_config
from trainer.encoders.fetch import IN_A_RUN, MINILM, MPNET, resolve_encoder
from trainer.encoders.weights import read_config

_MINILM_L6: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}
_ROBERTA: dict[str, Any] = {
    "model_type": "roberta",
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu",
    "pad_token_id": 1,
}
_MPNET: dict[str, Any] = _ROBERTA | {
    "model_type": "mpnet",
    "vocab_size": 30527,
    "num_hidden_layers": 12,
    "relative_attention_num_buckets": 32,
}
SHAPES: dict[str, dict[str, Any]] = {
    MINILM: _MINILM_L6,
    MPNET: _MPNET,
    "nreimers/MiniLM-L6-H384-uncased": _MINILM_L6,
    "microsoft/MiniLM-L12-H384-uncased": _MINILM_L6 | {"num_hidden_layers": 12},
    "microsoft/mpnet-base": _MPNET,
    "distilbert/distilroberta-base": _ROBERTA,
    "FacebookAI/roberta-large": _ROBERTA
    | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    "distilbert/distilbert-base-uncased": {
        "model_type": "distilbert",
        "vocab_size": 30522,
        "dim": 768,
        "n_layers": 6,
        "n_heads": 12,
        "hidden_dim": 3072,
        "max_position_embeddings": 512,
        "activation": "gelu",
        "sinusoidal_pos_embds": False,
        "pad_token_id": 0,
    },
}


def shape_of(encoder: str) -> EncoderConfig:
    """The shape of an encoder as a run names it: published ones are not fetched.

    Raises FileNotFoundError or ValueError as `resolve_encoder` and `read_encoder_config` do.
    """
    if encoder in SHAPES and not Path(encoder).is_dir():
        return read_encoder_config(SHAPES[encoder])
    return read_encoder_config(read_config(resolve_encoder(encoder, IN_A_RUN, weights=False)))
