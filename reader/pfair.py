"""Proportionate fairness: who runs when, so that nobody is ever a whole run ahead of its share or behind.

Tasks with shares of `slots` processors run in steps; task i runs quotas[i] times in a period and at
every step has run within one of quotas[i] / period times the steps. The PD² rule (Anderson and
Srinivasan, "Mixed Pfair/ERfair scheduling of asynchronous periodic tasks", 2004) finds such a
schedule for any number of processors.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from reader.permutation import mix64, permutation_key

MAX_PERIOD = 65_536
EXCHANGES = 256
"""Rounds of exchanges in a drawn order; by 200 two orders of the published mixture agree as often as chance has it."""


def common_period(quantities: Sequence[Fraction]) -> int:
    """Least number of steps in which all quantities become whole, or the most there may be."""
    return min(math.lcm(*(quantity.denominator for quantity in quantities)), MAX_PERIOD)


def whole_quotas(shares: Sequence[Fraction], total: int, most: int) -> list[int]:
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


def whole_debts(behind: Sequence[float], period: int) -> list[int]:
    """What tasks are behind, in runs, as `owed` of `schedule_slots` has it: less than a run either way."""
    return [max(1 - period, min(period - 1, round(runs * period))) for runs in behind]


def schedule_slots(
    quotas: Sequence[int],
    period: int,
    slots: int,
    seed: int,
    steps: int | None = None,
    owed: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """[period, slots]: which task runs in each slot; task i runs quotas[i] times, never twice a step.

    The quotas sum to period * slots and none is above the period. With `steps`, the first so many
    steps alone: [steps, slots]. `owed`: what each task is behind at the start, in 1/period of a run,
    negative when it is ahead; it is caught up with, so that the table does not repeat, and has all `steps`.
    """
    if steps is None or owed is None:
        steps = period if steps is None else min(steps, period)
    behind = [0] * len(quotas) if owed is None else owed
    ties = np.random.default_rng(seed).permutation(len(quotas)).tolist()

    def entry(task: int, turn: int) -> tuple[int, tuple[int, int, int, int], int, int]:
        """(release, PD² priority, task, turn) of a task's turn-th run, counted from 1."""
        quota = quotas[task]
        deserved = turn * period - behind[task]  # what the task must have earned to have this run behind it
        deadline = _ceil_div(deserved, quota)
        overlaps = deserved % quota != 0
        group = 0
        if 2 * quota >= period and quota < period:
            idle = period - quota
            filled = _ceil_div(deadline * idle - behind[task], period)
            group = _ceil_div(filled * period + behind[task], idle)
        return (deserved - period) // quota, (deadline, -overlaps, -group, ties[task]), task, turn

    waiting = [entry(task, 1) for task in range(len(quotas))]
    heapq.heapify(waiting)
    ready: list[tuple[tuple[int, int, int, int], int, int]] = []
    table = np.empty((steps, slots), np.int64)
    for step in range(steps):
        while waiting and waiting[0][0] <= step:
            _, priority, task, turn = heapq.heappop(waiting)
            heapq.heappush(ready, (priority, task, turn))
        while len(ready) < slots:  # only where tasks began ahead of their shares: the next one runs early
            heapq.heappush(ready, heapq.heappop(waiting)[1:])
        running = [heapq.heappop(ready) for _ in range(slots)]
        for _, task, turn in running:
            if turn < quotas[task] or owed is not None:
                heapq.heappush(waiting, entry(task, turn + 1))
        table[step] = sorted(task for _, task, _ in running)
    return table


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def draw_within_windows(
    quotas: Sequence[int], period: int, key: int, picks: int | None = None, owed: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """[period] tasks in a drawn order in which each still keeps within one run of its share.

    The j-th run of a task must lie in [(j - 1) * period / quota, j * period / quota); two runs that both
    stay in their windows may change places, and many rounds of such changes are made, as a key says.
    The quotas sum to the period. `picks` and `owed` as `steps` and `owed` of `schedule_slots`.
    """
    tasks = schedule_slots(quotas, period, 1, key, picks, owed)[:, 0]
    places = np.arange(len(tasks))
    quota = np.array(quotas, np.int64)[tasks]
    deserved = (_turns(tasks) + 1) * period - (0 if owed is None else np.array(owed, np.int64)[tasks])
    first = (deserved - period) // quota
    last = -(-deserved // quota) - 1
    runs = places.copy()  # runs[place]: which run of the first order stands there
    for number in range(EXCHANGES):
        noise = mix64(places.astype(np.uint64) ^ np.uint64(permutation_key(key, number)))
        # Near and far partners in turn: frequent tasks have short windows, rare ones long.
        distance = 1 + int(noise[0] % np.uint64(max(1, len(tasks) >> (1 + number % len(tasks).bit_length()))))
        offset = int(noise[0] >> np.uint64(32)) % (2 * distance)
        left = places[: len(tasks) - distance]
        left = left[(left + offset) // distance % 2 == 0]
        right = left + distance
        ours, theirs = runs[left], runs[right]
        swap = (noise[left] >> np.uint64(63) == 1) & (last[ours] >= right) & (first[theirs] <= left)
        runs[left[swap]], runs[right[swap]] = theirs[swap], ours[swap]
    return tasks[runs]


def _turns(tasks: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each entry's task stood before it."""
    order = np.argsort(tasks, kind="stable")
    turns = np.empty_like(order)
    starts = np.concatenate([[0], np.cumsum(np.bincount(tasks))])
    turns[order] = np.arange(len(tasks)) - starts[tasks[order]]
    return turns
