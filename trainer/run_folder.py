"""The config that a run keeps in its folder, and what of it a call that goes on may change."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.config import TrainConfig

CONFIG_FILE = "config.json"
# What may differ between a run and its continuation without changing any step already done.
FREE_TO_CHANGE = (
    "name",
    "steps",
    # Places: a run may move. The checkpoint's origin tells other pairs and another encoder by what is in them.
    "mixture",
    "data",
    "encoder",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_best",
    "stop_after_skipped",
    "stall_seconds",
    "evaluation_queries",
    "evaluation",
    "corpus",
    "micro_packs",  # where and when a pack is embedded changes memory and time
    "remat",
)


def load_config(folder: str | Path) -> TrainConfig:
    """The config that a run saved in its folder. Raises FileNotFoundError or ValueError."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected the folder of a run that `pairstream train` made")
    return read_config(path)


def read_config(path: Path) -> TrainConfig:
    """The config of a JSON file. Raises ValueError, in one line that begins with the path."""
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); expected a config.json that a run saved") from None
    try:
        return TrainConfig.from_json(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def refuse_other_settings(folder: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise ValueError where the folder's checkpoints were made with other settings than `ours`, as `settings_of`."""
    ours, theirs = _flat(ours), _flat(theirs)
    if different := sorted(name for name in ours if ours[name] != theirs.get(name, ours[name])):
        name = different[0]
        mend = "choose another --output, remove the folder, or go on with --accept-other-settings"
        if name == "optimizer.schedule_steps":
            mend = f"--set {name}={theirs[name]} goes on with its learning rate; else {mend}"
        raise ValueError(f"{folder} holds a run with {name} {theirs[name]!r}, not {ours[name]!r}; {mend}")


def write_config(folder: Path, config: TrainConfig) -> None:
    """Put the config into the run's folder."""
    path = folder / CONFIG_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(config.to_json(), indent=2) + "\n")
    os.replace(temporary, path)


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """What decides a step, as JSON reads it back."""
    document = {name: value for name, value in config.to_json().items() if name not in FREE_TO_CHANGE}
    document["optimizer"]["schedule_steps"] = config.schedule_steps  # `steps` where it is not named
    return json.loads(json.dumps(document))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of fields under names such as `optimizer.learning_rate`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": of_inner for inner, of_inner in value.items()}
        else:
            flat[name] = value
    return flat
