"""Running a stage: a source's generator on one piece of work, its outcomes routed and counted.

A piece of work is some input files, or one partition of a shuffle. What becomes of it is a list of
outputs: blobs for later stages, counts, bad files. On one machine the blobs are spilled and the list
is written down when the piece is finished; asked again, after a kill, the list is read instead.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import TaggedOutput

from pipelines.collect import PAIR_SHUFFLES, PairCollector, PairRules
from pipelines.funnel import ORIGIN, BadFile, Drop, Keyed, KeyedBlock, Origin, Outcome, Read, Tallies
from pipelines.progress import Progress
from pipelines.shuffle import SPILLS, Blob, Cap, Outbox, Spill, gather
from schemas.pair import Pair

TALLIES, SAMPLES, BAD_FILES, CELL_FILES = "tallies", "samples", "bad_files", "cell_files"
_ONE_AT_A_TIME = threading.RLock()
"""Whatever a runner's threads, one piece of work is in a process's memory."""

Output = tuple[str, Any]
"""(tag, value): a Blob under the name of its stage, everything else as JSON has it."""


class Task(NamedTuple):
    """Some input files, read as one piece of work."""

    number: int
    inputs: tuple[str, ...]
    stripe: int = 0
    """Of a file that several workers share: which of its blocks of lines, counted modulo `stripes`."""
    stripes: int = 1


@dataclass(frozen=True)
class StagePlan:
    """One of a source's stages."""

    number: int
    function: Callable[..., Iterator[Outcome]]
    """Of an input, or of (key, values)."""
    rules: PairRules
    staging: str
    spills: str | None
    """Folder for spills and the lists of finished work; None: blobs go through the runner."""
    splittable: bool = False
    cap: Cap | None = None

    @property
    def name(self) -> str:
        return stage_name(self.number)


def stage_name(number: int) -> str:
    """The name under which a source's stage is shuffled to."""
    return f"stage{number}"


class Work(beam.DoFn):
    """Does pieces of work, one at a time in a process, each once."""

    OUTPUTS = (TALLIES, SAMPLES, BAD_FILES, SPILLS)

    def __init__(self, name: str, spills: str | None, bits: int) -> None:
        self._name, self._spills, self._bits = name, spills, bits

    def outputs(self, element: Any, *sides: Any) -> Iterator[Output]:
        """What becomes of a piece of work."""
        raise NotImplementedError

    def process(self, element, *sides):  # Beam reads annotations as its own type hints, and *sides has none it takes
        with _ONE_AT_A_TIME, _collector_paused():
            since = time.perf_counter()
            for tag, value in self._once(element, *sides):
                if tag == TALLIES:
                    self._count(*value)
                if isinstance(value, Blob):
                    self._measure(value)
                    yield TaggedOutput(tag, (value.partition, value.data))
                else:
                    yield TaggedOutput(tag, value)
            Metrics.distribution(self._name, "milliseconds").update(round((time.perf_counter() - since) * 1000))

    def _count(self, key: Any, records: int) -> None:
        dataset, stage, reason = key
        if not stage.startswith(ORIGIN):  # subreddits are thousands, too many for counters of a runner
            Metrics.counter(stage or "read", f"{dataset}: {reason}" if reason else dataset).inc(records)

    def _measure(self, blob: Blob) -> None:
        Metrics.distribution(self._name, "blob bytes").update(len(blob.data))

    def _once(self, element: Any, *sides: Any) -> Iterator[Output]:
        if self._spills is None:
            yield from self.outputs(element, *sides)
            return
        done = f"{self._spills}/done-{self._name}-{element[0]}.json"
        if not os.path.exists(done):
            with Spill(self._spills, self._bits) as spill:
                outputs: list[Output] = [(SPILLS, spill.name)]
                for tag, value in self.outputs(element, *sides):
                    if isinstance(value, Blob):
                        self._measure(value)
                        spill.write(value)
                    else:
                        outputs.append((tag, value))
            write_whole(done, orjson.dumps(outputs))
        for tag, value in _read_done(done):
            yield tag, _hashable(value)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without Python's search for cycles: a piece of work makes millions of objects, and none that holds itself."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_done(path: str) -> Any:
    with open(path, "rb") as file:
        try:
            return orjson.loads(file.read())
        except orjson.JSONDecodeError:
            raise OSError(f"{path}: damaged or cut short; run the job again") from None


def _hashable(value: Any) -> Any:
    """JSON has lists where we have tuples."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def write_whole(path: str, content: bytes) -> None:
    """Write a local file that appears whole or not at all."""
    temporary = f"{path}.{uuid.uuid4().hex}.part"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.rename(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)  # renamed by now, unless something failed


class RunStage(Work):
    """A source's stage on one task, or on one partition: (partition, blobs)."""

    def __init__(self, plan: StagePlan) -> None:
        super().__init__(plan.name, plan.spills, plan.rules.bits)
        self._plan = plan

    def outputs(self, element: Task | tuple[int, Iterable[bytes]]) -> Iterator[Output]:
        collector, outbox, tallies = PairCollector(self._plan.rules), Outbox(self._plan.rules.bits), Tallies()
        progress = Progress(self._plan.spills)
        following, keep_rejects = stage_name(self._plan.number + 1), self._plan.rules.keep_rejects

        def drop(outcome: Drop) -> None:
            tallies.drop(outcome)
            if keep_rejects and outcome.texts:
                collector.add_reject(outcome)

        for outcome in self._outcomes(element):
            match outcome:
                case Pair():
                    if (dropped := collector.add(outcome)) is not None:
                        drop(dropped)
                case Drop():
                    drop(outcome)
                    if not keep_rejects:
                        continue  # nothing waits
                case Keyed(key, value, stage):
                    outbox.put(following if stage is None else stage_name(stage), key, value)
                    if outbox.is_full:
                        yield from _named(outbox.flush())
                case KeyedBlock(values, size):
                    outbox.put_block(following, values, size)
                    if outbox.is_full:
                        yield from _named(outbox.flush())
                case Read():
                    tallies.read(outcome)
                    progress.add(outcome.records)
                case Origin():
                    tallies.come_from(outcome)
                case BadFile(message):
                    yield BAD_FILES, message
            if collector.must_settle:
                list(map(drop, collector.settle()))
                if collector.is_full:
                    yield from _named(collector.flush())
        list(map(drop, collector.settle()))
        yield from _named(outbox.flush())
        yield from _named(collector.flush())
        yield from data_of(tallies)

    def _outcomes(self, element: Task | tuple[int, Iterable[bytes]]) -> Iterator[Outcome]:
        function = self._plan.function
        if isinstance(element, Task):
            if self._plan.splittable:
                function = partial(function, stripe=element.stripe, stripes=element.stripes)
            return chain.from_iterable(map(function, element.inputs))
        groups: dict[str, list[Any]] = {}
        beyond = gather(element[1], groups, self._plan.cap)  # fills the groups, so it comes first
        return chain(beyond, chain.from_iterable(map(function, _items(groups))))


def _items(groups: dict[str, list[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """The groups' items, asked for no sooner than the first is wanted."""
    yield from groups.items()


def _named(blobs: Iterable[Blob]) -> Iterator[Output]:
    for blob in blobs:
        yield blob.stage, blob


def data_of(tallies: Tallies) -> Iterator[Output]:
    """Counts and samples as outputs."""
    counts, samples = tallies.to_data()
    for tally in counts:
        yield TALLIES, tally
    for sample in samples:
        yield SAMPLES, sample


def outputs_of(stages: Sequence[str]) -> tuple[str, ...]:
    """Tags that a stage may give, where these stages may follow."""
    return (*Work.OUTPUTS, *stages, *PAIR_SHUFFLES)
