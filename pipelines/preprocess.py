"""The whole job: raw files → pairs → filters → one shuffle → shards → manifest.

Read `build` for the job and `run` for what happens around it.
"""

from __future__ import annotations

import inspect
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
from pipelines.minhash import Signer
from pipelines.output import Target, clear_failed, clear_staging, delete_replaced, load_manifest, make_room
from pipelines.progress import State, watched
from pipelines.shuffle import Shuffle
from pipelines.sources.base import Source
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
from schemas.lock import locked
from schemas.manifest import Manifest
from schemas.shards import fingerprints_name


class JobError(RuntimeError):
    """The job ran and wrote nothing; the message says why, a line for each cause."""


def build(pipeline: beam.Pipeline, job: Job, layout: Layout) -> None:
    """The job's graph. It ends with the manifests in place, or with the reasons why not in the staging folder."""
    stages = _run_stages(pipeline, job, layout)
    marks = _find_marks(pipeline, stages, layout)
    cells: Any = _shuffled("Cells", CELLS, [*stages, *marks], layout) | "WriteCells" >> beam.ParDo(
        WriteCells(layout.rules, layout.staging, layout.spills, exact=job.dedup != "none"),
        AsList(_test_texts(pipeline, stages, layout)),
        AsList(_limits(pipeline, stages, layout)),
    ).with_outputs(*WriteCells.OUTPUTS, CELL_FILES)
    files = cells[CELL_FILES] | "CellFiles" >> beam.Map(CellFile._make)
    bad_files = tuple(stage[BAD_FILES] for stage in stages) | "BadFiles" >> beam.Flatten()
    tasks = pipeline | "Plan" >> beam.Create([job.shard_size])
    tasks |= "PlanShards" >> beam.FlatMap(plan_unless_bad, AsList(files), AsList(bad_files), job.skip_bad_files, layout)
    shards = _spread("Shards", tasks, layout) | "WriteShards" >> beam.Map(write_in_place, layout)
    tallies, samples = _sum_up([*stages, *marks, cells])
    given = map(AsList, (tallies, samples, files, shards, bad_files))
    end = pipeline | "Finish" >> beam.Create(["manifests"])
    _ = end | "WriteManifests" >> beam.Map(lambda _, *given: finish(*given), job, layout, *given)


def _run_stages(pipeline: beam.Pipeline, job: Job, layout: Layout) -> list[Any]:
    """The outputs of each of the source's stages; between each two there is a shuffle."""
    functions, caps = job.source.stages(job.datasets), job.source.caps(job.datasets)
    names = [stage_name(number) for number in range(len(functions))]
    # A path: a graph must not grow with the files.
    tasks = pipeline | "TaskList" >> beam.Create([f"{layout.staging}/tasks"]) | "Tasks" >> beam.FlatMap(read_tasks)
    work = _spread("Tasks", tasks, layout)
    stages: list[Any] = []
    for number, function in enumerate(functions):
        if number:
            work = _shuffled(f"Stage{number}", names[number], stages, layout)
        cap = caps.get(number)
        plan = StagePlan(number, function, layout.rules, layout.staging, layout.spills, job.source.splittable, cap)
        stages.append(work | label_of(function) >> beam.ParDo(RunStage(plan)).with_outputs(*outputs_of(names[1:])))
    return stages


def _spread(label: str, elements: Any, layout: Layout) -> Any:
    """The elements over all workers; where there is one, that costs time for nothing."""
    return elements | f"Spread{label}" >> beam.Reshuffle() if layout.several_workers else elements


def _shuffled(label: str, name: str, outputs: Sequence[Any], layout: Layout) -> Any:
    """(partition, blobs) of what the outputs hold under a name."""
    shuffle = Shuffle(name, layout.rules.bits, layout.spills, spread=layout.several_workers)
    return shuffle.chosen_from(outputs) | f"Shuffle{label}" >> shuffle


def _find_marks(pipeline: beam.Pipeline, stages: Sequence[Any], layout: Layout) -> list[Any]:
    """Keys of pairs that must go, for their cells: those of older parts, and near-duplicates."""
    marks: list[Any] = []
    if any(target.part for target in layout.targets.values()):
        known = (
            pipeline | "OlderParts" >> beam.Create([f"{layout.staging}/known"]) | "Older" >> beam.FlatMap(read_tasks)
        )
        marks.append(known | "ReadKnown" >> _marking(ReadKnown(layout.rules, layout.spills)))
    if layout.rules.signer:
        bands = _shuffled("Bands", BANDS, stages, layout)
        marks.append(bands | "NearDuplicates" >> _marking(FindNearDuplicates(layout.rules, layout.spills)))
    return marks


def _marking(work: Work) -> Any:
    return beam.ParDo(work).with_outputs(*Work.OUTPUTS, CELLS)


def _test_texts(pipeline: beam.Pipeline, stages: Sequence[Any], layout: Layout) -> Any:
    """Blobs of fingerprints of texts that stand in test; nothing unless the source asks for them."""
    if not layout.rules.drop_train_texts_in_test:
        return pipeline | "NoTestTexts" >> beam.Create([], reshuffle=False)
    found = _shuffled("TestTexts", TEST_TEXTS, stages, layout)
    return found | "TestTexts" >> beam.FlatMap(lambda element: element[1])


def _limits(pipeline: beam.Pipeline, stages: Sequence[Any], layout: Layout) -> Any:
    """Blobs of limits for texts over the cap; nothing unless there is one."""
    if not layout.rules.max_per_text:
        return pipeline | "NoLimits" >> beam.Create([], reshuffle=False)
    found = _shuffled("Texts", TEXTS, stages, layout)
    most = layout.rules.max_per_text
    return found | "Limits" >> beam.FlatMap(lambda element, most: limits_of(element[1], most), most)


def _sum_up(outputs: Sequence[Any]) -> tuple[Any, Any]:
    """(counts, samples) of all pieces of work."""
    tallies = tuple(one[TALLIES] for one in outputs) | "AllTallies" >> beam.Flatten() | beam.CombinePerKey(sum)
    every = tuple(one[SAMPLES] for one in outputs) | "AllSamples" >> beam.Flatten()
    return tallies, every | "Smallest" >> beam.CombinePerKey(smallest_samples)


def label_of(function: Callable[..., Any]) -> str:
    """A stage's label in the graph: `read_comments` is ReadComments."""
    name = getattr(function, "func", function).__name__
    return "".join(word.capitalize() for word in name.split("_"))


def write_in_place(task: ShardTask, layout: Layout) -> WrittenShard:
    """A shard under its final name."""
    name = rejects_name(task.dataset) if task.split == REJECTS else task.dataset
    return write_planned_shard(task, layout.staging, layout.targets[name].shards)


def plan_unless_bad(
    shard_size: int, cells: list[CellFile], bad_files: list[str], skip_bad_files: bool, layout: Layout
) -> Iterator[Any]:
    """Shards to write; none when an input was bad, so that nothing half-read gets a final name.

    Here a job has read all there is; what it replaces goes now.
    """
    if (skip_bad_files or not bad_files) and any(cell.split != REJECTS for cell in cells):
        delete_replaced(layout.targets.values())
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
    except BaseException as error:
        # What was finished is kept: the same command goes on. Not so where it would end as it did.
        hopeless = isinstance(error, JobError | ValueError) or "run the job again" in str(error)
        goes_on = spills is not None and not hopeless
        clear_failed(job.output, list(targets.values()), staging, goes_on=goes_on)
        if not goes_on:
            _clear_spills(spills)
        raise
    clear_staging(staging)
    _clear_spills(spills)
    return [load_manifest(target.folder) for target in targets.values()]


def _identity(job: Job, files: list[InputFile], targets: dict[str, Target], eval_hash: str) -> str:
    """What must be equal for one call to take up the work of another."""
    paths = [path for file in files for path in file.path.split("\0")]  # a path may carry a role before a NUL
    paths += _files_of(job.source)
    written = [(path, os.path.getmtime(path), os.path.getsize(path)) for path in paths if os.path.isfile(path)]
    cut = (job.local_workers, job.memory, job.passes, job.skip_bad_files, job.keep_rejects)
    return identity_of(job.source, job.options, eval_hash, job.datasets, sorted(targets.items()), files, written, cut)


def _files_of(source: Source) -> list[str]:
    """Files that decide what a source yields: its code, and lists that its options name."""
    values = [value for owner in (source, source.options) for value in vars(owner).values()]
    named = [name for value in values if isinstance(value, tuple) for name in value if isinstance(name, str)]
    code = [value.__code__.co_filename for value in values if hasattr(value, "__code__")]
    return sorted({inspect.getfile(type(source)), *code, *named})


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
    several = workers != 1
    return Layout(
        staging, spills, several, rules, targets, inputs, pieces, eval_texts.content_hash if eval_texts else ""
    )


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
