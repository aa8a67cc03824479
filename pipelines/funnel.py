"""Counting as data: what a generator drops is a value, and the values add up to the manifest.

Beam's own counters over-count when a bundle is retried, so they are for looking; the counts that a
manifest states travel through the pipeline and are summed by key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from schemas.manifest import Stage

TALLIES, BAD_FILES = "tallies", "bad_files"
STAGES = ("read", "pair", "filter", "dedup", "split")
"""The funnel's stages, in order."""


class Read(NamedTuple):
    """Raw records taken in for a dataset."""

    dataset: str
    records: int = 1


class Drop(NamedTuple):
    """Records that end here, and why."""

    dataset: str
    stage: str
    reason: str
    records: int = 1


class BadFile(NamedTuple):
    """An input that cannot be read to its end. It fails the job once all inputs were tried."""

    message: str


Tally = tuple[tuple[str, str, str], int]
"""((dataset, stage, reason), records); the raw records read have the stage and reason ''."""


class Counted(beam.DoFn):
    """A generator function as a DoFn: `Read`, `Drop` and `BadFile` become counts, the rest goes on.

    The counts are emitted once a bundle, under the tag `TALLIES`.
    """

    def __init__(self, generator: Callable[..., Iterable[Any]]) -> None:
        self._generator = generator

    def start_bundle(self) -> None:
        self._tally: Counter[tuple[str, str, str]] = Counter()

    def process(self, element, *args):  # Beam reads annotations as its own type hints, and *args has none it takes
        for outcome in self._generator(element, *args):
            if isinstance(outcome, Drop):
                self._tally[outcome.dataset, outcome.stage, outcome.reason] += outcome.records
            elif isinstance(outcome, Read):
                self._tally[outcome.dataset, "", ""] += outcome.records
            elif isinstance(outcome, BadFile):
                yield TaggedOutput(BAD_FILES, outcome.message)
            else:
                yield outcome

    def finish_bundle(self) -> Iterator[Any]:
        for (dataset, stage, reason), records in sorted(self._tally.items()):
            Metrics.counter(stage or "read", f"{dataset}: {reason}" if reason else dataset).inc(records)
            tally = ((dataset, stage, reason), records)
            yield TaggedOutput(TALLIES, WindowedValue(tally, GlobalWindow().max_timestamp(), (GlobalWindow(),)))


def counted(label: str, generator: Callable[..., Iterable[Any]], *args: Any) -> Any:
    """`label >> ParDo(Counted(generator))` with its three outputs: `main`, `tallies`, `bad_files`."""
    return label >> beam.ParDo(Counted(generator), *args).with_outputs(TALLIES, BAD_FILES, main="main")


def build_funnel(dataset: str, tallies: Mapping[tuple[str, str, str], int]) -> tuple[int, tuple[Stage, ...]]:
    """(records read, the stages in order) of one dataset."""
    read = left = tallies.get((dataset, "", ""), 0)
    stages = []
    for name in STAGES:
        drops = {
            reason: records
            for (of, stage, reason), records in sorted(tallies.items())
            if of == dataset and stage == name
        }
        left -= sum(drops.values())
        stages.append(Stage(name, left, drops))
    return read, tuple(stages)
