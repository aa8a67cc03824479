"""The whole job: raw files → pairs → filters → one shuffle → shards → manifest.

Read `build` for the job and `run` for what happens around it.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

import apache_beam as beam
import google_crc32c
import orjson
from apache_beam.pvalue import AsList

from pipelines.collect import BANDS, CELLS, TEST_TEXTS, PairRules
from pipelines.decontaminate import EvalTexts, load_eval_texts
from pipelines.dedup import REJECTS
from pipelines.files import InputFile, open_raw
from pipelines.finish import finish
from pipelines.funnel import smallest_samples
from pipelines.hot_texts import TEXTS, limits_of
from pipelines.job import BeamJob, Job, rejects_name
from pipelines.layout import (
    Layout,
    identity_of,
    local_folder,
    parse_size,
    partition_bits,
    plan_tasks,
    read_tasks,
    write_tasks,
)
from pipelines.marks import FindNearDuplicates, ReadKnown
from pipelines.near_duplicates import Signer
from pipelines.output import Target, clear_failed, clear_staging, load_manifest, locked, make_room
from pipelines.progress import State, watched
from pipelines.shuffle import Shuffle
from pipelines.stages import (
    BAD_FILES,
    CELL_FILES,
    SAMPLES,
    TALLIES,
    RunStage,
    StagePlan,
    Task,
    Work,
    outputs_of,
    stage_name,
)
from pipelines.write import CellFile, ShardTask, WriteCells, WrittenShard, plan_shards, write_planned_shard
from schemas.manifest import Manifest
from schemas.shards import fingerprints_name


class JobError(RuntimeError):
    """The job ran and wrote nothing; the message says why, a line for each cause."""


def build(pipeline: beam.Pipeline, job: Job, layout: Layout) -> None:
    """The job's graph. It ends with the manifests in place, or with the reasons why not in the staging folder."""
    staging, spills, rules = layout.staging, layout.spills, layout.rules
    functions, caps = job.source.stages(job.datasets), job.source.caps(job.datasets)
    names = [stage_name(number) for number in range(1, len(functions))]
    tasks = (
        pipeline
        | "TaskList" >> beam.Create([f"{staging}/tasks"])  # a path: a graph must not grow with the files
        | "Tasks" >> beam.FlatMap(read_tasks)
        | "SpreadTasks" >> beam.Reshuffle()
    )
    stages: list[Any] = []

    def shuffled(label: str, name: str, *more: Any) -> Any:
        shuffle = Shuffle(name, rules.bits, spills)
        return shuffle.chosen_from([*stages, *more]) | label >> shuffle

    for number, function in enumerate(functions):
        plan = StagePlan(number, function, rules, staging, spills, job.source.splittable, caps.get(number))
        work = shuffled(f"Shuffle{number}", names[number - 1]) if number else tasks
        stages.append(work | label_of(function) >> beam.ParDo(RunStage(plan)).with_outputs(*outputs_of(names)))

    marking: list[Any] = []
    if any(target.part for target in layout.targets.values()):
        known = pipeline | "OlderParts" >> beam.Create([f"{staging}/known"]) | "Older" >> beam.FlatMap(read_tasks)
        marking.append(known | "ReadKnown" >> _marks(ReadKnown(rules, spills)))
    if rules.signer:
        bands = shuffled("ShuffleBands", BANDS)
        marking.append(bands | "NearDuplicates" >> _marks(FindNearDuplicates(rules, spills)))
    test_texts: Any = pipeline | "None" >> beam.Create([], reshuffle=False)
    limits = test_texts
    if rules.drop_train_texts_in_test:
        test_texts = shuffled("ShuffleTestTexts", TEST_TEXTS) | "TestTexts" >> beam.FlatMap(lambda element: element[1])
    if rules.max_per_text:
        limits = shuffled("ShuffleTexts", TEXTS) | "Limits" >> beam.FlatMap(
            lambda element, most: limits_of(element[1], most), rules.max_per_text
        )
    writer = WriteCells(rules, staging, spills, exact=job.dedup != "none")
    cells: Any = shuffled("ShuffleCells", CELLS, *marking) | "WriteCells" >> beam.ParDo(
        writer, AsList(test_texts), AsList(limits)
    ).with_outputs(*WriteCells.OUTPUTS, CELL_FILES)
    asides = [*stages, *marking, cells]
    files = cells[CELL_FILES] | "CellFiles" >> beam.Map(CellFile._make)
    bad_files = tuple(stage[BAD_FILES] for stage in stages) | "BadFiles" >> beam.Flatten() | beam.Distinct()
    shards = (
        pipeline
        | "Plan" >> beam.Create([job.shard_size])
        | "PlanShards" >> beam.FlatMap(plan_unless_bad, AsList(files), AsList(bad_files), job.skip_bad_files)
        | "SpreadShards" >> beam.Reshuffle()
        | "WriteShards" >> beam.Map(write_in_place, layout)
    )  # ShardTask, then WrittenShard
    tallies = tuple(aside[TALLIES] for aside in asides) | "AllTallies" >> beam.Flatten() | beam.CombinePerKey(sum)
    samples = (
        tuple(aside[SAMPLES] for aside in asides)
        | "AllSamples" >> beam.Flatten()
        | "Smallest" >> beam.CombinePerKey(smallest_samples)
    )
    _ = (
        pipeline
        | "Finish" >> beam.Create(["manifests"])
        | "WriteManifests"
        >> beam.Map(
            lambda _, *given: finish(*given),
            job,
            layout,
            AsList(tallies),
            AsList(samples),
            AsList(files),
            AsList(shards),
            AsList(bad_files),
        )
    )


def _marks(work: Work) -> Any:
    return beam.ParDo(work).with_outputs(*Work.OUTPUTS, CELLS)


def label_of(function: Callable[..., Any]) -> str:
    """A stage's label in the graph: `read_comments` is ReadComments."""
    name = getattr(function, "func", function).__name__
    return "".join(word.capitalize() for word in name.split("_"))


def write_in_place(task: ShardTask, layout: Layout) -> WrittenShard:
    """A shard under its final name."""
    name = rejects_name(task.dataset) if task.split == REJECTS else task.dataset
    return write_planned_shard(task, layout.staging, layout.targets[name].shards)


def plan_unless_bad(
    shard_size: int, cells: list[CellFile], bad_files: list[str], skip_bad_files: bool
) -> Iterator[Any]:
    """Shards to write; none when an input was bad, so that nothing half-read gets a final name."""
    if skip_bad_files or not bad_files:
        yield from plan_shards(cells, shard_size)


def run(job: Job, tell: Callable[[State], None] | None = None) -> list[Manifest]:
    """Run the job to its end and return the manifests it wrote. `tell` is given the state of a local run now and then.

    Raises FileNotFoundError for inputs that are not there, FileExistsError for an output that is
    complete, OSError for one that cannot be written, and JobError when the job wrote nothing.
    A local job that was killed goes on where it was when it is run again.
    """
    if google_crc32c.implementation != "c":
        raise RuntimeError("google-crc32c runs in pure Python here, hundreds of times slower; install its binary wheel")
    files = job.source.find_inputs(job.inputs)
    eval_texts = _load_eval_texts(job)
    with ExitStack() as locks:
        for root in sorted({_plain(root) for root in (job.output, job.keep_rejects or job.output)}):
            locks.enter_context(locked(root))
        return _run_alone(job, files, eval_texts, tell)


def _plain(root: str) -> str:
    """One spelling of a local folder, so that it is not locked twice."""
    return root if "://" in root else os.path.abspath(root)


def _load_eval_texts(job: Job) -> EvalTexts | None:
    given = job.evaluation
    if not given.eval_texts:
        return None
    return load_eval_texts(given.eval_texts, corpus=given.eval_corpus, ngram=given.eval_ngram)


def _run_alone(
    job: Job, files: list[InputFile], eval_texts: EvalTexts | None, tell: Callable[[State], None] | None
) -> list[Manifest]:
    targets = job.targets()
    identity = _identity(job, files, targets, eval_texts.content_hash if eval_texts else "")
    staging = make_room(job.output, list(targets.values()), identity, overwrite=job.overwrite)
    spills = local_folder(staging, identity) if (job.is_local if job.spill is None else job.spill) else None
    try:
        layout = _lay_out(job, files, targets, staging, spills, eval_texts)
        with watched(spills, layout.pieces, tell):
            run_to_end(job, lambda pipeline: build(pipeline, job, layout))
        with open_raw(f"{staging}/problems.json") as file:
            problems = orjson.loads(file.read())
        if problems:
            raise JobError("\n".join(problems))
    except KeyboardInterrupt:
        if spills is None:
            clear_failed(job.output, list(targets.values()), staging)
        raise  # what was finished is kept: the same command goes on
    except BaseException:
        clear_failed(job.output, list(targets.values()), staging)
        _clear_spills(spills)
        raise
    clear_staging(staging)
    _clear_spills(spills)
    return [load_manifest(target.folder) for target in targets.values()]


def _identity(job: Job, files: list[InputFile], targets: dict[str, Target], eval_hash: str) -> str:
    """What must be equal for one call to take up the work of another."""
    paths = [path for file in files for path in file.path.split("\0")]  # a path may carry a role before a NUL
    written = [os.path.getmtime(path) for path in paths if os.path.isfile(path)]
    cut = (job.local_workers, job.memory, job.passes, job.skip_bad_files, job.keep_rejects)
    return identity_of(job.source, job.options, eval_hash, job.datasets, sorted(targets.items()), files, written, cut)


def _clear_spills(spills: str | None) -> None:
    if spills is not None:  # it may be the staging folder, which is gone by now
        shutil.rmtree(spills, ignore_errors=True)


def _lay_out(
    job: Job,
    files: Sequence[InputFile],
    targets: dict[str, Target],
    staging: str,
    spills: str | None,
    eval_texts: EvalTexts | None,
) -> Layout:
    """Cut the job into pieces, and leave for its workers what travels as data."""
    memory = parse_size(job.memory) if job.memory else None
    eval_path = f"{staging}/eval.npz" if eval_texts else None
    if eval_texts and eval_path:
        eval_texts.save(eval_path)
    rules = PairRules(
        filters=job.filters.filters_for(job.source.filters, job.source.clean_filters),
        test_fraction=job.source.test_fraction,
        seed=job.seed,
        bits=partition_bits(files, workers=job.local_workers, memory=memory, passes=job.passes),
        eval_texts=eval_path,
        signer=Signer() if job.dedup == "near" else None,
        max_per_text=job.max_per_text,
        drop_train_texts_in_test=job.source.drop_train_texts_in_test and job.source.test_fraction > 0,
        keep_rejects=job.keep_rejects is not None,
    )
    workers = job.local_workers if job.is_local else None
    tasks = list(plan_tasks(files, workers=workers, splittable=job.source.splittable))
    write_tasks(f"{staging}/tasks", tasks)
    write_tasks(f"{staging}/known", _known_tasks(job, targets))
    inputs = {"files": len(files), "bytes": sum(file.bytes for file in files)}
    later = [stage_name(number) for number in range(1, len(job.source.stages(job.datasets)))]
    pieces = {stage_name(0): len(tasks)} | {name: 1 << rules.bits for name in (*later, CELLS)}
    return Layout(staging, spills, rules, targets, inputs, pieces, eval_texts.content_hash if eval_texts else "")


def _known_tasks(job: Job, targets: dict[str, Target]) -> Iterator[Task]:
    """A task for each fingerprint file of the datasets' older parts."""
    older = [
        (info.name, fingerprints_name(path))
        for info in job.datasets
        if targets[info.name].part
        for part in (load_manifest(targets[info.name].folder),)
        for split in sorted({split for one in part.parts for split in one.splits})
        for path, _ in part.shards(split)
    ]
    for number, inputs in enumerate(older):
        yield Task(number, inputs)


def run_to_end(job: BeamJob, build: Callable[[beam.Pipeline], None]) -> None:
    """Build a pipeline and wait for its end; one that is interrupted is cancelled, wherever it runs."""
    pipeline = beam.Pipeline(job.runner, options=job.beam)
    build(pipeline)
    with interruptible():
        result = pipeline.run()
        try:
            result.wait_until_finish()
        except KeyboardInterrupt:
            with suppress(NotImplementedError):  # a runner in this process ends with it
                result.cancel()
            raise


@contextmanager
def interruptible() -> Iterator[None]:
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
