from __future__ import annotations

import pytest
from heads import CLS, MAX, MEAN, write_head

from trainer.encoders.head import Head, read_head


def test_without_modules_vectors_are_means_of_unit_length(tmp_path):
    assert read_head(tmp_path) == Head("mean", unit_length=True, pools_prompt=True)


@pytest.mark.parametrize(
    ("kinds", "pooling", "head"),
    [
        (("Transformer", "Pooling", "Normalize"), MEAN, Head("mean")),
        (("Transformer", "Pooling"), CLS, Head("cls", unit_length=False)),
        (("Transformer", "Pooling", "Normalize"), {"pooling_mode": "cls"}, Head("cls")),
        (("Transformer", "Pooling"), MEAN | {"include_prompt": False}, Head("mean", False, pools_prompt=False)),
    ],
)
def test_modules_say_what_is_done_with_hidden_states(tmp_path, kinds, pooling, head):
    write_head(tmp_path, *kinds, pooling=pooling)
    assert read_head(tmp_path) == head


@pytest.mark.parametrize(
    ("kinds", "pooling", "says"),
    [
        (("Transformer", "Pooling", "Dense"), MEAN, "lists Dense; expected"),
        (("Transformer", "Pooling"), MAX, "pooling is 'pooling_mode_max_tokens'; expected mean or cls"),
        (
            ("Transformer", "Pooling"),
            MAX | MEAN | CLS | {"pooling_mode_mean_tokens": True},
            "expected mean or cls alone",
        ),
    ],
)
def test_a_head_that_is_not_supported_is_refused(tmp_path, kinds, pooling, says):
    write_head(tmp_path, *kinds, pooling=pooling)
    with pytest.raises(ValueError, match=says):
        read_head(tmp_path)


def test_a_listed_pooling_that_is_not_there_is_refused(tmp_path):
    write_head(tmp_path, "Transformer", "Pooling")
    with pytest.raises(FileNotFoundError, match="expected the pooling that modules"):
        read_head(tmp_path)
