"""What a run says while it runs: TensorBoard, a JSONL file and a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.event_file import EventFile

METRICS_FILE = "metrics.jsonl"


class Telemetry:
    """Logs of one run, cut back to the step from which it goes on."""

    def __init__(self, folder: Path, *, steps: int, start: int, batch_size: int) -> None:
        self._steps, self._batch_size = steps, batch_size
        self._jsonl = _cut_back(folder / METRICS_FILE, start).open("ab")
        self._board = EventFile(folder / "tensorboard", purge_step=start + 1)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not Console(stderr=True).is_terminal,
        )
        self._task = self._progress.add_task("training", total=steps, completed=start, shown="compiling …")

    def __enter__(self) -> Telemetry:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        for file in (self._jsonl, self._board):
            try:
                file.close()
            except OSError:
                if error is None:
                    raise

    def advance(self, step: int) -> None:
        """The bar moves; nothing is written."""
        self._progress.update(self._task, completed=step)

    def log(
        self,
        step: int,
        metrics: Mapping[str, float],
        datasets: Mapping[str, Sequence[float]] | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """One line of metrics for `step` steps done.

        `datasets` has for each the sums over its pairs, since the last line, of 1, their loss and their accuracy, steps
        without an update left out where others had one;
        `scores` are those of an evaluation, where there was one.
        """
        of_datasets = {
            name: {"pairs": int(pairs), "loss": float(loss / pairs), "accuracy": float(accuracy / pairs)}
            for name, (pairs, loss, accuracy) in (datasets or {}).items()
            if pairs
        }
        self._write({"step": step, **metrics, "datasets": of_datasets} | ({"scores": scores} if scores else {}))
        for name, value in metrics.items():
            self._board.scalar(name, value, step)
        for name, values in of_datasets.items():
            for what in ("loss", "accuracy"):
                self._board.scalar(f"{what} of datasets/{name}", values[what], step)
        self._board.flush()
        shown = f"loss {metrics['loss']:.3f}  {metrics['pairs_per_second']:.0f} pairs/s"
        self._progress.update(self._task, completed=step, shown=shown)
        if self._progress.disable:
            left = self._time_left(step, metrics["pairs_per_second"])
            print(f"step {step:,} of {self._steps:,}  {shown}{left}", file=sys.stderr, flush=True)
        if scores:
            self._show(step, scores)

    def score(self, step: int, scores: Mapping[str, float]) -> None:
        """A line of an evaluation alone, such as of the base before the first step."""
        self._write({"step": step, "scores": scores})
        self._show(step, scores)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._jsonl.write(orjson.dumps(line) + b"\n")
        self._jsonl.flush()

    def _show(self, step: int, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self._board.scalar(f"scores/{name}", value, step)
        self._board.flush()
        if self._progress.disable:
            said = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
            print(f"step {step:,}: {said}", file=sys.stderr, flush=True)

    def _time_left(self, step: int, pairs_per_second: float) -> str:
        if step >= self._steps:
            return ""
        seconds = round((self._steps - step) * self._batch_size / max(pairs_per_second, 1e-9))
        return f"  {timedelta(seconds=seconds)} left"


def _cut_back(path: Path, step: int) -> Path:
    """Drop lines after `step`, all where that is 0, and a last line that a kill cut short."""
    if path.exists():
        kept = []
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                if step and line.endswith(b"\n") and orjson.loads(line)["step"] <= step:
                    kept.append(line)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(kept))
        os.replace(temporary, path)
    return path
