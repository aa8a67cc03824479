"""Marks: shuffle keys of pairs that must go, sent to the pairs' cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import orjson

from pipelines.collect import CELLS, PairRules
from pipelines.dedup import Keys, to_blob
from pipelines.files import open_raw
from pipelines.near_duplicates import near_duplicates
from pipelines.shuffle import Blob, places_by_prefix
from pipelines.stages import Output, Task, Work
from schemas.pair import shuffle_keys

_AT_ONCE = 1 << 20


def blobs_of_marks(marks: Keys, bits: int) -> Iterator[Blob]:
    """Marks by the cells that their keys fall into."""
    for cell, places in places_by_prefix(marks.keys, bits):
        yield Blob(CELLS, cell, to_blob(marks._replace(keys=marks.keys[places])))


class ReadKnown(Work):
    """A task of (dataset, fingerprint file of an older part) → marks of the pairs that it holds."""

    def __init__(self, rules: PairRules, spills: str | None) -> None:
        super().__init__("known", spills, rules.bits)
        self._rules = rules

    def outputs(self, element: Task) -> Iterator[Output]:
        dataset, path = element.inputs
        with open_raw(path) as file:
            while content := file.read(8 * _AT_ONCE):
                if len(content) % 8:
                    raise OSError(f"{path}: cut short; make the dataset again")
                keys = shuffle_keys(np.frombuffer(content, "<u8").astype(np.uint64), self._rules.seed)
                for blob in blobs_of_marks(Keys(dataset, "in_older_part", keys), self._rules.bits):
                    yield blob.stage, blob


class FindNearDuplicates(Work):
    """(partition of the bands, blobs of members) → marks of the pairs that are near an earlier one."""

    def __init__(self, rules: PairRules, spills: str | None) -> None:
        super().__init__("near", spills, rules.bits)
        self._rules = rules

    def outputs(self, element: tuple[int, Iterable[bytes]]) -> Iterator[Output]:
        assert self._rules.signer
        blobs = element[1]
        for dataset in sorted({_dataset_of(blob) for blob in blobs}):
            keys = near_duplicates(partial(_members_of, dataset, blobs), self._rules.signer)
            for blob in blobs_of_marks(Keys(dataset, "near_duplicate", keys), self._rules.bits):
                yield blob.stage, blob


def _dataset_of(blob: bytes) -> str:
    return orjson.loads(blob[: blob.index(b"\n")])


def _members_of(dataset: str, blobs: Iterable[bytes]) -> Iterator[bytes]:
    """The members of one dataset; the blobs are walked anew each time and never held."""
    for blob in blobs:
        if _dataset_of(blob) == dataset:
            yield blob[blob.index(b"\n") + 1 :]
