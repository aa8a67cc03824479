"""Shards of texts → shards of token ids, one to one: same order, same windows, same fingerprints.

A dataset of ids stands for its dataset of texts in any mixture: the plan's batches are the same pairs.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import orjson
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsList
from tokenizers import Tokenizer

from pipelines.files import open_raw
from pipelines.job import BeamJob
from pipelines.layout import identity_of, local_folder
from pipelines.output import Target, clear_failed, clear_staging, delete_replaced, load_manifest, make_room
from pipelines.preprocess import run_to_end
from pipelines.stages import Output, Work
from pipelines.write import move_when_whole
from schemas.example import decode_pair
from schemas.lock import locked
from schemas.manifest import HISTOGRAM_EDGES, MANIFEST_NAME, Manifest, Part, Split
from schemas.shards import Block, Shard, frame, read_frames, write_shard
from schemas.token_records import decode_tokens, located
from schemas.tokens import Prefixes, tokenize_records, tokenizer_digest

AT_ONCE = 1024
SHARDS = "shards"


@dataclass(frozen=True)
class TokenizeJob(BeamJob):
    """One call of `pairstream tokenize`."""

    folders: tuple[tuple[str, str], ...]
    """(dataset of texts, where its ids go) of each."""
    output: str
    """Folder that all of these lie in."""
    tokenizer: str
    """The tokenizer's JSON, without padding and truncation."""
    prefixes: Prefixes = Prefixes()  # noqa: RUF009  # a NamedTuple of texts
    overwrite: bool = False
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for folder in (self.output, *(target for _, target in self.folders)):
            if re.search(r"[*?[]", folder):  # Beam would delete what it matches as a glob
                raise ValueError(f"output is {folder!r}; expected a path without '*', '?' and '['")


class ShardTask(NamedTuple):
    """A shard of texts, and where its ids go."""

    number: int
    dataset: int
    part: int
    split: str
    path: str
    folder: str
    file: str
    window: int
    fingerprints_sha256: str


class TokenizeShards(Work):
    """A shard of texts → the same of ids: (dataset, part, split, shard, histograms of tokens)."""

    def __init__(self, staging: str, spills: str | None, prefixes: Prefixes) -> None:
        super().__init__("tokenize", spills, bits=1)
        self._staging, self._prefixes = staging, prefixes

    def outputs(self, element: ShardTask) -> Iterator[Output]:
        tokenizer = _tokenizer(f"{self._staging}/tokenizer.json")
        histograms = np.zeros((2, len(HISTOGRAM_EDGES)), np.int64)

        def blocks() -> Iterator[Block]:
            first = 0
            with open_raw(element.path) as file:
                texts = read_frames(file, where=element.path)
                while several := list(islice(texts, AT_ONCE)):
                    try:
                        records = tokenize_records(several, tokenizer, self._prefixes)
                    except ValueError as error:
                        raise _naming_record(error, element.path, first, several) from None
                    first += len(several)
                    table = decode_tokens(*located(records), 2)
                    for side, lengths in zip(histograms, table.lengths.T, strict=True):
                        side += np.histogram(lengths, [*HISTOGRAM_EDGES, np.inf])[0]
                    framed = [frame(record) for record in records]
                    lengths = np.array([len(one) for one in framed], np.uint32)
                    yield Block(b"".join(framed), lengths, table.pair_fingerprints)

        shard = write_shard(
            element.folder,
            element.file,
            blocks(),
            window=element.window,
            open_file=lambda path: move_when_whole(path, self._staging),
        )
        if shard.fingerprints_sha256 != element.fingerprints_sha256:
            raise ValueError(f"{element.path}: {shard.records} pairs that are not those of its manifest; make it again")
        sides = tuple(map(tuple, histograms.tolist()))
        yield SHARDS, (element.dataset, element.part, element.split, astuple(shard), sides)


def _naming_record(error: ValueError, path: str, first: int, records: list[bytes]) -> ValueError:
    """The error with the shard and the number of the record that is no pair of texts."""
    for number, record in enumerate(records, first):
        try:
            decode_pair(record)
        except ValueError as found:
            return ValueError(f"{path}: record {number}: {found}; make the dataset again")
    return error


@lru_cache(maxsize=1)
def _tokenizer(path: str) -> Tokenizer:
    """Loaded once a process."""
    with open_raw(path) as file:
        return Tokenizer.from_buffer(file.read())


def build(pipeline: beam.Pipeline, job: TokenizeJob, staging: str, spills: str | None) -> None:
    """The job's graph: it ends with the manifests in place."""
    written: Any = (
        pipeline
        | "TaskList" >> beam.Create([f"{staging}/tasks"])
        | "Tasks" >> beam.FlatMap(_read_tasks)
        | "SpreadTasks" >> beam.Reshuffle()
        | "Tokenize" >> beam.ParDo(TokenizeShards(staging, spills, job.prefixes)).with_outputs(*Work.OUTPUTS, SHARDS)
    )
    _ = (
        pipeline
        | "Finish" >> beam.Create(["manifests"])
        | "WriteManifests" >> beam.Map(lambda _, *given: _finish(*given), job, staging, AsList(written[SHARDS]))
    )


def run(job: TokenizeJob) -> list[Manifest]:
    """Run the job to its end and return the manifests it wrote.

    Raises ValueError for a dataset of ids, FileExistsError for an output that is complete, OSError for
    one that cannot be written, and ValueError naming shard and record for damage. A local job that was
    killed goes on where it was when it is run again.
    """
    manifests = [load_manifest(folder) for folder, _ in job.folders]
    for manifest in manifests:
        if manifest.kind != "text":
            raise ValueError(f"{manifest.folder} holds {manifest.kind}; expected a dataset of texts")
    with locked(job.output):
        hashes = [manifest.content_hash for manifest in manifests]
        identity = identity_of(hashes, job.folders, job.tokenizer, job.prefixes)
        targets = [Target(folder) for _, folder in job.folders]
        replaces = any(FileSystems.exists(FileSystems.join(folder, MANIFEST_NAME)) for _, folder in job.folders)
        staging = make_room(job.output, targets, identity, overwrite=job.overwrite, can_append=False)
        spills = local_folder(staging, identity) if job.is_local else None
        if spills and replaces:  # shards that were finished may be among those just removed
            for done in glob.glob(f"{glob.escape(spills)}/done-*"):
                os.remove(done)
        try:
            _write_inputs(job, manifests, staging)
            delete_replaced(targets)
            run_to_end(job, lambda pipeline: build(pipeline, job, staging, spills))
        except KeyboardInterrupt:
            raise  # what was finished is kept: the same command goes on
        except BaseException:
            clear_failed(job.output, _unfinished(job, manifests), staging)
            _clear_spills(spills)
            raise
        clear_staging(staging)
        _clear_spills(spills)
    return [load_manifest(folder) for _, folder in job.folders]


def _unfinished(job: TokenizeJob, manifests: list[Manifest]) -> list[Target]:
    """Where shards lie that no manifest lists, a dataset's folder after those of its parts."""
    return [
        Target(folder, part.path)
        for manifest, (_, folder) in zip(manifests, job.folders, strict=True)
        if not FileSystems.exists(FileSystems.join(folder, MANIFEST_NAME))
        for part in reversed(manifest.parts)
    ]


def _clear_spills(spills: str | None) -> None:
    if spills is not None:  # mostly the staging folder, which is gone by now
        shutil.rmtree(spills, ignore_errors=True)


def _write_inputs(job: TokenizeJob, manifests: list[Manifest], staging: str) -> None:
    tasks = _tasks(manifests, [folder for _, folder in job.folders])
    for name, content in (
        ("tokenizer.json", job.tokenizer.encode()),
        ("tasks", b"".join(orjson.dumps(tuple(task)) + b"\n" for task in tasks)),
    ):
        with FileSystems.create(f"{staging}/{name}", compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(content)


def _tasks(manifests: list[Manifest], folders: list[str]) -> Iterator[ShardTask]:
    number = 0
    for dataset, (manifest, folder) in enumerate(zip(manifests, folders, strict=True)):
        for place, part in enumerate(manifest.parts):
            source, target = (
                FileSystems.join(root, part.path) if part.path else root for root in (manifest.folder, folder)
            )
            if not FileSystems.exists(target):
                FileSystems.mkdirs(target)
            for split, of_split in sorted(part.splits.items()):
                for shard in of_split.shards:
                    path = FileSystems.join(source, shard.file)
                    where = (path, target, shard.file)
                    yield ShardTask(number, dataset, place, split, *where, of_split.window, shard.fingerprints_sha256)
                    number += 1


def _read_tasks(path: str) -> Iterator[ShardTask]:
    with open_raw(path) as file:
        for line in file.read().splitlines():
            yield ShardTask._make(orjson.loads(line))


def _finish(job: TokenizeJob, staging: str, written: list[tuple[int, int, str, tuple[Any, ...], Any]]) -> None:
    digest = tokenizer_digest(Tokenizer.from_str(job.tokenizer), job.prefixes)
    of_parts: defaultdict[tuple[int, int], list[tuple[Any, ...]]] = defaultdict(list)
    for one in written:
        of_parts[one[0], one[1]].append(one)
    for number, (source, folder) in enumerate(job.folders):
        parent = load_manifest(source)
        parts = tuple(_part(part, of_parts[number, place], job, digest) for place, part in enumerate(parent.parts))
        manifest = replace(parent, kind="tokens", parent=parent.content_hash, parts=parts, folder=folder)
        with move_when_whole(FileSystems.join(folder, MANIFEST_NAME), staging) as file:
            file.write(manifest.to_bytes())


def _part(part: Part, written: Iterable[tuple[Any, ...]], job: TokenizeJob, digest: str) -> Part:
    shards: defaultdict[str, dict[str, Shard]] = defaultdict(dict)
    totals: defaultdict[str, Any] = defaultdict(lambda: np.zeros((2, len(HISTOGRAM_EDGES)), np.int64))
    for _, _, split, fields, histograms in written:
        shards[split][fields[0]] = Shard(*fields)
        totals[split] += np.array(histograms, np.int64)
    splits = {}
    for name, split in part.splits.items():
        ours = tuple(shards[name][shard.file] for shard in split.shards)
        splits[name] = Split(split.records, sum(shard.bytes for shard in ours), split.window, ours)
    tokens = {
        name: {"anchor": sides[0].tolist(), "positive": sides[1].tolist()} for name, sides in sorted(totals.items())
    }
    return replace(
        part,
        command=job.command,
        options=part.options | {"tokenizer": digest, "prefixes": list(job.prefixes)},
        splits=splits,
        statistics=part.statistics | {"tokens": {"edges": list(HISTOGRAM_EDGES), **tokens}},
    )
