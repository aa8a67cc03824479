"""The train split as mining sees it: distinct anchors and positives, and which are known to belong together."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import TRAIN, Fingerprints, Pair
from schemas.shards import read_shard


class Texts:
    """Texts by number, kept in a file: of each, eight bytes and its fingerprint are in memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._ends = array("Q", [0])
        self.numbers: dict[int, int] = {}
        """Fingerprint → number, in order of first appearance."""

    def __len__(self) -> int:
        return len(self._ends) - 1

    def number(self, fingerprint: int, text: str) -> int:
        """The number of a text; the first of several that are equal once normalised is the one that is kept."""
        number = self.numbers.setdefault(fingerprint, len(self))
        if number == len(self):
            data = text.encode()
            self._file.seek(self._ends[-1])
            self._file.write(data)
            self._ends.append(self._ends[-1] + len(data))
        return number

    def __getitem__(self, number: int) -> str:
        self._file.seek(self._ends[number])
        return self._file.read(self._ends[number + 1] - self._ends[number]).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def close(self) -> None:
        """The file stays; no text can be had any more."""
        self._file.close()


class Runs(NamedTuple):
    """Values by key: those of key k are `values[starts[k] : starts[k + 1]]`."""

    starts: NDArray[np.int64]
    values: NDArray[np.int64]

    def of(self, key: int) -> NDArray[np.int64]:
        return self.values[self.starts[key] : self.starts[key + 1]]

    @classmethod
    def of_columns(cls, keys: NDArray[np.int64], values: NDArray[np.int64], count: int) -> Runs:
        """From (key, value) rows with keys below `count`; values keep their order."""
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(count + 1))
        return cls(starts.astype(np.int64), values[order])


@dataclass(frozen=True)
class TrainTexts:
    """Row i is the i-th train pair."""

    anchors: Texts
    positives: Texts
    anchor: NDArray[np.int64]
    """[n] number of the pair's anchor."""
    positive: NDArray[np.int64]
    """[n] number of its positive."""
    pairs: Runs
    """Anchor → its pairs."""
    _clusters: NDArray[np.int64]
    """[n] number of the pair's cluster, -1 for none."""
    _equal: NDArray[np.int64]
    """Anchor → number of the positive that is the same text, -1 for none."""
    _cluster_positives: Runs

    def known(self, anchor: int) -> NDArray[np.int64]:
        """Positives that are no negatives of an anchor, by the rule that masks them in training.

        They are equal to it, or belong to a pair with the same anchor, or to one of a cluster of these.
        """
        rows = self.pairs.of(anchor)
        clusters = np.unique(self._clusters[rows])
        parts = [self.positive[rows], *(self._cluster_positives.of(cluster) for cluster in clusters if cluster >= 0)]
        known = np.unique(np.concatenate([*parts, self._equal[anchor : anchor + 1]]))
        return known[known >= 0]


def train_pairs(manifest: Manifest, limit: int | None) -> Iterator[tuple[Pair, Fingerprints]]:
    """The pairs of the train split in the order of the shards, at most `limit`."""
    records = (record for path, _ in manifest.shards(TRAIN) for record in read_shard(path))
    return (decode_pair(record) for record in islice(records, limit))


def collect(manifest: Manifest, folder: Path, limit: int | None) -> TrainTexts:
    """Read the train split once; the texts go to files in `folder`. Raises ValueError when it is empty."""
    anchors, positives = Texts(folder / "anchors.txt"), Texts(folder / "positives.txt")
    columns = array("q"), array("q"), array("q")
    clusters: dict[int, int] = {}
    for pair, prints in train_pairs(manifest, limit):
        columns[0].append(anchors.number(prints.texts[0], pair.anchor))
        columns[1].append(positives.number(prints.texts[1], pair.positive))
        columns[2].append(clusters.setdefault(prints.cluster, len(clusters)) if prints.cluster else -1)
    if not columns[0]:
        raise ValueError(f"{manifest.folder}: no train pairs to mine for; expected a dataset with a train split")
    anchor, positive, cluster = (np.array(column, np.int64) for column in columns)
    marked = cluster >= 0
    return TrainTexts(
        anchors,
        positives,
        anchor,
        positive,
        Runs.of_columns(anchor, np.arange(len(anchor)), len(anchors)),
        cluster,
        np.array([positives.numbers.get(fingerprint, -1) for fingerprint in anchors.numbers], np.int64),
        Runs.of_columns(cluster[marked], positive[marked], len(clusters)),
    )
