"""Where and how a run was trained, for its card: the command, the devices, the time."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import orjson

from trainer.telemetry import METRICS_FILE

RECORD_FILE = "record.json"


@dataclass(frozen=True)
class Record:
    """What is known of a run's training; empty where it is not."""

    command: str = ""
    """As it was typed, the last time."""
    hardware: str = ""
    """Of the last time: `8 × TPU v3 on 1 host, Linux x86_64`."""
    seconds: float = 0.0
    """From the first step to the last one, as the log has it: compilation included, stops between two calls not."""


def write_record(folder: str | Path) -> None:
    """Note in the run's folder the command of this process and the devices it has."""
    path = Path(folder) / RECORD_FILE
    temporary = path.with_suffix(".tmp")
    record = {name: value for name, value in asdict(Record(_command(), describe_hardware())).items() if value}
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, path)


def read_record(folder: str | Path, step: int, batch_size: int) -> Record:
    """What the run's folder tells, up to a step; a file that is missing or damaged tells nothing."""
    folder = Path(folder)
    try:
        noted = json.loads((folder / RECORD_FILE).read_text())
    except (OSError, ValueError):
        noted = {}
    seconds = _seconds(folder / METRICS_FILE, step, batch_size)
    return Record(str(noted.get("command", "")), str(noted.get("hardware", "")), seconds)


def describe_hardware() -> str:
    """The devices that JAX sees, and the machine: `1 × cpu (2 cores) on 1 host, Linux x86_64`."""
    kinds = Counter(device.device_kind for device in jax.devices())
    devices = ", ".join(f"{number} × {kind}" for kind, number in sorted(kinds.items()))
    cores = f" ({os.cpu_count()} cores)" if jax.default_backend() == "cpu" else ""
    hosts = jax.process_count()
    return f"{devices}{cores} on {hosts} host{'s' * (hosts > 1)}, {platform.system()} {platform.machine()}"


def _command() -> str:
    program = Path(sys.argv[0]).name
    if program == "__main__.py":  # python -m PACKAGE
        program = Path(sys.argv[0]).parent.name
    return shlex.join([program, *sys.argv[1:]])


def _seconds(log: Path, step: int, batch_size: int) -> float:
    """From the speed in each line, which is that of the steps since the line before."""
    total, before = 0.0, 0
    try:
        lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    except (OSError, orjson.JSONDecodeError):
        return 0.0
    for line in lines:
        if line["step"] > step:
            break
        if speed := line.get("pairs_per_second"):
            total += (line["step"] - before) * batch_size / speed
        before = line["step"]
    return total
