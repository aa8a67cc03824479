"""RoBERTa and DistilRoBERTa: Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach" (2019).

BERT's modules and names. Positions start after the padding id, so a table of 514 rows holds 512.
"""

from __future__ import annotations

import dataclasses

from trainer.encoders.bert import BERT

ROBERTA = dataclasses.replace(
    BERT,
    model_type="roberta",
    architecture="RobertaModel",
    defaults={"pad_token_id": 1},
    positions_follow_padding=True,
)
