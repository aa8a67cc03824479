"""What a source is: options, the datasets it writes, and the way from raw files to pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from apache_beam.pvalue import PCollection

from pipelines.files import InputFile
from pipelines.filters import Filter


class DatasetInfo(NamedTuple):
    """What the manifest says of a dataset."""

    name: str
    tuple: str
    """What anchor and positive are: `comment → reply`."""
    licence: str
    citation: str
    url: str


class Outcomes(NamedTuple):
    """What a source's transform gives."""

    pairs: PCollection
    """of Pair"""
    tallies: tuple[PCollection, ...]
    """of pipelines.funnel.Tally"""
    bad_files: tuple[PCollection, ...]
    """of str: one line for each input that could not be read to its end"""


@dataclass(frozen=True)
class Source(ABC):
    """A raw format. Fields of the subclass are its command's options, its docstring is the help text."""

    test_fraction: float = 0.0
    """Share of the groups that is held out."""

    datasets: ClassVar[tuple[DatasetInfo, ...]]
    """What the source writes."""
    drop_train_texts_in_test: ClassVar[bool] = False
    """Whether a train pair goes when one of its texts stands in the test split."""

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Applied to each pair, in order."""
        return ()

    @abstractmethod
    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        """The raw files. Raises FileNotFoundError naming what is missing."""

    @abstractmethod
    def read_pairs(self, files: PCollection[str], datasets: tuple[DatasetInfo, ...]) -> Outcomes:
        """From paths to pairs of `datasets`, which may be renamed."""
