"""Which run a command means: a preset, a Python file or a saved config.json, with fields changed by --set."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import runpy
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import configs
from pairstream.arguments import change_fields
from pairstream.cli import UsageError
from pairstream.wrong_call import near_names
from trainer.config import TrainConfig
from trainer.run_folder import read_config


def load_run(run: str, changes: Sequence[str] = ()) -> TrainConfig:
    """The config that `run` names, with each `field=value` applied. Raises UsageError."""
    config = _load(run)
    known = _fields(config)
    parsed = []
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change}: expected field=value, such as --set steps=200")
        if name not in known:
            near = _near(name, known) or known
            raise UsageError(
                f"--set {name}: no such field; {'did you mean' if near != known else 'there are'} {', '.join(near)}?"
            )
        parsed.append((name, value))
    return change_fields(config, parsed) if parsed else config


def _near(name: str, known: Sequence[str]) -> list[str]:
    """The fields that were likely meant: by their initials, as `lr`, or by likeness."""
    last = name.rpartition(".")[2]
    initials = {one: "".join(word[0] for word in one.rpartition(".")[2].split("_")) for one in known}
    return [one for one in known if initials[one] == last] or get_close_matches(name, known, n=3, cutoff=0.4)


def _load(run: str) -> TrainConfig:
    if run.endswith(".json"):
        return _from_json(Path(run))
    if run.endswith(".py"):
        if not Path(run).is_file():
            raise UsageError(f"{run}: no such file; expected a Python file that defines `config`")
        found = _run_file(run)
    else:
        presets = sorted(module.name for module in pkgutil.iter_modules(configs.__path__))
        if run not in presets:
            raise UsageError(_say_unknown(run, presets))
        found = importlib.import_module(f"configs.{run}").config
    if not isinstance(found, TrainConfig):
        raise UsageError(f"{run}: defines no `config` of type trainer.config.TrainConfig")
    return found


def _say_unknown(run: str, presets: Sequence[str]) -> str:
    """No such run, and what was likely meant."""
    config = Path(run) / "config.json"
    if Path(run).is_dir():
        what = "a folder, and no such run; "
        what += f"the config that a run saved there: {config}; " if (Path(run) / "checkpoints").is_dir() else ""
    else:
        near = get_close_matches(run, presets, n=2)
        what = f"no such run; {f'did you mean {near_names(near)}? ' if near else ''}"
    return f"{run}: {what}expected a preset ({', '.join(presets)}), a .py file or a saved config.json"


def run_folder(config: TrainConfig, output: Path | None) -> Path:
    """Where a run's files go. Raises UsageError for a name that a file has."""
    folder = output or Path("runs", config.name)
    if folder.is_file():
        raise UsageError(f"--output {folder} is a file; expected the run's folder")
    return folder


def _run_file(path: str) -> Any:
    """The `config` of a Python file, which is executed: trusted alone. Its mixture may lie beside it."""
    try:
        found = runpy.run_path(path).get("config")
    except (SyntaxError, ValueError, ImportError, NameError, TypeError) as error:
        raise UsageError(f"{path}: {type(error).__name__}: {error}") from None
    beside = Path(path).parent / getattr(found, "mixture", "")
    if isinstance(found, TrainConfig) and not Path(found.mixture).is_file() and beside.is_file():
        found = dataclasses.replace(found, mixture=str(beside))
    return found


def _from_json(path: Path) -> TrainConfig:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a config.json that a run saved")
    try:
        return read_config(path)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _fields(config: Any, prefix: str = "") -> list[str]:
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            names += _fields(value, f"{prefix}{field.name}.")
        else:
            names.append(prefix + field.name)
    return names
