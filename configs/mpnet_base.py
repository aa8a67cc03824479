"""all-mpnet-base-v2: the original's run on a TPU v3-8, as minilm_l6 but for the base."""

from dataclasses import replace

from configs.minilm_l6 import config as minilm_l6

config = replace(minilm_l6, name="mpnet_base", encoder="microsoft/mpnet-base")
