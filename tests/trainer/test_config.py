from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import Any

import pytest

from pairstream.cli import UsageError, main
from pairstream.load_run import load_run
from trainer.config import LossConfig, OptimizerConfig, PackConfig, TrainConfig
from trainer.run_folder import load_config

CONFIG = TrainConfig(name="x", encoder="e", mixture="m", data="d", corpus=("reddit", "--depth", "3"))


def changed(name: str, value: Any) -> dict[str, Any]:
    """The config's JSON with a field, which may have a dot, changed."""
    document = json.loads(json.dumps(CONFIG.to_json()))
    group, _, field = name.rpartition(".")
    (document[group] if group else document)[field] = value
    return document


def test_a_config_survives_json() -> None:
    assert TrainConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG
    assert TrainConfig.from_json(changed("optimizer.learning_rate", 1)).optimizer.learning_rate == 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", "a", "a whole number"),
        ("seed", 1.5, "a whole number"),
        ("seed", -1, "a whole number of at least 0"),
        ("steps", True, "a whole number"),
        ("name", 5, "a text"),
        ("encoder", 5, "a text"),
        ("mixture", None, "a text"),
        ("anchor_prefix", 3, "a text"),
        ("corpus", "abc", "a list, each of them a text"),
        ("corpus", [1], "a list, each of them a text"),
        ("pooling", "max", "mean or cls or None"),
        ("compute_dtype", "float16", "float32 or bfloat16"),
        ("micro_packs", 0, "a whole number of at least 1"),
        ("micro_packs", 1.0, "a whole number or None"),
        ("dropout", float("nan"), "a finite number or None"),
        ("pack.max_anchor_tokens", "x", "a whole number or None"),
        ("pack.max_anchor_tokens", 2, "a whole number of at least 3"),
        ("pack.max_positive_tokens", -5, "a whole number of at least 3"),
        ("optimizer.name", "adam", "adamw, lamb, lion, adafactor or sgd"),
        ("optimizer.learning_rate", "2e-5", "a finite number"),
        ("optimizer.learning_rate", float("inf"), "a finite number"),
        ("optimizer.clip_norm", [1], "a finite number or None"),
        ("loss.symmetric", "no", "true or false"),
        ("loss.scale", float("inf"), "a finite number"),
        ("loss.dimensions", [8.5], "a list, each of them a whole number"),
        ("evaluation.every", "1", "a whole number"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_one_line(name: str, value: Any, expected: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(changed(name, value)))
    with pytest.raises(ValueError) as refused:
        load_config(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'config.json'}: {name} is {value!r}; expected {expected}"


@pytest.mark.parametrize("group", ["pack", "optimizer", "loss", "evaluation"])
def test_a_group_that_is_no_object_is_one_line(group: str) -> None:
    with pytest.raises(ValueError, match=f"^{group}: a JSON NoneType; expected an object"):
        TrainConfig.from_json(changed(group, None))


def test_a_config_made_in_python_is_checked_too() -> None:
    with pytest.raises(ValueError, match="pack is None; expected an object of fields"):
        TrainConfig(name="x", encoder="e", mixture="m", data="d", pack=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"loss\.scale is '20'; expected a finite number"):
        LossConfig(scale="20")  # pyright: ignore[reportArgumentType]
    assert PackConfig(max_anchor_tokens=3) and OptimizerConfig(learning_rate=1)


def test_a_file_that_is_no_json_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"name": ')
    with pytest.raises(ValueError, match=r"config\.json: not JSON \(.*\); expected a config\.json that a run saved"):
        load_config(tmp_path)
    assert main(["train", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"pairstream train: {path}: not JSON (")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("loss.dimensions=384,128", (384, 128)),
        ("loss.dimensions=384 128", (384, 128)),
        ("loss.dimensions=", ()),
        ("corpus=reddit 3,4", ("reddit", "3,4")),
        ("loss.symmetric=false", False),
        ("loss.learn_scale=True", True),
        ("optimizer.clip_norm=none", None),
        ("name=none", "none"),
    ],
)
def test_lists_and_truths_are_set_as_people_write_them(change: str, expected: Any) -> None:
    config = load_run("quickstart", [change])
    assert operator.attrgetter(change.partition("=")[0])(config) == expected


@pytest.mark.parametrize(
    ("name", "meant"), [("optimizer.lr", "learning_rate"), ("lr", "learning_rate"), ("step", "steps")]
)
def test_a_field_that_there_is_not_brings_to_mind_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"no such field; did you mean .*{meant}"):
        load_run("quickstart", [f"{name}=1"])
