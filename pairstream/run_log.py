"""A run's log, read line by line into what its page shows; memory does not grow with the number of lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pairstream.series import Series


@dataclass
class OfDataset:
    pairs: int = 0
    loss: Series = field(default_factory=Series)
    accuracy: float | None = None
    """The last; None where it was not finite."""


@dataclass
class RunLog:
    """What the lines of a log say together."""

    step: int = 0
    """Of the last line."""
    seconds: float = 0.0
    """Of training, as the speeds in the lines have it; stops between two calls not counted."""
    masked: float | None = None
    """Documents masked as false negatives, over all steps with an update; None where none were counted."""
    metrics: dict[str, Series] = field(default_factory=lambda: defaultdict(Series))
    scores: dict[str, Series] = field(default_factory=lambda: defaultdict(Series))
    datasets: dict[str, OfDataset] = field(default_factory=lambda: defaultdict(OfDataset))

    @property
    def empty(self) -> bool:
        return not self.metrics and not self.scores

    def total(self, name: str) -> float:
        return self.metrics[name].total if name in self.metrics else 0.0

    def latest(self, name: str) -> float | None:
        """Of the last line that has it; None where there is none or it was not finite."""
        return self.metrics[name].latest if name in self.metrics else None


def read_log(lines: Iterable[bytes], batch_size: int) -> RunLog:
    """The log of a run whose steps are of `batch_size` pairs; a line that a kill cut short is passed over."""
    log = RunLog()
    for line in _whole(lines):
        step = line["step"]
        _add_totals(log, line, step - log.step, batch_size)
        log.step = step
        for name, value in line.items():
            if name == "scores":
                for score, found in value.items():
                    log.scores[score].add(step, found)
            elif name == "datasets":
                for dataset, found in value.items():
                    of_one = log.datasets[dataset]
                    of_one.pairs += found["pairs"]
                    of_one.accuracy = found["accuracy"]
                    of_one.loss.add(step, found["loss"])
            elif name != "step":
                log.metrics[name].add(step, value)
    return log


def _whole(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            found = orjson.loads(line) if line.endswith(b"\n") else None
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, Mapping) and isinstance(found.get("step"), int):
            yield found


def _add_totals(log: RunLog, line: Mapping[str, Any], steps: int, batch_size: int) -> None:
    """Speeds and means are of the steps since the line before."""
    if speed := line.get("pairs_per_second"):
        log.seconds += steps * batch_size / speed
    if (masked := line.get("masked_false_negatives")) is not None:
        log.masked = (log.masked or 0.0) + masked * max(0.0, steps - (line.get("skipped") or 0.0))
