"""The steps of one line of the log: their metrics stay on the devices until the line is written."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from trainer.step import Metrics


class Window:
    """Metrics of the steps since the last line."""

    def __init__(self, datasets: Sequence[str]) -> None:
        """`datasets`: the names of the rows of a step's `by_dataset`."""
        self._datasets = datasets
        self._waiting: list[Metrics] = []

    def add(self, metrics: Metrics) -> None:
        """Of one step; those of single rows are dropped."""
        self._waiting.append({name: value for name, value in metrics.items() if not name.startswith("row_")})

    def close(self) -> tuple[list[dict[str, float]], dict[str, list[float]]]:
        """The scalars of each step, and for each dataset the sums over its pairs of 1, their loss and their accuracy.

        Waits for the devices. Sums leave out steps without an update where others had one.
        """
        fetched = jax.device_get(self._waiting)
        self._waiting = []
        history = [{name: float(one[name]) for name in one if name != "by_dataset"} for one in fetched]
        updated = [one for one in fetched if not one["skipped"]] or fetched
        sums = np.sum([one["by_dataset"] for one in updated], axis=0).tolist()
        return history, dict(zip(self._datasets, sums, strict=True))


def means_of(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over the steps whose update was made, all where none was; `skipped` is a sum, `skipped_in_row` the last."""
    updated = [one for one in history if not one["skipped"]] or history
    means = {name: sum(one[name] for one in updated) / len(updated) for name in history[0]}
    return means | {
        "skipped": sum(one["skipped"] for one in history),
        "skipped_in_row": history[-1]["skipped_in_row"],
    }
