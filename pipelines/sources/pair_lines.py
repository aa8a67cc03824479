"""JSON lines that hold texts already: the forms in which pairs are published, and whole folders of them.

The original's folder of `*.jsonl.gz` is one source: its mixture file names the datasets, and one job
converts them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, ClassVar

from pipelines.files import InputFile
from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.base import ConfiguredSource, DatasetInfo, Stage
from pipelines.sources.records import RecordSource, json_lines, read_records
from pipelines.sources.sets import SetOptions, set_pairs
from schemas.mixture import Mixture
from schemas.pair import Pair, normalise

ENDING = ".jsonl.gz"


def pairs_of_line(line: Any, dataset: str, options: SetOptions) -> Iterator[Pair | str]:
    """The pairs of one line in any published form, or the reason why there is none.

    `[a, b]`, `[a, b, negative …]`, `{"texts": […]}` and a Reddit dict of `context` and `response` are a
    pair; `{"set": […]}` is a set; `{"query", "pos": […], "neg": […]}` gives a pair for each `pos`, all
    with the same negatives.
    """
    match line:
        case [str(anchor), str(positive), *negatives] if _are_texts(negatives):
            yield Pair(dataset, anchor, positive, tuple(negatives))
        case {"texts": [str(anchor), str(positive), *negatives]} if _are_texts(negatives):
            yield Pair(dataset, anchor, positive, tuple(negatives))
        case {"set": [_, _, *_] as texts} if _are_texts(texts):
            group = min((normalise(text) for text in texts if text.strip()), default="")
            yield from set_pairs(texts, dataset=dataset, group=group, cluster=None, most=options.set_pairs)
        case {"query": str(query), "pos": [_, *_] as positives, **rest} if _are_texts(positives):
            negatives = rest.get("neg") or []
            if not isinstance(negatives, list) or not _are_texts(negatives):
                yield "not_a_pair"
                return
            for positive in positives:
                yield Pair(dataset, query, positive, tuple(negatives))
        case {"context": str(context), "response": str(response), **rest}:
            yield _reddit_pair(dataset, context, response, rest)
        case _:
            yield "not_a_pair"


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _reddit_pair(dataset: str, context: str, response: str, rest: dict[str, Any]) -> Pair:
    """A row of the published conversations: `context/0` is the turn before the context, and so on."""
    earlier = []
    while isinstance(text := rest.get(f"context/{len(earlier)}"), str):
        earlier.append(text)
    thread = rest.get("thread_id")
    return Pair(dataset, context, response, group=thread if isinstance(thread, str) else "", contexts=tuple(earlier))


@dataclass(frozen=True)
class FolderOptions(SetOptions):
    """Options of a folder of published files."""

    allow_missing: bool = False
    """Convert the files that are there; without it a missing one stops the job before it starts."""


@dataclass(frozen=True)
class MixtureFolder(ConfiguredSource):
    """The datasets of a mixture file, each a `NAME.jsonl.gz` below the input folder."""

    mixture: Mixture
    catalogue: dict[str, DatasetInfo]
    """What is known of datasets, by name or by the name of their folder."""
    folder: str = ""
    _: KW_ONLY
    settings: FolderOptions = FolderOptions()

    always_in_folders: ClassVar[bool] = True

    @property
    def datasets(self) -> tuple[DatasetInfo, ...]:  # type: ignore[override]
        """The datasets whose file is there; all of them as long as missing ones are not allowed."""
        names = [entry.name for entry in self.mixture.datasets]
        if self.settings.allow_missing:
            from apache_beam.io.filesystems import FileSystems

            names = [name for name in names if FileSystems.exists(self._path(name))]
        return tuple(self._info(name) for name in names)

    def _path(self, name: str) -> str:
        from apache_beam.io.filesystems import FileSystems

        return FileSystems.join(self.folder, name + ENDING)

    def _info(self, name: str) -> DatasetInfo:
        entry = next(entry for entry in self.mixture.datasets if entry.name == name)
        known = self.catalogue.get(name) or self.catalogue.get(PurePosixPath(name).parts[0])
        info = known or DatasetInfo(name, "text → text", "not stated", "not stated", "")
        return info._replace(name=name, published=entry.lines, weight=entry.weight)

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        names = [entry.name for entry in self.mixture.datasets]
        there = {name: file for name in names if (file := self._find(name))}
        missing = [name for name in names if name not in there]
        if not there or (missing and not self.settings.allow_missing):
            shown = "\n".join(f"  {name}{ENDING}" for name in missing)
            raise FileNotFoundError(
                f"{self.folder}: {len(missing)} of {len(names)} files of the mixture are missing"
                f"{'' if self.settings.allow_missing else ' (--allow-missing converts the others)'}:\n{shown}"
            )
        return [InputFile(f"{name}\0{file.path}", file.bytes) for name, file in there.items()]

    def _find(self, name: str) -> InputFile | None:
        from apache_beam.io.filesystems import FileSystems

        try:
            found = FileSystems.match([self._path(name)])[0].metadata_list
        except OSError as error:
            raise FileNotFoundError(f"cannot look into {self.folder}: {error}") from None
        return InputFile(found[0].path, found[0].size_in_bytes) if found else None

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        return (partial(read_named, options=self.settings),)


def read_named(named: str, options: FolderOptions) -> Iterator[Pair | Read | Drop | BadFile]:
    """The pairs of one file of a folder; `named` is dataset and path."""
    dataset, path = named.split("\0")
    row = RecordSource(
        DatasetInfo(dataset, "", "", "", "", raw="JSON lines of texts"), json_lines, pairs_of_line, settings=options
    )
    yield from read_records(path, row, dataset)
