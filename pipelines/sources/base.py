"""What a source is: options, the datasets it writes, and the way from raw files to pairs."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

import apache_beam as beam

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

    pairs: beam.PCollection
    """of Pair"""
    tallies: tuple[beam.PCollection, ...]
    """of pipelines.funnel.Tally"""
    bad_files: tuple[beam.PCollection, ...]
    """of str: one line for each input that could not be read to its end"""


class Source(Protocol):
    """A frozen dataclass: its fields are the command's options, its docstring the help text."""

    datasets: ClassVar[tuple[DatasetInfo, ...]]
    drop_train_texts_in_test: ClassVar[bool]
    """Whether a train pair goes when one of its texts stands in the test split."""

    @property
    def test_fraction(self) -> float:
        """Share of the groups that is held out."""
        ...

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Applied to each pair, in order."""
        ...

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        """The raw files. Raises FileNotFoundError naming what is missing."""
        ...

    def read_pairs(self, files: beam.PCollection, datasets: tuple[DatasetInfo, ...]) -> Outcomes:
        """From paths to pairs of `datasets`, which may be renamed."""
        ...
