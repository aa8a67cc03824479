"""The whole job: raw files → pairs → filters → one shuffle → shards → manifest.

Read `build` for the job and `run` for what happens around it.
"""

from __future__ import annotations

import dataclasses
import re
import signal
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import apache_beam as beam
import google_crc32c
import numpy as np
import orjson
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.pvalue import AsList, AsSingleton, PCollection
from numpy.typing import NDArray

from pipelines.dedup import make_entry
from pipelines.files import COMPRESSED, InputFile, open_raw
from pipelines.filters import ApplyFilters, not_unicode
from pipelines.funnel import BAD_FILES, TALLIES, build_funnel, counted
from pipelines.output import clear_failed, clear_staging, load_manifest, make_room
from pipelines.sources.base import DatasetInfo, Source
from pipelines.write import (
    CellFile,
    ShardTask,
    WrittenShard,
    length_statistics,
    move_when_whole,
    plan_shards,
    write_cell,
    write_planned_shard,
)
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split, is_relative_name
from schemas.pair import TEST, Pair, fingerprint, split_of

# DirectRunner would first try to download a Prism binary; this is the runner it falls back to.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
CELL_INPUT_BYTES = 32 << 20
COMPRESSION_GUESS = 8
MAX_CELL_BITS = 14


class JobError(RuntimeError):
    """The job ran and wrote nothing; the message says why, a line for each cause."""


@dataclass(frozen=True)
class Job:
    """One call of `pairstream preprocess SOURCE`."""

    source: Source
    inputs: tuple[str, ...]
    output: str
    dataset: str | None = None
    """Name for the one dataset the source writes; None: the source's own."""
    seed: int = 0
    """Seeds the global order."""
    shard_size: int = 128_000_000
    """A shard closes when it holds this many bytes."""
    overwrite: bool = False
    skip_bad_files: bool = False
    """Go on without inputs that cannot be read to their end, and list them in the manifest."""
    command: tuple[str, ...] = ()
    """The command line, for the manifest."""
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"shard size is {self.shard_size}; expected at least 1 byte")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed is {self.seed}; expected 0 to 2^63 - 1")
        if not 0 <= self.source.test_fraction < 1:
            raise ValueError(f"test fraction is {self.source.test_fraction}; expected 0 up to, not including, 1")
        if re.search(r"[*?[]", self.output):  # Beam would take it for a glob and delete what it matches
            raise ValueError(f"output is {self.output!r}; expected a path without '*', '?' and '['")
        if self.dataset is not None and not is_relative_name(self.dataset):
            raise ValueError(f"dataset is {self.dataset!r}; expected a plain name, relative and without '..'")
        if self.dataset is not None and len(self.source.datasets) > 1:
            names = ", ".join(info.name for info in self.source.datasets)
            raise ValueError(f"--dataset names one dataset, but this source writes {names}")

    @property
    def datasets(self) -> tuple[DatasetInfo, ...]:
        """What the job writes, renamed where asked."""
        if self.dataset is None:
            return self.source.datasets
        return (self.source.datasets[0]._replace(name=self.dataset),)

    def folder(self, dataset: str) -> str:
        """A single dataset lies straight under the output, several in folders of their names."""
        straight = len(self.datasets) == 1 and not self.source.always_in_folders
        return self.output if straight else FileSystems.join(self.output, dataset)

    @property
    def options(self) -> dict[str, Any]:
        """All that decides the bytes."""
        return {"seed": self.seed, "shard_size": self.shard_size, **dataclasses.asdict(self.source.options)}


def build(pipeline: beam.Pipeline, job: Job, files: list[InputFile], staging: str) -> None:
    """The job's graph. It ends with the manifests in place, or with the reasons why not in `staging`."""
    raw = (
        pipeline
        | "Files" >> beam.Create([file.path for file in files])
        | "SpreadFiles" >> beam.Reshuffle()
        | job.source.__class__.__name__ >> _ReadPairs(job)
    )  # Pair
    pairs = raw["pairs"] | counted("Filter", ApplyFilters((not_unicode, *job.source.filters)))  # Pair
    cells = (
        pairs.main
        | "Key"
        >> beam.Map(key_by_cell, job.source.test_fraction, job.seed, cell_bits(files))  # ((dataset, cell), entry)
        | "GroupByCell" >> beam.GroupByKey()  # ((dataset, cell), [entry])
        | counted(
            "WriteCells", write_cell, staging, AsSingleton(_test_texts(pipeline, pairs.main, job.source))
        )  # CellFile
    )
    bad_files = raw[BAD_FILES]
    shards = (
        pipeline
        | "Plan" >> beam.Create([job.shard_size])
        | "PlanShards" >> beam.FlatMap(plan_unless_bad, AsList(cells.main), AsList(bad_files), job.skip_bad_files)
        | "SpreadShards" >> beam.Reshuffle()
        | "WriteShards" >> beam.Map(write_in_place, job, staging)
    )  # ShardTask, then WrittenShard
    tallies = (raw[TALLIES], pairs[TALLIES], cells[TALLIES]) | "AllTallies" >> beam.Flatten() | beam.CombinePerKey(sum)
    (
        pipeline
        | "Finish" >> beam.Create(["manifests"])
        | "WriteManifests"
        >> beam.Map(
            lambda _, *given: finish(*given),
            job,
            files,
            staging,
            AsList(tallies),
            AsList(cells.main),
            AsList(shards),
            AsList(bad_files),
        )
    )


class _ReadPairs(beam.PTransform):
    """The source's own stages, under one name in the graph."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def expand(self, files: PCollection) -> dict[str, PCollection]:  # type: ignore[override]
        outcomes = self._job.source.read_pairs(files, self._job.datasets)
        return {
            "pairs": outcomes.pairs,
            TALLIES: outcomes.tallies | "Tallies" >> beam.Flatten(),
            BAD_FILES: outcomes.bad_files | "BadFiles" >> beam.Flatten(),
        }


def key_by_cell(pair: Pair, test_fraction: float, seed: int, bits: int) -> tuple[tuple[str, int], bytes]:
    """((dataset, prefix of the shuffle key), entry)."""
    entry = make_entry(pair, test_fraction=test_fraction, seed=seed)
    return (pair.dataset, entry.key >> (64 - bits)), entry.to_bytes()


def cell_bits(files: list[InputFile]) -> int:
    """Bits of the cells' prefix, so that one cell is easily held in memory. It never shows in the output."""
    plain = sum(file.bytes * (COMPRESSION_GUESS if file.path.endswith(COMPRESSED) else 1) for file in files)
    return min(max((plain // CELL_INPUT_BYTES).bit_length(), 1), MAX_CELL_BITS)


def _test_texts(pipeline: beam.Pipeline, pairs: PCollection[Pair], source: Source) -> Any:
    """One array: sorted fingerprints of all texts in the test split, empty unless the source asks for them."""
    if not (source.drop_train_texts_in_test and source.test_fraction > 0):
        return pipeline | "NoTestTexts" >> beam.Create([np.zeros(0, np.uint64)])
    return (
        pairs
        | "TestTexts" >> beam.FlatMap(_fingerprints_in_test, source.test_fraction)
        | "UniqueTestTexts" >> beam.CombineGlobally(UniqueFingerprints())
    )


def _fingerprints_in_test(pair: Pair, test_fraction: float) -> Iterable[int]:
    return fingerprint(pair).texts if split_of(pair, test_fraction) == TEST else ()


class UniqueFingerprints(beam.CombineFn):
    """A sorted array of the distinct 64-bit integers seen."""

    def create_accumulator(self) -> set[int]:
        return set()

    def add_input(self, mutable_accumulator: set[int], element: int) -> set[int]:
        mutable_accumulator.add(element)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[set[int]]) -> set[int]:
        return set().union(*accumulators)

    def extract_output(self, accumulator: set[int]) -> NDArray[np.uint64]:
        return np.sort(np.fromiter(accumulator, np.uint64, len(accumulator)))


def write_in_place(task: ShardTask, job: Job, staging: str) -> WrittenShard:
    """A shard under its final name."""
    return write_planned_shard(task, staging, job.folder(task.dataset))


def plan_unless_bad(
    shard_size: int, cells: list[CellFile], bad_files: list[str], skip_bad_files: bool
) -> Iterator[Any]:
    """Shards to write; none when an input was bad, so that nothing half-read gets a final name."""
    if skip_bad_files or not bad_files:
        yield from plan_shards(cells, shard_size)


def finish(
    job: Job,
    files: list[InputFile],
    staging: str,
    tallies: list[tuple[tuple[str, str, str], int]],
    cells: list[CellFile],
    shards: list[WrittenShard],
    bad_files: list[str],
) -> None:
    """Write each manifest, or leave the reasons why there is none in `staging`."""
    problems = [] if job.skip_bad_files else sorted(bad_files)
    manifests: list[Manifest] = []
    if not problems:
        inputs = {"files": len(files), "bytes": sum(file.bytes for file in files), "bad": sorted(bad_files)}
        manifests = [_manifest(job, info, inputs, dict(tallies), cells, shards) for info in job.datasets]
    if manifests and not shards:
        drops = [drop for m in manifests for stage in m.parts[0].funnel for drop in stage.drops.items()]
        reasons = ", ".join(f"{reason} {records:,}" for reason, records in drops) or "no record was read"
        problems = [f"no pair is left to write ({reasons}); check the input and the options"]
    with move_when_whole(f"{staging}/problems.json", staging) as file:
        file.write(orjson.dumps(problems))
    if not problems:
        for manifest in manifests:
            with move_when_whole(FileSystems.join(manifest.folder, MANIFEST_NAME), staging) as file:
                file.write(manifest.to_bytes())


def _manifest(
    job: Job,
    info: DatasetInfo,
    inputs: dict[str, Any],
    tallies: dict[tuple[str, str, str], int],
    cells: list[CellFile],
    shards: list[WrittenShard],
) -> Manifest:
    of_split: defaultdict[str, list[WrittenShard]] = defaultdict(list)
    for written in sorted(shards, key=lambda written: (written.split, written.number)):
        if written.dataset == info.name:
            of_split[written.split].append(written)
    read, funnel = build_funnel(info.name, tallies)
    part = Part(
        path="",
        command=job.command,
        options=job.options,
        inputs=inputs,
        read=read,
        funnel=funnel,
        splits={
            split: Split(
                records=sum(item.shard.records for item in written),
                bytes=sum(item.shard.bytes for item in written),
                window=written[0].window,
                shards=tuple(item.shard for item in written),
            )
            for split, written in of_split.items()
        },
        statistics=length_statistics(cell for cell in cells if cell.dataset == info.name),
    )
    return Manifest(
        dataset=info.name,
        tuple=info.tuple,
        licence=info.licence,
        citation=info.citation,
        url=info.url,
        parts=(part,),
        folder=job.folder(info.name),
    )


def run(job: Job) -> list[Manifest]:
    """Run the job to its end and return the manifests it wrote.

    Raises FileNotFoundError for inputs that are not there, FileExistsError for an output that is
    complete, OSError for one that cannot be written, and JobError when the job wrote nothing.
    """
    if google_crc32c.implementation != "c":
        raise RuntimeError("google-crc32c runs in pure Python here, hundreds of times slower; install its binary wheel")
    files = job.source.find_inputs(job.inputs)
    folders = [job.folder(info.name) for info in job.datasets]
    staging = make_room(job.output, folders, overwrite=job.overwrite)
    try:
        with _interruptible():
            _run_pipeline(job, files, staging)
        with open_raw(f"{staging}/problems.json") as file:
            problems = orjson.loads(file.read())
        if problems:
            raise JobError("\n".join(problems))
    except BaseException:
        clear_failed(job.output, folders, staging)
        raise
    clear_staging(staging)
    return [load_manifest(folder) for folder in folders]


def _run_pipeline(job: Job, files: list[InputFile], staging: str) -> None:
    options = PipelineOptions(list(job.beam_options))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = LOCAL_RUNNER
    with beam.Pipeline(options=options) as pipeline:
        build(pipeline, job, files, staging)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C comes out as KeyboardInterrupt: a runner catches it and raises something of its own."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    in_main = threading.current_thread() is threading.main_thread()  # the only one that gets signals
    before = signal.signal(signal.SIGINT, interrupt) if in_main else None
    try:
        yield
    except BaseException:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)
