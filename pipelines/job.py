"""A job: one call of `pairstream preprocess`, checked."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TypeOptions,
)
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipelines.decontaminate import EvalOptions
from pipelines.dedup import REJECTS
from pipelines.filters.options import FilterOptions
from pipelines.layout import parse_size
from pipelines.output import Target, find_target
from pipelines.sources.base import DatasetInfo, Source
from schemas.manifest import is_relative_name

# DirectRunner would first try to download a Prism binary; this is the runner it falls back to.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
DEDUP = ("exact", "near", "none")


@dataclass(frozen=True, kw_only=True)
class BeamJob:
    """Where a job runs."""

    beam_options: tuple[str, ...] = ()
    workers: int = 1
    """Processes of a local run."""

    @property
    def beam(self) -> PipelineOptions:
        """Beam's own options, the local runner's among them."""
        options = PipelineOptions(list(self.beam_options))
        standard, direct = options.view_as(StandardOptions), options.view_as(DirectOptions)
        setup = options.view_as(SetupOptions)
        if standard.runner in (None, "DirectRunner"):
            standard.runner = LOCAL_RUNNER
        options.view_as(TypeOptions).pipeline_type_check = False  # a quarter of the time it takes to build the graph
        if setup.save_main_session is None:
            setup.save_main_session = False  # all that is pickled can be imported from the wheel
        if self.workers > 1:
            direct.direct_num_workers = self.workers
        return options

    @property
    def runner(self) -> PipelineRunner | None:
        """The local runner where it has several processes; None: the options say which."""
        if not self.is_local or self.workers == 1:
            return None
        command = f"exec {shlex.quote(sys.executable)} -m pipelines.worker"
        return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))

    @property
    def is_local(self) -> bool:
        """Whether the job runs on this machine, in processes that see its files."""
        return self.beam.view_as(StandardOptions).runner == LOCAL_RUNNER

    @property
    def local_workers(self) -> int:
        """Processes of a local run."""
        return max(1, self.beam.view_as(DirectOptions).direct_num_workers) if self.is_local else 1


@dataclass(frozen=True)
class Job(BeamJob):
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
    filters: FilterOptions = field(default=FilterOptions())
    dedup: str = "exact"
    """`exact`, `near` (exact too), or `none`."""
    max_per_text: int | None = None
    """Pairs of a dataset that may hold one text."""
    evaluation: EvalOptions = field(default=EvalOptions())
    """Texts that no pair may hold."""
    keep_rejects: str | None = None
    """Folder for what was dropped, with the reason."""
    overwrite: bool = False
    append: bool = False
    """Add a part to datasets that are there already, without the pairs that they hold."""
    skip_bad_files: bool = False
    """Go on without inputs that cannot be read to their end, and list them in the manifest."""
    memory: str | None = None
    """Bytes that the workers of a local run may use together, such as 4G."""
    passes: int | None = None
    """Partitions of a local run, each finished on its own; None: by memory and input."""
    spill: bool | None = None
    """Whether what lies between stages goes through local files, not through the runner; None: on one machine."""
    command: tuple[str, ...] = ()
    """The command line, for the manifest."""

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"shard size is {self.shard_size}; expected at least 1 byte")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed is {self.seed}; expected 0 to 2^63 - 1")
        if not 0 <= self.source.test_fraction < 1:
            raise ValueError(f"test fraction is {self.source.test_fraction}; expected 0 up to, not including, 1")
        for name in ("output", "keep_rejects"):
            if re.search(r"[*?[]", path := getattr(self, name) or ""):  # Beam would delete what it matches as a glob
                raise ValueError(f"{name} is {path!r}; expected a path without '*', '?' and '['")
        if self.dataset is not None and not is_relative_name(self.dataset):
            raise ValueError(f"dataset is {self.dataset!r}; expected a plain name, relative and without '..'")
        if self.dataset is not None and len(self.source.datasets) > 1:
            names = ", ".join(info.name for info in self.source.datasets)
            raise ValueError(f"--dataset names one dataset, but this source writes {names}")
        if self.dedup not in DEDUP:
            raise ValueError(f"dedup is {self.dedup!r}; expected one of {', '.join(DEDUP)}")
        in_one = self.keep_rejects is not None and self.keep_rejects.rstrip("/") == self.output.rstrip("/")
        if in_one and (self.source.always_in_folders or len(self.source.datasets) > 1):
            raise ValueError(
                f"--keep-rejects and --output are both {self.output}; expected a folder for what is dropped"
            )
        if self.append and self.overwrite:
            raise ValueError("--append and --overwrite exclude each other: add a part, or replace all")
        for name, least in (("max_per_text", 1), ("passes", 1), ("workers", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} is {value}; expected at least {least}")
        if self.memory is not None and self.passes is not None:
            raise ValueError("--memory and --passes exclude each other: memory decides how many partitions there are")
        if self.dedup == "none" and self.max_per_text is not None:
            raise ValueError("--max-per-text counts distinct pairs; it needs --dedup exact or near")
        if self.memory is not None:
            parse_size(self.memory)
        if self.filters.filters == "clean":
            object.__setattr__(self, "source", self.source.cleaned())

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

    def targets(self) -> dict[str, Target]:
        """Where each dataset is written, by name; and its rejects, by `NAME/rejects`, where they are kept."""
        folders = {info.name: self.folder(info.name) for info in self.datasets}
        if self.keep_rejects:
            for info in self.datasets:
                folders[rejects_name(info.name)] = FileSystems.join(self.keep_rejects, info.name)
        return {name: find_target(folder, name, append=self.append) for name, folder in folders.items()}

    @property
    def options(self) -> dict[str, Any]:
        """All that decides the bytes."""
        own = {name: getattr(self, name) for name in ("seed", "shard_size", "dedup", "max_per_text")}
        given = (self.filters, self.evaluation, self.source.options)
        return own | {name: value for options in given for name, value in dataclasses.asdict(options).items()}


def rejects_name(dataset: str) -> str:
    """Under which name a dataset's rejects are a dataset."""
    return f"{dataset}/{REJECTS}"
