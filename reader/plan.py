"""What is in batch s, by arithmetic: a pure function of mixture, manifests, seed and s.

`segments` says how many records of which dataset, `permutation` in what order a dataset's windows
come, and here both become runs of records in shards. Nothing is read, nothing is remembered from
batch to batch, and a plan's memory does not grow with the records.

A dataset smaller than its slot wraps: the slot holds it more than once, and the loss masks equal texts.
One smaller than a window has its records in the same order in every epoch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reader.permutation import permutation_key, permute_each
from reader.segments import SegmentedSchedule, make_segments
from schemas.manifest import Manifest, find_manifests
from schemas.mixture import Mixture
from schemas.pair import TRAIN


class Run(NamedTuple):
    """Consecutive records of one shard, within one window or one tail."""

    dataset: int
    """Index in the mixture."""
    path: str
    first: int
    count: int


@dataclass(frozen=True)
class DatasetOrder:
    """The endless sequence of one dataset's records: epoch after epoch, each a new order.

    An epoch is a permutation of the full windows, then the shards' short tails one after another.
    """

    name: str
    paths: tuple[str, ...]
    window: int
    windows_before: NDArray[np.int64]
    """[shards + 1] full windows before each shard, then all."""
    tails_before: NDArray[np.int64]
    """[shards + 1] tail records before each shard, then all."""
    seed: int

    @classmethod
    def from_manifest(cls, manifest: Manifest, split: str, seed: int) -> DatasetOrder:
        """Raises ValueError when the split is empty."""
        located = list(manifest.shards(split))
        if not located:
            raise ValueError(f"{manifest.folder}: no {split} split to read; leave the dataset out of the mixture")
        # Windows are powers of two: an index with a finer window serves a coarser one too.
        window = max(part.splits[split].window for part in manifest.parts if split in part.splits)
        records = np.array([shard.records for _, shard in located], np.int64)
        return cls(
            name=manifest.dataset,
            paths=tuple(path for path, _ in located),
            window=window,
            windows_before=np.concatenate([[0], np.cumsum(records // window)]),
            tails_before=np.concatenate([[0], np.cumsum(records % window)]),
            seed=seed,
        )

    @property
    def records(self) -> int:
        """Records an epoch."""
        return int(self.windows_before[-1]) * self.window + int(self.tails_before[-1])

    def runs(self, position: int, count: int) -> Iterator[tuple[str, int, int]]:
        """(shard, first record, records) of `count` records from `position` on, over any epochs."""
        for run in _locate([Stretch(0, self, position, count)]):
            yield run[1:]

    def _pieces(self, position: int, count: int) -> Iterator[tuple[int, int, int]]:
        """(epoch, first, end) of a stretch of the sequence, epoch by epoch."""
        while count:
            epoch, first = divmod(position, self.records)
            taken = min(count, self.records - first)
            yield epoch, first, first + taken
            position += taken
            count -= taken


class Stretch(NamedTuple):
    """Consecutive records of a dataset's sequence."""

    dataset: int
    order: DatasetOrder
    position: int
    count: int


def _locate(stretches: Sequence[Stretch]) -> Iterator[Run]:
    """Where the records of all stretches lie, in order. Their windows are permuted in one call."""
    pieces = [
        (stretch.dataset, stretch.order, *piece)
        for stretch in stretches
        for piece in stretch.order._pieces(stretch.position, stretch.count)
    ]
    places, parts = [], []
    for _, order, epoch, first, end in pieces:
        full = int(order.windows_before[-1])
        window_end = min(end, full * order.window)
        places.append(range(first // order.window, max(first // order.window, -(-window_end // order.window))))
        if places[-1]:
            key = permutation_key(order.seed, order.name, epoch)
            parts.append((np.arange(places[-1].start, places[-1].stop), full, key))
    windows = permute_each(parts)
    used = 0
    for (dataset, order, _, first, end), here in zip(pieces, places, strict=True):
        yield from _windows(dataset, order, here, windows[used : used + len(here)], first, end)
        yield from _tails(dataset, order, first, end)
        used += len(here)


def _windows(
    dataset: int, order: DatasetOrder, places: range, windows: NDArray[np.int64], first: int, end: int
) -> Iterator[Run]:
    """Records `first` … `end - 1` of an epoch, those in the full windows that come at `places`."""
    shards = np.searchsorted(order.windows_before, windows, side="right") - 1
    starts = (windows - order.windows_before[shards]) * order.window
    for place, shard, start in zip(places, shards.tolist(), starts.tolist(), strict=True):
        before = place * order.window
        begin = max(first, before)
        yield Run(dataset, order.paths[shard], start + begin - before, min(end, before + order.window) - begin)


def _tails(dataset: int, order: DatasetOrder, first: int, end: int) -> Iterator[Run]:
    """Records `first` … `end - 1` of an epoch, those in the chained tails."""
    in_windows = int(order.windows_before[-1]) * order.window
    tail, end = max(first, in_windows) - in_windows, end - in_windows
    while tail < end:
        shard = int(np.searchsorted(order.tails_before, tail, side="right")) - 1
        taken = min(end, int(order.tails_before[shard + 1])) - tail
        start = int(order.windows_before[shard + 1] - order.windows_before[shard]) * order.window
        yield Run(dataset, order.paths[shard], start + tail - int(order.tails_before[shard]), taken)
        tail += taken


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a run over manifests on disk."""

    names: tuple[str, ...]
    """Dataset names, in the mixture's order."""
    orders: tuple[DatasetOrder | None, ...]
    """None for a dataset of weight 0."""
    schedule: SegmentedSchedule
    batch_size: int
    content_hash: str
    """Digest of mixture, manifests, seed and batch size: equal hashes, equal batches."""

    @property
    def end(self) -> int | None:
        """The step from which no dataset is left to draw, all having been read `max_epochs` times; None: none is."""
        return self.schedule.end

    def runs(self, step: int, rows: range | None = None) -> list[Run]:
        """The records of batch `step` in row order; with `rows`, of those rows of the batch alone.

        Raises ValueError for a step beyond the plan's end.
        """
        rows = range(self.batch_size) if rows is None else rows
        stretches: list[Stretch] = []
        first_row = 0
        for slot in self.schedule.slots(step):
            begin, end = max(rows.start, first_row), min(rows.stop, first_row + slot.rows)
            if begin < end:
                order = self.orders[slot.dataset]
                assert order is not None  # the schedule names no dataset of weight 0
                stretches.append(Stretch(slot.dataset, order, slot.position + begin - first_row, end - begin))
            first_row += slot.rows
        return list(_locate(stretches))

    def epochs(self, steps: int) -> list[float]:
        """How often each dataset has been read through after `steps` batches."""
        return [
            self.schedule.position(number, steps) / order.records if order else 0.0
            for number, order in enumerate(self.orders)
        ]


def plan_batches(
    mixture: Mixture,
    data: str | Path,
    *,
    batch_size: int | None = None,
    seed: int | None = None,
    split: str = TRAIN,
) -> BatchPlan:
    """The plan of a mixture over the datasets in folder `data`.

    `batch_size` and `seed` stand in for the mixture's own. Rules that make weights from lines, and
    `max_epochs`, count the records of the manifests, not the lines of the mixture. Raises
    FileNotFoundError naming every dataset that has no manifest, and ValueError for a dataset without
    the split or a batch that the slots do not divide.
    """
    seed = mixture.seed if seed is None else seed
    batch_size = mixture.batch.size if batch_size is None else batch_size
    manifests = load_manifests(data, mixture.drawn)
    weights = mixture.weigh({name: manifest.records(split) for name, manifest in manifests.items()})
    orders = tuple(
        DatasetOrder.from_manifest(manifests[entry.name], split, seed)
        if any(one[n] > 0 for _, one in weights)
        else None
        for n, entry in enumerate(mixture.datasets)
    )
    limits = epoch_limits(mixture, [order.records if order else 0 for order in orders])
    return BatchPlan(
        names=tuple(entry.name for entry in mixture.datasets),
        orders=orders,
        schedule=make_segments(weights, batch=mixture.batch, batch_size=batch_size, seed=seed, limits=limits),
        batch_size=batch_size,
        content_hash=_digest(mixture, weights, limits, manifests, (seed, batch_size, split)),
    )


def epoch_limits(mixture: Mixture, records: Sequence[int | None]) -> list[int | None]:
    """Records after which each dataset has been read its `max_epochs` times; None: it never leaves.

    Raises ValueError for a dataset that has a limit and unknown records.
    """
    limits: list[int | None] = []
    for entry, count in zip(mixture.datasets, records, strict=True):
        if entry.max_epochs is not None and count is None and entry.name in mixture.drawn:
            raise ValueError(f"max_epochs of {entry.name!r} needs its lines; give 'lines' or its manifest's folder")
        limits.append(None if entry.max_epochs is None or count is None else math.ceil(entry.max_epochs * count))
    return limits


def _digest(
    mixture: Mixture,
    segments: Sequence[tuple[int, Sequence[float]]],
    limits: Sequence[int | None],
    manifests: Mapping[str, Manifest],
    rest: tuple[object, ...],
) -> str:
    """What decides a batch and nothing else: 3 and 3.0 are one weight, and unused line counts decide nothing."""
    names = [entry.name for entry in mixture.datasets]
    by_step = [
        (step, [(name, str(Fraction(str(w)))) for name, w in zip(names, weights, strict=True) if w > 0])
        for step, weights in segments
    ]
    hashes = sorted((name, manifest.pairs_hash) for name, manifest in manifests.items())
    policy = mixture.batch.policy
    content = (by_step[0][1], hashes, (mixture.batch.slots if policy == "homogeneous" else None, policy), *rest)
    limited = [(name, limit) for name, limit in zip(names, limits, strict=True) if limit]
    if by_step[1:] or limited:
        content = (*content, by_step[1:], limited)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def host_rows(batch_size: int, hosts: int, host: int) -> range:
    """The rows of each batch that belong to one of so many hosts; in the hosts' order they are the batch.

    Raises ValueError, with the nearest number that does, when the hosts do not divide the batch.
    """
    if not 0 <= host < hosts:
        raise ValueError(f"host {host} of {hosts}; expected a number from 0 to {hosts - 1}")
    if batch_size % hosts:
        near = max(1, round(batch_size / hosts)) * hosts
        raise ValueError(f"batch size {batch_size} does not divide over {hosts} hosts; the nearest that does: {near}")
    share = batch_size // hosts
    return range(host * share, (host + 1) * share)


def _below(data: Path, name: str) -> str:
    """Where a dataset of that name lies deeper, as a mixture would call it; or nothing."""
    try:
        found = [folder.relative_to(data).as_posix() for folder in find_manifests(data)]
    except FileNotFoundError:
        return ""
    return next((place for place in found if place.endswith(f"/{name}")), "")


def load_manifests(data: str | Path, names: Sequence[str]) -> dict[str, Manifest]:
    """The manifests of the named datasets below `data`; every missing one is named at once."""
    missing = [name for name in names if not (Path(data) / name / "manifest.json").is_file()]
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        if (Path(data) / "manifest.json").is_file():
            mend = f"{data} is itself a dataset: pass the folder above it"
        elif deeper := _below(Path(data), missing[0]):
            mend = f"there is {deeper}: name it so in the mixture"
        else:
            mend = "make it with `pairstream preprocess`"
        raise FileNotFoundError(f"{data}: no finished dataset {shown}; {mend}")
    return {name: Manifest.load(Path(data) / name) for name in names}
