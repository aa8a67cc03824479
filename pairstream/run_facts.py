"""What a run's folder tells beside its log: when and how it was trained, and its checkpoints. Needs no JAX.

JAX would ask for the accelerator that the run itself may be using.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

CONFIG, RECORD, LOG, CHECKPOINTS = "config.json", "record.json", "metrics.jsonl", "checkpoints"


class Best(NamedTuple):
    step: int
    score: float
    measure: str


@dataclass(frozen=True)
class RunFacts:
    """Empty, or None, where the folder does not tell."""

    begun: datetime | None = None
    """When the command was called the last time."""
    written: datetime | None = None
    """When the log got its last line."""
    command: str = ""
    hardware: str = ""
    checkpoints: tuple[int, ...] = ()
    """Steps, ascending."""
    best: Best | None = None
    """Of the checkpoints kept, by the measure of the latest score; the later of equals."""


def is_run(folder: Path) -> bool:
    """Whether `pairstream train` made the folder. An encoder's has a config.json too, but none of the others."""
    return (folder / CONFIG).is_file() and any((folder / name).exists() for name in (LOG, RECORD, CHECKPOINTS))


def read_facts(folder: Path) -> RunFacts:
    """What can be read; a file that is missing or damaged tells nothing."""
    record = _document(folder / RECORD)
    steps = sorted(int(path.name) for path in (folder / CHECKPOINTS).glob("*") if path.name.isdecimal())
    return RunFacts(
        begun=changed(folder / RECORD),
        written=changed(folder / LOG),
        command=str(record.get("command", "")),
        hardware=str(record.get("hardware", "")),
        checkpoints=tuple(steps),
        best=_best(folder, steps),
    )


def _best(folder: Path, steps: list[int]) -> Best | None:
    scored = []
    for step in steps:
        found = _document(folder / CHECKPOINTS / str(step) / "metrics" / "metrics")  # as orbax keeps them
        if isinstance(score := found.get("score"), int | float):
            scored.append(Best(step, float(score), str(found.get("measure", ""))))
    comparable = [one for one in scored if one.measure == scored[-1].measure]
    return max(comparable, key=lambda one: (one.score, one.step), default=None)


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def changed(path: Path) -> datetime | None:
    """When a file was written the last time; None where there is none."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
