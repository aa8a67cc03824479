"""What each dataset was given before any step of a schedule that repeats, by a division and a look-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ledger:
    """Running sums of one period, dataset after dataset."""

    period: int
    """Steps after which the schedule repeats."""
    starts: NDArray[np.int64]
    """[datasets + 1] where each dataset's entries begin in `steps`."""
    steps: NDArray[np.int64]
    """[entries] period steps in which the dataset stands, ascending."""
    before: NDArray[np.int64]
    """[entries + 1] what all entries before this one were given."""

    @classmethod
    def of(cls, table: NDArray[np.int64], given: NDArray[np.int64], datasets: int) -> Ledger:
        """From the dataset in each [step, slot] and what it is given there."""
        order = np.argsort(table, axis=None, kind="stable")
        return cls(
            period=len(table),
            starts=np.searchsorted(table.ravel()[order], np.arange(datasets + 1)),
            steps=order // table.shape[1],
            before=np.concatenate([np.zeros(1, np.int64), np.cumsum(given.ravel()[order], dtype=np.int64)]),
        )

    def given(self, dataset: int, step: int) -> int:
        """Given to a dataset before `step`: cycles times quota plus a look-up."""
        cycles, within = divmod(step, self.period)
        first, end = self.starts[dataset], self.starts[dataset + 1]
        place = first + np.searchsorted(self.steps[first:end], within)
        quota = int(self.before[end] - self.before[first])
        return cycles * quota + int(self.before[place] - self.before[first])
