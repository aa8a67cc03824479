"""The end of a job: the manifests, written last and renamed into place, or the reasons why there is none."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import orjson
from apache_beam.io.filesystems import FileSystems

from pipelines.dedup import REJECTS
from pipelines.funnel import Sample, Tally, build_funnel, origins_of
from pipelines.job import Job, rejects_name
from pipelines.layout import Layout
from pipelines.output import Target, load_manifest
from pipelines.sources.base import DatasetInfo
from pipelines.write import CellFile, WrittenShard, length_statistics, move_when_whole
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split


def finish(
    job: Job,
    layout: Layout,
    tallies: list[Tally],
    samples: list[Sample],
    cells: list[CellFile],
    shards: list[WrittenShard],
    bad_files: list[str],
) -> None:
    """Write each manifest, or leave the reasons why there is none in the staging folder."""
    staging = layout.staging
    problems = [] if job.skip_bad_files else sorted(set(bad_files))
    manifests: list[Manifest] = []
    if not problems:
        counted = Counted(layout.inputs | {"bad": sorted(set(bad_files))}, dict(tallies), dict(samples), cells, shards)
        manifests = [_manifest(job, layout, info, counted) for info in job.datasets]
        if job.keep_rejects:
            manifests += [_rejects_manifest(job, layout, info, counted) for info in job.datasets]
    if manifests and all(shard.split == REJECTS for shard in shards):
        drops = [drop for m in manifests for stage in m.parts[-1].funnel for drop in stage.drops.items()]
        reasons = ", ".join(f"{reason} {records:,}" for reason, records in drops) or "no record was read"
        columns = any(reason.startswith("column_") for reason, _ in drops)
        check = "the columns' names: --anchor and --positive say them" if columns else "the input and the options"
        problems = [f"no pair is left to write ({reasons}); check {check}"]
    with move_when_whole(f"{staging}/problems.json", staging) as file:
        file.write(orjson.dumps(problems))
    if not problems:
        for manifest in manifests:
            with move_when_whole(FileSystems.join(manifest.folder, MANIFEST_NAME), staging) as file:
                file.write(manifest.to_bytes())


class Counted(NamedTuple):
    """What a job counted and wrote."""

    inputs: dict[str, Any]
    tallies: dict[tuple[str, str, str], int]
    samples: dict[tuple[str, str, str], list[tuple[int, tuple[str, ...]]]]
    cells: list[CellFile]
    shards: list[WrittenShard]

    def splits(self, dataset: str, *, rejects: bool) -> dict[str, Split]:
        """What was written of a dataset, by split."""
        of_split: defaultdict[str, list[WrittenShard]] = defaultdict(list)
        for written in sorted(self.shards, key=lambda written: (written.split, written.number)):
            if written.dataset == dataset and (written.split == REJECTS) == rejects:
                of_split[written.split].append(written)
        return {
            split: Split(
                records=sum(item.shard.records for item in written),
                bytes=sum(item.shard.bytes for item in written),
                window=written[0].window,
                shards=tuple(item.shard for item in written),
            )
            for split, written in of_split.items()
        }

    def statistics(self, dataset: str, *, rejects: bool) -> dict[str, Any]:
        """Lengths of what was written."""
        return length_statistics(
            cell for cell in self.cells if cell.dataset == dataset and (cell.split == REJECTS) == rejects
        )

    def samples_of(self, dataset: str) -> dict[str, dict[str, list[dict[str, str]]]]:
        """stage → reason → a few of the dropped pairs."""
        found: defaultdict[str, dict[str, list[dict[str, str]]]] = defaultdict(dict)
        for (of, stage, reason), samples in sorted(self.samples.items()):
            if of == dataset:
                sides = ("anchor", "positive")
                found[stage][reason] = [dict(zip(sides, texts, strict=False)) for _, texts in samples]
        return dict(found)


def _manifest(job: Job, layout: Layout, info: DatasetInfo, counted: Counted) -> Manifest:
    read, funnel = build_funnel(info.name, counted.tallies)
    statistics = counted.statistics(info.name, rejects=False)
    if origins := origins_of(info.name, counted.tallies):
        statistics["origins"] = origins
    if samples := counted.samples_of(info.name):
        statistics["samples"] = samples
    target = layout.targets[info.name]
    part = Part(
        path=target.part,
        command=job.command,
        options=job.options | ({"eval_texts_hash": layout.eval_hash} if layout.eval_hash else {}),
        inputs=counted.inputs,
        read=read,
        funnel=funnel,
        splits=counted.splits(info.name, rejects=False),
        statistics=statistics,
    )
    return _with_older_parts(info, info.name, info.tuple, target, part)


def _rejects_manifest(job: Job, layout: Layout, info: DatasetInfo, counted: Counted) -> Manifest:
    """What was dropped and can be kept aside, as a dataset of its own."""
    target = layout.targets[rejects_name(info.name)]
    splits = counted.splits(info.name, rejects=True)
    part = Part(
        path=target.part,
        command=job.command,
        options=job.options,
        inputs=counted.inputs,
        read=sum(split.records for split in splits.values()),
        funnel=(),
        splits=splits,
        statistics=counted.statistics(info.name, rejects=True),
    )
    return _with_older_parts(info, rejects_name(info.name), f"dropped: {info.tuple}", target, part)


def _with_older_parts(info: DatasetInfo, name: str, tuple_: str, target: Target, part: Part) -> Manifest:
    older = load_manifest(target.folder).parts if target.part else ()
    return Manifest(
        dataset=name,
        tuple=tuple_,
        licence=info.licence,
        citation=info.citation,
        url=info.url,
        parts=(*older, part),
        folder=target.folder,
    )
