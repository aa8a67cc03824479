"""What is in batch s, by arithmetic: a pure function of mixture, manifests, seed and s.

`schedule` says how many records of which dataset, `permutation` in what order a dataset's windows
come, and here both become runs of records in shards. Nothing is read, nothing is remembered from
batch to batch, and a plan's memory does not grow with the records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reader.permutation import permutation_key, permute
from reader.schedule import Schedule, make_schedule
from schemas.manifest import Manifest
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
        while count:
            epoch, within = divmod(position, self.records)
            taken = min(count, self.records - within)
            yield from self._runs_in_epoch(epoch, within, taken)
            position += taken
            count -= taken

    def _runs_in_epoch(self, epoch: int, first: int, count: int) -> Iterator[tuple[str, int, int]]:
        full = int(self.windows_before[-1])
        in_windows = max(0, min(count, full * self.window - first))
        if in_windows:
            places = np.arange(first // self.window, (first + in_windows - 1) // self.window + 1)
            windows = permute(places, full, permutation_key(self.seed, self.name, epoch))
            for place, window in zip(places.tolist(), windows.tolist(), strict=True):
                begin = max(first, place * self.window)
                end = min(first + in_windows, (place + 1) * self.window)
                shard = int(np.searchsorted(self.windows_before, window, side="right")) - 1
                start = (window - int(self.windows_before[shard])) * self.window
                yield self.paths[shard], start + begin - place * self.window, end - begin
        tail, end = first + in_windows - full * self.window, first + count - full * self.window
        while tail < end:
            shard = int(np.searchsorted(self.tails_before, tail, side="right")) - 1
            taken = min(end, int(self.tails_before[shard + 1])) - tail
            start = int(self.windows_before[shard + 1] - self.windows_before[shard]) * self.window
            yield self.paths[shard], start + tail - int(self.tails_before[shard]), taken
            tail += taken


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a run over manifests on disk."""

    names: tuple[str, ...]
    """Dataset names, in the mixture's order."""
    orders: tuple[DatasetOrder | None, ...]
    """None for a dataset of weight 0."""
    schedule: Schedule
    batch_size: int
    content_hash: str
    """Digest of mixture, manifests, seed and batch size: equal hashes, equal batches."""

    def runs(self, step: int, rows: range | None = None) -> list[Run]:
        """The records of batch `step` in row order; with `rows`, of those rows of the batch alone."""
        rows = range(self.batch_size) if rows is None else rows
        chosen: list[Run] = []
        first_row = 0
        for slot in self.schedule.slots(step):
            begin, end = max(rows.start, first_row), min(rows.stop, first_row + slot.rows)
            if begin < end:
                order = self.orders[slot.dataset]
                assert order is not None  # the schedule names no dataset of weight 0
                position = slot.position + begin - first_row
                chosen += [Run(slot.dataset, *run) for run in order.runs(position, end - begin)]
            first_row += slot.rows
        return chosen

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

    `batch_size` and `seed` stand in for the mixture's own. Raises FileNotFoundError naming every
    dataset that has no manifest, and ValueError for a dataset without the split or a batch that
    the slots do not divide.
    """
    seed = mixture.seed if seed is None else seed
    batch_size = mixture.batch.size if batch_size is None else batch_size
    wanted = [entry.name for entry in mixture.datasets if entry.weight > 0]
    manifests = load_manifests(data, wanted)
    hashes = {name: manifest.content_hash for name, manifest in manifests.items()}
    # What decides a batch and nothing else: 3 and 3.0 are one weight, and line counts decide nothing.
    weights = [(entry.name, str(Fraction(str(entry.weight)))) for entry in mixture.datasets if entry.weight > 0]
    policy = (mixture.batch.slots, mixture.batch.policy)
    content = (weights, sorted(hashes.items()), policy, seed, batch_size, split)
    return BatchPlan(
        names=tuple(entry.name for entry in mixture.datasets),
        orders=tuple(
            DatasetOrder.from_manifest(manifests[entry.name], split, seed) if entry.weight > 0 else None
            for entry in mixture.datasets
        ),
        schedule=make_schedule(
            [entry.weight for entry in mixture.datasets],
            batch_size=batch_size,
            slots=mixture.batch.slots,
            seed=seed,
        ),
        batch_size=batch_size,
        content_hash=hashlib.sha256(repr(content).encode()).hexdigest(),
    )


def load_manifests(data: str | Path, names: Sequence[str]) -> dict[str, Manifest]:
    """The manifests of the named datasets below `data`; every missing one is named at once."""
    missing = [name for name in names if not (Path(data) / name / "manifest.json").is_file()]
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        raise FileNotFoundError(f"{data}: no finished dataset {shown}; make it with `pairstream preprocess`")
    return {name: Manifest.load(Path(data) / name) for name in names}
