"""The presets against what the original's cards publish."""

from __future__ import annotations

import importlib
import json

import pytest

from trainer.config import OptimizerConfig, TrainConfig
from trainer.encoders.shapes import shape_of

# Taken over from a sibling, as not known: the steps of minilm_l12, the batch of it, reddit_mpnet and multi_qa_minilm.
# steps, pairs a batch, tokens of an anchor and of a positive at most; layers and width of the base
PUBLISHED = {
    "minilm_l6": (100_000, 1024, (128, 128), (6, 384)),
    "minilm_l12": (100_000, 1024, (128, 128), (12, 384)),
    "mpnet_base": (100_000, 1024, (128, 128), (12, 768)),
    "distilroberta": (920_000, 512, (128, 128), (6, 768)),
    "reddit_mpnet": (540_000, 1024, (128, 128), (12, 768)),
    "multi_qa_minilm": (200_000, 1024, (64, 250), (6, 384)),
}
UNPUBLISHED = {"roberta_large": (24, 1024), "distilbert": (6, 768)}


def preset(name: str) -> TrainConfig:
    return importlib.import_module(f"configs.{name}").config


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_the_steps_batch_and_lengths_of_the_table(name: str) -> None:
    config, (steps, batch_size, tokens, _) = preset(name), PUBLISHED[name]
    limits = (config.pack.max_anchor_tokens, config.pack.max_positive_tokens)
    assert (config.steps, config.batch_size) == (steps, batch_size)
    assert tuple(limit or config.pack.tokens for limit in limits) == tokens


@pytest.mark.parametrize("name", [*PUBLISHED, *UNPUBLISHED])
def test_all_presets_share_the_optimizer_the_schedule_and_the_loss_of_the_original(name: str) -> None:
    config = preset(name)
    assert config.optimizer == OptimizerConfig(
        name="adamw",
        learning_rate=2e-5,
        schedule="linear",
        warmup_steps=500,
        schedule_steps=1_000_000,
        final_rate=0.0,
        weight_decay=0.0,
        epsilon=1e-6,
        clip_norm=1.0,
    )
    assert (config.loss.similarity, config.loss.scale, config.loss.symmetric) == ("cosine", 20.0, True)
    assert (config.pooling, config.initial, config.name) == ("mean", "pretrained", name)


@pytest.mark.parametrize("name", [*PUBLISHED, *UNPUBLISHED])
def test_the_shape_of_a_presets_base_is_known_without_fetching_it(name: str) -> None:
    shape = shape_of(preset(name).encoder)
    assert (shape.num_hidden_layers, shape.hidden_size) == (UNPUBLISHED.get(name) or PUBLISHED[name][3])


@pytest.mark.parametrize("name", [*PUBLISHED, *UNPUBLISHED, "quickstart"])
def test_a_preset_reads_back_from_its_json(name: str) -> None:
    config = preset(name)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("name", [*PUBLISHED, *UNPUBLISHED])
def test_a_pair_with_texts_of_full_length_has_room_in_its_pack(name: str) -> None:
    pack = preset(name).pack
    anchors_a_row = pack.tokens // (pack.max_anchor_tokens or pack.tokens)
    positives_a_row = pack.tokens // (pack.max_positive_tokens or pack.tokens)
    assert pack.rows >= -(-pack.pairs // anchors_a_row) - (-pack.pairs // positives_a_row)
