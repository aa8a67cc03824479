"""DistilBERT as the original's other bases: no steps of it are known here, so those of minilm_l6."""

from dataclasses import replace

from configs.minilm_l6 import config as minilm_l6

config = replace(minilm_l6, name="distilbert", encoder="distilbert/distilbert-base-uncased")
