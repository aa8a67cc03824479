"""all-MiniLM-L12-v2: twice the layers; the steps and batch of minilm_l6, taken to be the same."""

from dataclasses import replace

from configs.minilm_l6 import config as minilm_l6

config = replace(minilm_l6, name="minilm_l12", encoder="microsoft/MiniLM-L12-H384-uncased")
