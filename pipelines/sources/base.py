"""What a source is: options, the datasets it writes, and the way from raw files to pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipelines.files import InputFile, match_files
from pipelines.filters.degenerate import empty_text, same_text
from pipelines.filters.options import CLEAN
from pipelines.filters.rule import Filter
from pipelines.funnel import Outcome

if TYPE_CHECKING:
    from pipelines.shuffle import Cap


class DatasetInfo(NamedTuple):
    """A dataset as the catalogue and the manifest describe it."""

    name: str
    tuple: str
    """What anchor and positive are: `comment → reply`."""
    licence: str
    citation: str
    url: str
    """Where to get the raw files."""
    raw: str = ""
    """The raw format, as its publisher gives it."""
    published: int | None = None
    """Pairs that the original's card or config states."""
    weight: float | None = None
    """Weight in the original's mixture."""


Stage = Callable[..., Iterator[Outcome]]
"""The first is given an input's path (and, of a splittable source, which of how many stripes of it to read),
each later one (key, values): all values that stages before it yielded as `Keyed` under the key, in no order."""


class Source(ABC):
    """A raw format. A frozen dataclass; `options` are its command's options, with their help texts."""

    datasets: tuple[DatasetInfo, ...]
    """What the source writes."""
    test_fraction: float
    """Share of the groups that is held out."""
    drop_train_texts_in_test: ClassVar[bool] = False
    """Whether a train pair goes when one of its texts stands in the test split."""
    needs_input: ClassVar[bool] = True
    """Whether there is nothing to read unless the user says what."""
    splittable: ClassVar[bool] = False
    """Whether several workers may read one file, each some stripes of it."""
    always_in_folders: ClassVar[bool] = False
    """Whether even a single dataset lies in a folder of its name below the output."""

    @property
    def options(self) -> Any:
        """A frozen dataclass of options: by default the source itself, all its fields being options."""
        return self

    def with_options(self, options: Any) -> Source:
        """The source with other options."""
        return options

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The published rules: applied to each pair, in order."""
        return ()

    @property
    def clean_filters(self) -> tuple[Filter, ...]:
        """What `--filters clean` adds."""
        return CLEAN

    def cleaned(self) -> Source:
        """The source with the options that `--filters clean` sets where the user said nothing."""
        return self

    @abstractmethod
    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        """The raw files. Raises FileNotFoundError naming what is missing."""

    @abstractmethod
    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        """From paths to pairs of `datasets`, which may be renamed: generators with a shuffle between each two."""

    def caps(self, datasets: tuple[DatasetInfo, ...]) -> dict[int, Cap]:
        """Number of a stage → how many values of a key it is given."""
        return {}


@dataclass(frozen=True)
class RecordOptions:
    """What every source takes whose options stand apart."""

    test_fraction: float = 0.0
    """Share of the groups that is held out."""


@dataclass(frozen=True)
class ConfiguredSource(Source):
    """A source whose options stand apart from what makes it, so that one class serves many datasets."""

    settings: Any = field(default=RecordOptions(), kw_only=True)
    """The options, with this source's defaults."""

    @property
    def options(self) -> Any:
        return self.settings

    def with_options(self, options: Any) -> Source:
        return replace(self, settings=options)

    @property
    def test_fraction(self) -> float:  # type: ignore[override]
        return self.settings.test_fraction

    @property
    def filters(self) -> tuple[Filter, ...]:
        return empty_text, same_text

    def match_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        """The files that the globs match. Raises FileNotFoundError, also where there is no glob."""
        if not inputs:
            info = self.datasets[0]
            raise FileNotFoundError(f"{info.name} needs --input: {info.raw}, from {info.url}")
        return match_files(inputs)


@dataclass(frozen=True)
class RowSource(ConfiguredSource):
    """A row of the catalogue: one dataset."""

    info: DatasetInfo

    @property
    def datasets(self) -> tuple[DatasetInfo, ...]:  # type: ignore[override]
        return (self.info,)
