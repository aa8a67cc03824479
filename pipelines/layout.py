"""How a job's work is cut up: tasks, partitions, and where what lies between stages is kept."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.collect import PairRules
from pipelines.files import COMPRESSED, InputFile, open_raw
from pipelines.output import Target
from pipelines.stages import Task

PARTITION_BYTES = 32 << 20
"""Raw input that one partition comes from. It never shows in the output."""
COMPRESSION_GUESS = 8
MAX_BITS = 14
TASK_BYTES = 16 << 20
TASK_FILES = 256
STRIPE_BYTES = 128 << 20
MAX_STRIPES = 8
_SLOW = (".bz2", ".xz")  # to decompress takes about as long as to read the comments
BASE_MEMORY = 350 << 20
"""A worker with nothing in it: Python, Beam, libraries, and what a stage gathers before it hands on."""
PARTITION_MEMORY = 5
"""Bytes in memory for a byte of a partition's raw input, measured on Reddit comments with a margin."""


@dataclass(frozen=True)
class Layout:
    """Where a job's intermediate files lie, and what its workers must know."""

    staging: str
    """Folder on the output's filesystem; everything in it goes when the job has ended."""
    spills: str | None
    """Local folder for what lies between stages; None: it goes through the runner."""
    several_workers: bool
    rules: PairRules
    targets: dict[str, Target]
    """Where each dataset is written, by name."""
    inputs: dict[str, int]
    """Number and bytes of the input files."""
    pieces: dict[str, int]
    """Pieces of work of each stage, for the progress line."""
    eval_hash: str = ""
    """Content hash of the texts that no pair may hold."""


def partition_bits(files: Sequence[InputFile], *, workers: int, memory: int | None, passes: int | None) -> int:
    """Bits of the hash prefix by which work is partitioned, so that a partition is easily held in memory.

    `memory`: bytes for all workers together; `passes`: at least this many partitions.
    Raises ValueError for memory that is too little.
    """
    if passes is not None:
        return min(max((passes - 1).bit_length(), 1), MAX_BITS)
    size = PARTITION_BYTES
    if memory is not None:
        most = (memory // workers - BASE_MEMORY) // PARTITION_MEMORY
        if most < 1 << 20:
            least = workers * (BASE_MEMORY + (PARTITION_MEMORY << 20))
            raise ValueError(f"memory is {memory:,} bytes for {workers} workers; expected at least {least:,}")
        size = min(size, most)
    return min(max((plain_bytes(files) // size).bit_length(), 1), MAX_BITS)


def plain_bytes(files: Sequence[InputFile]) -> int:
    """About how many bytes the files hold, decompressed."""
    return sum(file.bytes * (COMPRESSION_GUESS if file.path.endswith(COMPRESSED) else 1) for file in files)


def plan_tasks(files: Sequence[InputFile], *, workers: int | None, splittable: bool) -> Iterator[Task]:
    """Small files together, big ones alone; where files are few and workers are not, a file in stripes.

    `workers`: processes on this machine; None: a cluster's, however many.
    """
    number = 0
    gathered: list[InputFile] = []
    for file in files:
        stripes = _stripes(file, len(files), workers) if splittable else 1
        if stripes > 1:
            for stripe in range(stripes):
                yield Task(number, (file.path,), stripe, stripes)
                number += 1
            continue
        gathered.append(file)
        if sum(one.bytes for one in gathered) >= TASK_BYTES or len(gathered) == TASK_FILES:
            yield Task(number, tuple(one.path for one in gathered))
            number, gathered = number + 1, []
    if gathered:
        yield Task(number, tuple(one.path for one in gathered))


def _stripes(file: InputFile, files: int, workers: int | None) -> int:
    """Into how many stripes a file is cut. Each worker decompresses all of it, which must be little of the work."""
    if workers is None:  # a cluster
        return 1 if file.path.endswith(_SLOW) else min(MAX_STRIPES, max(1, file.bytes // STRIPE_BYTES))
    if workers == 1:  # so that not all of a large file is read again after a kill
        return 1 if file.path.endswith(_SLOW) else min(MAX_STRIPES, max(1, file.bytes // (2 * STRIPE_BYTES)))
    if file.bytes < 1 << 20:
        return 1
    # The stripes of one file are equally long; of several files, more tasks than workers end at about the same time.
    tasks = workers if files == 1 else 2 * workers
    return min(MAX_STRIPES, max(-(-tasks // files), file.bytes // (2 * STRIPE_BYTES)))


def write_tasks(path: str, tasks: Iterable[Task]) -> None:
    """A line of JSON for each task."""
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for task in tasks:
            file.write(orjson.dumps(tuple(task)) + b"\n")


def read_tasks(path: str) -> Iterator[Task]:
    """The tasks that `write_tasks` wrote."""
    with open_raw(path) as file:
        for line in file.read().splitlines():
            number, inputs, stripe, stripes = orjson.loads(line)
            yield Task(number, tuple(inputs), stripe, stripes)


def identity_of(*decides: Any) -> str:
    """A short name that is the same for the same job over the same inputs."""
    shown = re.sub(r" at 0x[0-9a-f]+>", ">", repr(decides))  # a function's address is another in each process
    return hashlib.sha256(shown.encode(errors="surrogatepass")).hexdigest()[:12]


def local_folder(path: str, identity: str) -> str:
    """`path` where it is on this machine, else a folder of the system's for temporary files."""
    if "://" not in path:
        return path
    folder = os.path.join(tempfile.gettempdir(), f"pairstream-{identity}")
    os.makedirs(folder, exist_ok=True)
    return folder


def parse_size(text: str) -> int:
    """Bytes of `8G`, `512M`, `2GB`, `1GiB` or a plain number.

    Raises ValueError for anything else.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if not found:
        raise ValueError(f"size is {text!r}; expected bytes, such as 8G or 512M")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))
