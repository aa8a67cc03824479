"""The config that a run keeps in its folder, and what of it a call that goes on may change."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from trainer.checkpoint import CHECKPOINTS_FOLDER
from trainer.config import TrainConfig

CONFIG_FILE = "config.json"
# What may differ between a run and its continuation without changing any step already done.
FREE_TO_CHANGE = (
    "steps",
    "data",  # the batches' digest tells other pairs from the same ones as ids or in another place
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
    try:
        return TrainConfig.from_json(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def refuse_other_settings(folder: Path, config: TrainConfig) -> None:
    """Raise ValueError where the folder's checkpoints belong to a run with other settings."""
    path = folder / CONFIG_FILE
    # Without a whole checkpoint there is nothing to protect.
    trained = any(one.name.isdecimal() for one in (folder / CHECKPOINTS_FOLDER).glob("*"))
    if trained and path.exists():
        ours, theirs = settings_of(config), settings_of(load_config(folder))
        if different := sorted(name for name in ours if ours[name] != theirs[name]):
            name = different[0]
            mend = "choose another --output, remove the folder, or go on with --accept-other-settings"
            if name == "schedule_steps":
                mend = f"--set optimizer.schedule_steps={theirs[name]} goes on with its learning rate; else {mend}"
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
    return json.loads(json.dumps(document | {"schedule_steps": config.schedule_steps}))
