"""How far a local job is: workers leave counts in the folder of its spills, a thread beside the job adds them up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

_TELL_SECONDS = 0.5


class State(NamedTuple):
    """What is done so far."""

    records: int
    """Raw records read since the job was started, by this call."""
    seconds: float
    finished: dict[str, int]
    """Pieces of work that are finished, by stage, those of an earlier call too."""
    pieces: dict[str, int]
    """How many there are."""

    def __str__(self) -> str:
        for stage, pieces in self.pieces.items():
            done = self.finished.get(stage, 0)
            if done < pieces:
                rate = f", {self.records / self.seconds:,.0f} a second" if stage == "stage0" and self.records else ""
                return f"{_VERBS.get(stage, 'pairing')} {done} of {pieces}; {self.records:,} records read{rate}"
        return f"writing shards; {self.records:,} records read"


_VERBS = {"stage0": "reading, task", "near": "near-duplicates, partition", "cells": "sorting, cell"}


class Progress:
    """Tells, from a worker, how many records its process has read."""

    _records: ClassVar[int] = 0
    _told: ClassVar[float] = 0.0

    def __init__(self, folder: str | None) -> None:
        self._path = f"{folder}/progress-{os.getpid()}" if folder else None

    def add(self, records: int) -> None:
        """Count records; write the sum down twice a second."""
        Progress._records += records
        if self._path and (now := time.monotonic()) - Progress._told > _TELL_SECONDS:
            Progress._told = now
            with open(self._path, "w") as file:
                file.write(str(Progress._records))


@contextmanager
def watched(folder: str | None, pieces: dict[str, int], tell: Callable[[State], None] | None) -> Iterator[None]:
    """While the context lasts, tell the job's state twice a second."""
    if folder is None or tell is None:
        yield
        return
    for name in os.listdir(folder):
        if name.startswith("progress-"):  # of an earlier call
            os.remove(f"{folder}/{name}")
    over = threading.Event()
    since, before = time.monotonic(), Progress._records

    def watch() -> None:
        while not over.wait(_TELL_SECONDS):
            state = _state(folder, pieces, time.monotonic() - since)
            tell(state._replace(records=max(state.records - before, 0)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _state(folder: str, pieces: dict[str, int], seconds: float) -> State:
    finished: dict[str, int] = {}
    records = 0
    for name in os.listdir(folder):
        kind, _, rest = name.partition("-")
        stage = rest.partition("-")[0]
        if kind == "done" and name.endswith(".json"):
            finished[stage] = finished.get(stage, 0) + 1
        elif kind == "progress":
            with open(f"{folder}/{name}") as file:
                records += int(file.read() or 0)
    return State(records, seconds, finished, pieces)
