"""The policy `homogeneous`: which datasets share batch s, and how its rows are divided.

A batch has k homogeneous slots of distinct datasets. A dataset with more than 1/k of the weight
sits in every batch with its share of the rows, and the others divide the rest by the same rule.
Where every share is at most 1/k the slots are equal, and choosing k distinct datasets a step so
that each stays within one slot of its weight is the scheduling problem of `reader/pfair.py`.

What follows from it, and is tested:

- Every batch has at least two datasets where k ≥ 2, the mixture has two, and those beside the largest
  deserve a row a batch together. (Else a batch without them comes now and then, for weights hold.)
- More datasets than slots take turns; with fewer, each sits in every batch with its share of the rows.
- A single dataset fills every batch. At 9 : 1 with two slots, 1,000 rows are 900 and 100 in every batch.
- A dataset of weight 0 is never drawn.

Counts are Python integers or int64; weights are exact fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from reader.ledger import Ledger
from reader.pfair import MAX_PERIOD, common_period, schedule_slots, whole_debts, whole_quotas


class Slot(NamedTuple):
    """A homogeneous run of rows of one batch."""

    dataset: int
    rows: int
    position: int
    """Records of the dataset drawn before this slot, since step 0."""


class Schedule(Protocol):
    """Who fills the rows of each batch: what every policy is."""

    @property
    def largest_error(self) -> float:
        """Largest difference between a dataset's share and what a whole period gives it; 0 when exact."""
        ...

    def position(self, dataset: int, step: int) -> int:
        """Records of a dataset drawn before `step`, in time that does not grow with the step."""
        ...

    def slots(self, step: int) -> list[Slot]:
        """The slots of a batch, in row order."""
        ...


@dataclass(frozen=True)
class HomogeneousSchedule:
    """The table: in period step t, slot j takes `rows[t, j]` rows of dataset `datasets[t, j]`."""

    datasets: NDArray[np.int64]
    """[T, k]"""
    rows: NDArray[np.int64]
    """[T, k]; every line sums to the batch size."""
    ledger: Ledger
    largest_error: float

    @property
    def period(self) -> int:
        """Steps after which the table repeats."""
        return len(self.datasets)

    def position(self, dataset: int, step: int) -> int:
        return self.ledger.given(dataset, step)

    def slots(self, step: int) -> list[Slot]:
        within = step % self.period
        return [
            Slot(dataset, rows, self.position(dataset, step))
            for dataset, rows in zip(self.datasets[within].tolist(), self.rows[within].tolist(), strict=True)
            if rows
        ]


def make_homogeneous(
    weights: Sequence[float],
    *,
    batch_size: int,
    slots: int,
    seed: int,
    steps: int | None = None,
    owed: Sequence[float] | None = None,
) -> HomogeneousSchedule:
    """The table for datasets with these weights; a weight of 0 leaves a dataset out.

    `steps`: how many will be asked for; None: no end. `owed`: rows that each dataset is behind at the
    start, which a run of at most 65,536 steps makes good. Raises ValueError when the slots do not divide the batch.
    """
    if batch_size < 1 or slots < 1:
        raise ValueError(f"batch size {batch_size} and {slots} slots; expected at least 1 of each")
    if batch_size % slots:
        near = max(1, round(batch_size / slots)) * slots
        raise ValueError(f"batch size {batch_size} does not divide into {slots} slots; the nearest that does: {near}")
    shares = exact_shares(weights)
    large, rest, rest_slots = _split_large(shares, slots)
    rest_total = sum((shares[number] for number in rest), Fraction(0))
    period = common_period(
        [share * batch_size for share in shares.values()]  # rows, which the others' slots may have in fractions
        + [shares[number] / rest_total * rest_slots for number in rest]
    )
    if steps is None or steps > MAX_PERIOD or owed is None:
        owed, length = None, min(period, steps or period)
    else:  # what is owed comes once: the table does not repeat
        length = steps
    columns = [np.full(length, number, np.int64) for number in large]
    ideal = [shares[number] * batch_size for number in large]
    planned = {number: shares[number] for number in large}
    if rest:
        quotas = whole_quotas([shares[number] / rest_total for number in rest], rest_slots * period, period)
        slot_rows = float(rest_total) * batch_size / rest_slots
        debts = None if owed is None else whole_debts([owed[number] / slot_rows for number in rest], period)
        columns += list(np.array(rest)[schedule_slots(quotas, period, rest_slots, seed, length, debts)].T)
        planned |= {n: Fraction(q, rest_slots * period) * rest_total for n, q in zip(rest, quotas, strict=True)}
        ideal += [rest_total * batch_size / rest_slots] * rest_slots
    datasets = np.stack(columns, axis=1)
    rows = _whole_rows(datasets, ideal, batch_size, settled=owed is None and length == period)
    ledger = Ledger.of(datasets, rows, len(weights))
    return HomogeneousSchedule(datasets, rows, ledger, largest_difference(planned, shares))


def exact_shares(weights: Sequence[float]) -> dict[int, Fraction]:
    """Dataset → share, of those that have one, as exact as the weights are written."""
    exact = [Fraction(str(weight)) for weight in weights]
    total = sum(exact)
    return {number: weight / total for number, weight in enumerate(exact) if weight > 0}


def largest_difference(planned: Mapping[int, Fraction], shares: Mapping[int, Fraction]) -> float:
    """Between the share that a schedule plans for a dataset and the one it should have."""
    return float(max(abs(planned[number] - share) for number, share in shares.items()))


def _split_large(shares: dict[int, Fraction], slots: int) -> tuple[list[int], list[int], int]:
    """(datasets that sit in every batch, the others, slots left to the others)."""
    rest = sorted(shares, key=lambda number: (-shares[number], number))
    large: list[int] = []
    left = Fraction(1)
    while rest and shares[rest[0]] * slots > left:
        left -= shares[rest[0]]
        large.append(rest.pop(0))
        slots -= 1
    return large, sorted(rest), slots


def _whole_rows(
    datasets: NDArray[np.int64], ideal: list[Fraction], batch_size: int, *, settled: bool
) -> NDArray[np.int64]:
    """[T, slots] rows, where slot j deserves `ideal[j]` of them and each step has `batch_size`.

    What rounding leaves over goes, step by step, to the datasets that are furthest behind; so no
    dataset drifts from its weight, however slots and fractions fall together. `settled`: the steps are
    a whole period, and end without debts.
    """
    least = [math.floor(quantity) for quantity in ideal]
    over = batch_size - sum(least)
    rows = np.tile(np.array(least, np.int64), (len(datasets), 1))
    if not over:
        return rows
    unit = math.lcm(*(quantity.denominator for quantity in ideal))  # debts are whole numbers of 1/unit rows
    fractions = [int((quantity - floor) * unit) for quantity, floor in zip(ideal, least, strict=True)]
    debts = [0] * (int(datasets.max()) + 1)
    for step, here in enumerate(datasets.tolist()):
        for dataset, fraction in zip(here, fractions, strict=True):
            debts[dataset] += fraction
        for slot in sorted(range(len(here)), key=lambda slot: -debts[here[slot]])[:over]:
            rows[step, slot] += 1
            debts[here[slot]] -= unit
    if settled:
        _settle(datasets, rows, [(2 * debt + unit) // (2 * unit) for debt in debts])
    return rows


def _settle(datasets: NDArray[np.int64], rows: NDArray[np.int64], owed: list[int]) -> None:
    """Give each dataset the rows that the period still owes it, or take back what it got too much.

    The other side is the dataset of the first slot: only a batch with a large dataset has fractions
    of rows, and that one is in every batch. Debts sum to zero, so this settles its own as well.
    """
    for dataset, count in enumerate(owed):
        if count and dataset != datasets[0, 0]:
            steps, slots = np.nonzero(datasets == dataset)
            one = 1 if count > 0 else -1
            for _ in range(abs(count)):
                taken_from = rows[steps, 0] if count > 0 else rows[steps, slots]
                most = np.argmax(taken_from)
                rows[steps[most], slots[most]] += one
                rows[steps[most], 0] -= one
