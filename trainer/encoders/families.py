"""The families of encoders, and what tells one from another in a Hugging Face folder.

Each family has a file of its own with one `Family`; the modules know none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.encoders.bert import BERT
from trainer.encoders.config import EncoderConfig
from trainer.encoders.distilbert import DISTILBERT
from trainer.encoders.family import Family
from trainer.encoders.mpnet import MPNET
from trainer.encoders.roberta import ROBERTA

FAMILIES: dict[str, Family] = {family.model_type: family for family in (BERT, ROBERTA, DISTILBERT, MPNET)}


def read_encoder_config(document: Mapping[str, Any]) -> EncoderConfig:
    """The shape that a parsed `config.json` describes, whatever its family.

    Raises ValueError when the model is none of those computed here, or a key is missing.
    """
    found = document.get("model_type") or BERT.model_type  # the first BERT files did not say
    if found not in FAMILIES:
        raise ValueError(f"model_type is {found!r}; expected one of {', '.join(FAMILIES)}; choose such an encoder")
    return FAMILIES[found].read_config(document)
