"""Weights that change with the step, and datasets that leave when they were read often enough.

A run is a chain of segments, each with weights of its own and the number of records that each
dataset was drawn before it. All of them are computed beforehand, so a position before any step is
a bisection and a look-up in one table.

A new segment begins where the mixture says, and at the first step at which a dataset has been read
`max_epochs` times: it leaves, and its weight goes to the others in proportion to theirs. Its last
slot may go beyond the limit by less than a slot, since batches are full. When no dataset is left,
the plan ends. What the others are behind or ahead when one leaves is made good afterwards: else, where
many leave one soon after the other, the rare ones would never have their turn.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.policies import make_schedule
from reader.schedule import Schedule, Slot
from schemas.mixture import BatchPolicy


@dataclass(frozen=True)
class Segment:
    """Steps of one set of weights."""

    first_step: int
    schedule: Schedule
    """Counts its steps from the segment's first."""
    drawn: NDArray[np.int64]
    """[datasets] records drawn before the segment."""
    shares: NDArray[np.float64]
    """[datasets] planned, summing to 1."""


@dataclass(frozen=True)
class SegmentedSchedule:
    """The schedule of a whole run: what its segments say, each for its steps."""

    segments: tuple[Segment, ...]
    end: int | None
    """The step from which there is nothing left to draw; None: there always is."""

    @property
    def largest_error(self) -> float:
        """Of any segment: the largest difference between a share and what a whole period gives."""
        return max(segment.schedule.largest_error for segment in self.segments)

    def segment(self, step: int) -> Segment:
        """The segment that a step belongs to; steps beyond the end count to the last."""
        return self.segments[bisect_right(self.segments, step, key=lambda segment: segment.first_step) - 1]

    def position(self, dataset: int, step: int) -> int:
        """Records of a dataset drawn before `step`."""
        if self.end is not None:
            step = min(step, self.end)
        segment = self.segment(step)
        return int(segment.drawn[dataset]) + segment.schedule.position(dataset, step - segment.first_step)

    def slots(self, step: int) -> list[Slot]:
        """The slots of a batch, in row order. Raises ValueError for a step beyond the end."""
        if self.end is not None and step >= self.end:
            raise ValueError(
                f"step {step:,} is beyond the plan's end: after {self.end:,} steps every dataset has been read "
                "max_epochs times; run fewer steps or raise max_epochs"
            )
        segment = self.segment(step)
        return [
            Slot(slot.dataset, slot.rows, int(segment.drawn[slot.dataset]) + slot.position)
            for slot in segment.schedule.slots(step - segment.first_step)
        ]

    def expected(self, step: int) -> NDArray[np.float64]:
        """[datasets] share of a dataset in each step before `step`, summed: what it deserves, in batches."""
        step = step if self.end is None else min(step, self.end)
        total = np.zeros(len(self.segments[0].drawn))
        for number, segment in enumerate(self.segments):
            end = self.segments[number + 1].first_step if number + 1 < len(self.segments) else step
            total += max(0, min(end, step) - segment.first_step) * segment.shares
        return total


def make_segments(
    weights: Sequence[tuple[int, Sequence[float]]],
    *,
    batch: BatchPolicy,
    batch_size: int,
    seed: int,
    limits: Sequence[int | None] = (),
) -> SegmentedSchedule:
    """The schedule of a run.

    `weights`: (first step, weight of each dataset), ascending. `limits`: records after which each
    dataset leaves; None, or no limits at all: never. Raises ValueError when the slots do not divide the batch.
    """
    count = len(weights[0][1])
    needed: NDArray[np.float64] = np.array(
        [math.inf if limit is None else limit for limit in limits or [None] * count], float
    )
    drawn = np.zeros(count, np.int64)
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "slots": batch.slots,
        "seed": seed,
        "policy": batch.policy,
    }
    segments: list[Segment] = []
    for number, (first, listed) in enumerate(weights):
        owed: NDArray[np.float64] | None = None
        next_listed = weights[number + 1][0] if number + 1 < len(weights) else None
        while next_listed is None or first < next_listed:
            left = [weight if needed[n] > 0 else 0 for n, weight in enumerate(listed)]
            if not any(left):
                return SegmentedSchedule(tuple(segments), first)
            shares = np.array(left, float) / sum(left)
            steps = None if next_listed is None else next_listed - first
            schedule, length = _until_one_leaves(left, shares, needed, steps, options | {"owed": owed})
            segments.append(Segment(first, schedule, drawn, shares))
            if length is None:
                return SegmentedSchedule(tuple(segments), None)
            first += length
            planned = shares * length * batch_size
            here = np.array([schedule.position(n, length) if left[n] else 0 for n in range(count)], np.int64)
            drawn, needed = drawn + here, needed - here.astype(float)
            owed = planned - here if owed is None else owed + planned - here
    raise AssertionError("the last segment ends with a return")


def _until_one_leaves(
    weights: list[float],
    shares: NDArray[np.float64],
    needed: NDArray[np.float64],
    steps: int | None,
    options: dict[str, Any],
) -> tuple[Schedule, int | None]:
    """The schedule of these weights, and its length: until a dataset has been drawn as often as needed.

    `needed`: records still to be drawn of each dataset, inf without a limit. The length is at most
    `steps`, and None for a segment without end. The table is made for the length alone.
    """
    limited = [n for n in range(len(weights)) if weights[n] and math.isfinite(needed[n])]
    if not limited:
        return make_schedule(weights, steps=steps, **options), steps
    # Not much longer than need be: short tables are made soon, and make good what is owed.
    horizon = min(needed[n] / (shares[n] * options["batch_size"]) for n in limited)
    while True:
        length = int(horizon) + 16
        length = length if steps is None else min(length, steps)
        schedule = make_schedule(weights, steps=length, **options)
        early = [n for n in limited if schedule.position(n, length) >= needed[n]]
        if early:
            leave = (bisect_left(range(length), needed[n], key=lambda t, n=n: schedule.position(n, t)) for n in early)
            return schedule, min(leave)
        if length == steps:
            return schedule, steps
        horizon = 1.5 * length
