"""Which dataset fills which rows of batch s: a periodic table made once from the weights.

A batch has k homogeneous slots of distinct datasets. A dataset with more than 1/k of the weight
sits in every batch with its share of the rows, and the others divide the rest by the same rule.
Where every share is at most 1/k the slots are equal, and choosing k distinct datasets a step so
that each stays within one slot of its weight is the Pfair scheduling problem: datasets are tasks,
slots are processors. The PD² rule (Anderson and Srinivasan, "Mixed Pfair/ERfair scheduling of
asynchronous periodic tasks", 2004) solves it for any k.

Counts are Python integers or int64; weights are exact fractions.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_PERIOD = 65_536


class Slot(NamedTuple):
    """A homogeneous run of rows of one batch."""

    dataset: int
    rows: int
    position: int
    """Records of the dataset drawn before this slot, since step 0."""


@dataclass(frozen=True)
class Schedule:
    """The table: in period step t, slot j takes `rows[t, j]` rows of dataset `datasets[t, j]`."""

    datasets: NDArray[np.int64]
    """[T, k]"""
    rows: NDArray[np.int64]
    """[T, k]; every line sums to the batch size."""
    steps_of: tuple[NDArray[np.int64], ...]
    """For each dataset the period steps in which it stands, ascending."""
    rows_before: tuple[NDArray[np.int64], ...]
    """For each dataset its rows before each of those steps, then its rows in a whole period."""
    largest_error: float
    """Largest difference between a dataset's share and what the table gives it; 0 when exact."""

    @property
    def period(self) -> int:
        """Steps after which the table repeats."""
        return len(self.datasets)

    def position(self, dataset: int, step: int) -> int:
        """Records of a dataset drawn before `step`: cycles times quota plus a look-up."""
        cycles, within = divmod(step, self.period)
        before = self.rows_before[dataset]
        return cycles * int(before[-1]) + int(before[np.searchsorted(self.steps_of[dataset], within)])

    def slots(self, step: int) -> list[Slot]:
        """The slots of a batch, in row order."""
        within = step % self.period
        return [
            Slot(int(dataset), int(rows), self.position(int(dataset), step))
            for dataset, rows in zip(self.datasets[within], self.rows[within], strict=True)
            if rows
        ]


def make_schedule(weights: Sequence[float], *, batch_size: int, slots: int, seed: int) -> Schedule:
    """The table for datasets with these weights; a weight of 0 leaves a dataset out.

    Raises ValueError when the slots do not divide the batch.
    """
    if batch_size < 1 or slots < 1:
        raise ValueError(f"batch size {batch_size} and {slots} slots; expected at least 1 of each")
    if batch_size % slots:
        near = max(1, round(batch_size / slots)) * slots
        raise ValueError(f"batch size {batch_size} does not divide into {slots} slots; the nearest that does: {near}")
    exact = [Fraction(str(weight)) for weight in weights]
    total = sum(exact)
    shares = {number: weight / total for number, weight in enumerate(exact) if weight > 0}
    large, rest, rest_slots = _split_large(shares, slots)
    rest_total = sum((shares[number] for number in rest), Fraction(0))
    period = _period(
        [share * batch_size for share in shares.values()]  # rows, which the others' slots may have in fractions
        + [shares[number] / rest_total * rest_slots for number in rest]
    )
    columns = [np.full(period, number, np.int64) for number in large]
    ideal = [shares[number] * batch_size for number in large]
    if rest:
        quotas = _quotas([shares[number] / rest_total for number in rest], rest_slots * period, period)
        columns += list(np.array(rest)[schedule_slots(quotas, period, rest_slots, seed)].T)
        ideal += [rest_total * batch_size / rest_slots] * rest_slots
    datasets = np.stack(columns, axis=1)
    rows = _whole_rows(datasets, ideal, batch_size)
    return _count_rows(datasets, rows, shares, len(weights), batch_size)


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


def _period(quantities: list[Fraction]) -> int:
    """Least number of steps in which all quantities become whole, or the most there may be."""
    return min(math.lcm(*(quantity.denominator for quantity in quantities)), MAX_PERIOD)


def _quotas(shares: list[Fraction], total: int, most: int) -> list[int]:
    """Whole numbers with the given sum, as near the shares as can be, each from 1 to `most`."""
    exact = [share * total for share in shares]
    quotas = [min(max(math.floor(quantity), 1), most) for quantity in exact]
    by_need = sorted(range(len(shares)), key=lambda number: (quotas[number] - exact[number], number))
    missing = total - sum(quotas)
    step = 1 if missing > 0 else -1
    order = by_need if missing > 0 else by_need[::-1]
    while missing:
        for number in order:
            if missing and 1 <= quotas[number] + step <= most:
                quotas[number] += step
                missing -= step
    return quotas


def _whole_rows(datasets: NDArray[np.int64], ideal: list[Fraction], batch_size: int) -> NDArray[np.int64]:
    """[T, slots] rows, where slot j deserves `ideal[j]` of them and each step has `batch_size`.

    What rounding leaves over goes, step by step, to the datasets that are furthest behind; so no
    dataset drifts from its weight, however slots and fractions fall together.
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


def schedule_slots(quotas: Sequence[int], period: int, slots: int, seed: int) -> NDArray[np.int64]:
    """[period, slots]: which task runs in each slot; task i runs quotas[i] times, never twice a step.

    The quotas sum to period * slots and none is above the period. At every step each task has run
    within one of quotas[i] / period times the steps.
    """
    ties = np.random.default_rng(seed).permutation(len(quotas)).tolist()

    def entry(task: int, turn: int) -> tuple[int, tuple[int, int, int, int], int, int]:
        """(release, PD² priority, task, turn) of a task's turn-th run, counted from 1."""
        quota = quotas[task]
        deadline = _ceil_div(turn * period, quota)
        overlaps = turn * period % quota != 0
        group = 0
        if 2 * quota >= period and quota < period:
            idle = period - quota
            filled = _ceil_div(deadline * idle, period)
            group = _ceil_div(filled * period, idle)
        return (turn - 1) * period // quota, (deadline, -overlaps, -group, ties[task]), task, turn

    waiting = [entry(task, 1) for task in range(len(quotas))]
    heapq.heapify(waiting)
    ready: list[tuple[tuple[int, int, int, int], int, int]] = []
    table = np.empty((period, slots), np.int64)
    for step in range(period):
        while waiting and waiting[0][0] <= step:
            _, priority, task, turn = heapq.heappop(waiting)
            heapq.heappush(ready, (priority, task, turn))
        running = [heapq.heappop(ready) for _ in range(slots)]
        for _, task, turn in running:
            if turn < quotas[task]:
                heapq.heappush(waiting, entry(task, turn + 1))
        table[step] = sorted(task for _, task, _ in running)
    return table


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _count_rows(
    datasets: NDArray[np.int64],
    rows: NDArray[np.int64],
    shares: dict[int, Fraction],
    count: int,
    batch_size: int,
) -> Schedule:
    period = len(datasets)
    step_of = np.repeat(np.arange(period), datasets.shape[1])
    flat_datasets, flat_rows = datasets.ravel(), rows.ravel()
    steps_of, rows_before, errors = [], [], []
    for number in range(count):
        here = flat_datasets == number
        before = np.concatenate([[0], np.cumsum(flat_rows[here], dtype=np.int64)])
        steps_of.append(step_of[here])
        rows_before.append(before)
        errors.append(abs(int(before[-1]) / (period * batch_size) - float(shares.get(number, 0))))
    largest = max(errors)
    return Schedule(datasets, rows, tuple(steps_of), tuple(rows_before), largest if largest > 1e-12 else 0.0)
