"""Published ways to fill a batch, as presets: each a pure function of weights, seed and step.

- `v1-half`: two datasets drawn for each batch, half of the rows each; both may be the same.
- `v2-block`: one dataset fills four batches in a row.
- `flax-75-25`: of four batches three are of one dataset each, the fourth is drawn row by row.

The originals draw by chance. Here what is drawn comes from periodic sequences of picks (at most 65,536) in
a seeded order that holds the weights: after any number of picks each dataset is within one pick of
its share, and over a period exact, or off by the error that is reported. So a dataset is within
two halves, one block, and one batch and a row of its weight, at any step from the first.

These keep the originals' habits: a batch may hold one dataset, and a frequent one comes in most of them.
A single dataset fills every batch under any policy; a weight of 0 is never drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from reader.ledger import Ledger
from reader.permutation import permutation_key
from reader.pfair import MAX_PERIOD, common_period, draw_within_windows, whole_debts, whole_quotas
from reader.schedule import Schedule, Slot, exact_shares, largest_difference, make_homogeneous

BLOCK = 4
"""Steps of a block of `v2-block`, and of the group in which `flax-75-25` has its mixed batch."""
LONG_ENOUGH = 4096
"""Picks after which an order may repeat, though the weights would let it repeat sooner."""


def make_schedule(
    weights: Sequence[float],
    *,
    batch_size: int,
    slots: int,
    seed: int,
    policy: str = "homogeneous",
    steps: int | None = None,
    owed: Sequence[float] | None = None,
) -> Schedule:
    """The schedule of a policy for datasets with these weights; a weight of 0 leaves a dataset out.

    `slots` matter to `homogeneous` alone; `steps`: how many will be asked for, None: no end; `owed`:
    rows that each dataset is behind at the start, which a run of at most 65,536 picks makes good.
    Raises ValueError when slots or halves do not divide the batch.
    """
    if policy == "homogeneous":
        return make_homogeneous(weights, batch_size=batch_size, slots=slots, seed=seed, steps=steps, owed=owed)

    def draw(name: str, picks: int | None, rows: int) -> Picks:
        """Picks worth so many rows each."""
        behind = None if owed is None else [debt / rows for debt in owed]
        return _draw_picks(weights, permutation_key(seed, policy, name), picks, behind)

    if policy == "v1-half":
        if batch_size % 2:
            raise ValueError(f"batch size {batch_size} has no two halves; the nearest that has: {batch_size + 1}")
        # Each half makes good half of what is owed.
        return HalfBatches(draw("0", steps, batch_size), draw("1", steps, batch_size), batch_size // 2)
    if policy == "v2-block":
        blocks = None if steps is None else -(-steps // BLOCK)
        return BlockBatches(draw("block", blocks, BLOCK * batch_size), batch_size)
    if policy == "flax-75-25":
        groups = None if steps is None else -(-steps // BLOCK)
        return MostlySingleBatches(
            single=draw("single", groups and groups * (BLOCK - 1), batch_size),
            mixed=_draw_picks(weights, permutation_key(seed, policy, "mixed"), groups and groups * batch_size),
            batch_size=batch_size,
            key=permutation_key(seed, policy, "places"),
        )
    raise ValueError(f"unknown policy {policy!r}")


@dataclass(frozen=True)
class Picks:
    """An endless sequence of datasets that repeats: after any number of picks each is within one of its share."""

    datasets: NDArray[np.int64]
    """[T]"""
    ledger: Ledger
    """Picks of each dataset."""
    largest_error: float

    def __getitem__(self, pick: int) -> int:
        return int(self.datasets[pick % len(self.datasets)])

    def counts(self, first: int, count: int) -> list[tuple[int, int]]:
        """(dataset, picks) among `count` picks from `first` on, by dataset."""
        found = self.datasets[(first + np.arange(count)) % len(self.datasets)]
        datasets, counts = np.unique(found, return_counts=True)
        return list(zip(datasets.tolist(), counts.tolist(), strict=True))


def _draw_picks(weights: Sequence[float], key: int, picks: int | None, behind: Sequence[float] | None = None) -> Picks:
    """`behind`: picks that each dataset is owed."""
    shares = exact_shares(weights)
    exact = common_period(list(shares.values()))
    period = min(exact * max(1, -(-LONG_ENOUGH // exact)), MAX_PERIOD)
    quotas = whole_quotas(list(shares.values()), period, period)
    debts = None
    if behind is not None and picks is not None and picks <= MAX_PERIOD:
        debts = whole_debts([behind[number] for number in shares], period)
    datasets = np.array(list(shares))[draw_within_windows(quotas, period, key, picks, debts)]
    ledger = Ledger.of(datasets[:, None], np.ones((len(datasets), 1), np.int64), len(weights))
    planned = {number: Fraction(quota, period) for number, quota in zip(shares, quotas, strict=True)}
    return Picks(datasets, ledger, largest_difference(planned, shares))


@dataclass(frozen=True)
class HalfBatches:
    """`v1-half`: each half of the batch has picks of its own, so the two coincide as often as chance has it."""

    first: Picks
    second: Picks
    half: int
    """Rows of a half."""

    @property
    def largest_error(self) -> float:
        return max(self.first.largest_error, self.second.largest_error)

    def position(self, dataset: int, step: int) -> int:
        return self.half * (self.first.ledger.given(dataset, step) + self.second.ledger.given(dataset, step))

    def slots(self, step: int) -> list[Slot]:
        one, other = self.first[step], self.second[step]
        beside = self.half if one == other else 0
        return [
            Slot(one, self.half, self.position(one, step)),
            Slot(other, self.half, self.position(other, step) + beside),
        ]


@dataclass(frozen=True)
class BlockBatches:
    """`v2-block`: a pick is four batches."""

    picks: Picks
    batch_size: int

    @property
    def largest_error(self) -> float:
        return self.picks.largest_error

    def position(self, dataset: int, step: int) -> int:
        block, within = divmod(step, BLOCK)
        batches = BLOCK * self.picks.ledger.given(dataset, block) + within * (self.picks[block] == dataset)
        return self.batch_size * batches

    def slots(self, step: int) -> list[Slot]:
        dataset = self.picks[step // BLOCK]
        return [Slot(dataset, self.batch_size, self.position(dataset, step))]


@dataclass(frozen=True)
class MostlySingleBatches:
    """`flax-75-25`: a pick is a batch, and in one batch of each four, at a place drawn for them, a row."""

    single: Picks
    mixed: Picks
    batch_size: int
    key: int

    @property
    def largest_error(self) -> float:
        return max(self.single.largest_error, self.mixed.largest_error)

    def _before(self, step: int) -> tuple[int, int, bool]:
        """(single batches, mixed batches before a step, whether the step itself is mixed)."""
        group, within = divmod(step, BLOCK)
        place = permutation_key(self.key, group) % BLOCK
        return group * (BLOCK - 1) + within - (within > place), group + (within > place), within == place

    def position(self, dataset: int, step: int) -> int:
        singles, mixed, _ = self._before(step)
        rows_of_mixed = self.mixed.ledger.given(dataset, mixed * self.batch_size)
        return self.batch_size * self.single.ledger.given(dataset, singles) + rows_of_mixed

    def slots(self, step: int) -> list[Slot]:
        """A mixed batch has its rows dataset by dataset: the loss sees no order, and fewer reads are needed."""
        singles, mixed, is_mixed = self._before(step)
        if not is_mixed:
            dataset = self.single[singles]
            return [Slot(dataset, self.batch_size, self.position(dataset, step))]
        counts = self.mixed.counts(mixed * self.batch_size, self.batch_size)
        return [Slot(dataset, rows, self.position(dataset, step)) for dataset, rows in counts]
