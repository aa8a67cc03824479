"""Where a mixture will not do what its weights seem to say, found from the plan alone."""

from __future__ import annotations

from collections.abc import Sequence

from reader.coverage import DatasetCoverage
from reader.mixing_report import MixingRow
from reader.segments import SegmentedSchedule
from schemas.mixture import BatchPolicy

NAMED = 3
"""Datasets named in one line of advice; more are counted."""


def advise(
    rows: Sequence[DatasetCoverage],
    report: Sequence[MixingRow],
    schedule: SegmentedSchedule,
    *,
    batch: BatchPolicy,
    batch_size: int,
    steps: int,
) -> list[str]:
    """One line for each way in which weights lose effect, slots are too large or the plan is too short.

    `rows` and `report` are of the same datasets over the same `steps`.
    """
    slot = batch_size // {"homogeneous": batch.slots, "v1-half": 2}.get(batch.policy, 1)
    drawn = [row for row in rows if row.share > 0]
    said = []
    if schedule.end is not None and schedule.end < steps:
        said.append(f"the plan ends after {schedule.end:,} steps: by then every dataset was read max_epochs times")
    if schedule.largest_error:
        said.append(
            f"weights are rounded to a period of the schedule: shares are off by {schedule.largest_error:.1e} at most"
        )
    off = [row.name for row in report if abs(row.difference) > max(slot, 0.01 * row.planned * batch_size * steps)]
    said += _tell(off, "{} gets a share of the run that differs by more than a slot and 1% from its weight's")
    said += _tell(
        [row.name for row in drawn if row.share * batch_size * steps < slot],
        f"{{}} deserves less than one slot of {slot:,} rows in the whole run, and may not be drawn at all",
    )
    said += _tell(
        [row.name for row in drawn if row.share * batch_size < 1 and row.share * batch_size * steps >= slot],
        f"{{}} is worth less than one row a batch: it comes in a slot of {slot:,} rows now and then",
    )
    said += _tell(
        [row.name for row in drawn if row.lines is not None and row.lines < max(slot, row.share * batch_size)],
        "{} has fewer pairs than its slot has rows: pairs come twice in a batch, which the loss masks",
    )
    if batch.policy == "homogeneous":
        said += _tell(
            [row.name for row in drawn if row.share * batch.slots > 1],
            f"{{}} has more than one of {batch.slots} slots' weight: it sits in every batch with a larger slot",
        )
        if len(drawn) == 1 or max(row.share for row in drawn) * batch_size > batch_size - 1 or batch.slots == 1:
            said.append("there are batches of a single dataset")
    return said


def _tell(names: Sequence[str], what: str) -> list[str]:
    """One line about all these datasets; none about none."""
    if not names:
        return []
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    if len(names) > 1:
        shown = f"each of {shown}"
    return [what.format(shown)]
