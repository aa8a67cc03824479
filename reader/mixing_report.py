"""Planned against realised: what a stretch of steps draws of each dataset, and what it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reader.segments import SegmentedSchedule


@dataclass(frozen=True)
class MixingRow:
    """One dataset over a stretch of steps."""

    name: str
    planned: float
    """Share of the rows that the weights give it, 0 to 1."""
    realised: float
    """Share of the rows that it got."""
    rows: int
    """Rows that it got."""
    difference: float
    """Rows beyond what the weights give it; negative when it is behind."""


def compare_shares(
    names: Sequence[str], schedule: SegmentedSchedule, *, start: int, count: int, batch_size: int
) -> list[MixingRow]:
    """Steps `start` … `start + count - 1`, by arithmetic: no batch is looked at, so any stretch takes as long.

    Raises ValueError for a stretch without steps. Steps beyond the plan's end do not count.
    """
    end = start + count if schedule.end is None else min(start + count, schedule.end)
    if end <= start:
        raise ValueError(f"no step from {start:,} to {end:,}; expected at least one before the plan's end")
    total = (end - start) * batch_size
    deserved = (schedule.expected(end) - schedule.expected(start)) * batch_size
    found = []
    for number, name in enumerate(names):
        rows = schedule.position(number, end) - schedule.position(number, start)
        planned = float(deserved[number])
        found.append(MixingRow(name, planned / total, rows / total, rows, rows - planned))
    return found
