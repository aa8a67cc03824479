"""The corpus that is searched: its distinct texts, each with its dataset and where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from schemas.manifest import Manifest, find_manifests
from schemas.texts import FIELD, read_texts

MOST_CHARACTERS = 20_000
"""Of a text; what is beyond no encoder reads and no page shows."""


class CorpusText(NamedTuple):
    """One text."""

    text: str
    source: str
    """The pair's group (a thread, a module), `line 7` or `row 7`."""
    dataset: str
    """The dataset's tag, or the file's name."""


@dataclass(frozen=True)
class Corpus:
    """Texts, in the order in which they are encoded."""

    path: Path
    texts: tuple[CorpusText, ...]

    @property
    def datasets(self) -> dict[str, int]:
        """Dataset → texts, by name."""
        return dict(sorted(Counter(text.dataset for text in self.texts).items()))

    @property
    def vectors_folder(self) -> Path:
        """Where vectors are kept: beside the manifest, or beside the file."""
        return self.path / ".vectors" if self.path.is_dir() else self.path.with_name(f".{self.path.name}.vectors")


def read_corpus(path: str | Path, limit: int, *, field: str = FIELD) -> Corpus:
    """The first `limit` distinct texts: of a dataset its positives, held-out ones first, of each dataset alike.

    `field` is the field of JSON lines and the column of Parquet. Raises OSError or ValueError, in one
    line, when nothing is there or it holds no text.
    """
    path = Path(path)
    if path.is_dir():
        manifests = [Manifest.load(folder) for folder in find_manifests(path)]
        streams: list[Iterator[CorpusText]] = [
            _of_dataset(manifest) for manifest in manifests if manifest.kind != "tokens"
        ]
        if not streams:
            raise ValueError(f"{path}: holds token ids alone; expected texts: use the dataset they were made from")
    else:
        streams = [_of_file(path, field)]
    found: dict[str, CorpusText] = {}
    for text in _in_turn(streams):
        if text.text.strip():
            found.setdefault(text.text, text)
            if len(found) == limit:
                break
    if not found:
        raise ValueError(f"{path}: no text to search")
    return Corpus(path, tuple(text._replace(text=text.text[:MOST_CHARACTERS]) for text in found.values()))


def _of_dataset(manifest: Manifest) -> Iterator[CorpusText]:
    for text, source in read_texts(manifest.folder):
        yield CorpusText(text, source, manifest.dataset)


def _of_file(path: Path, field: str) -> Iterator[CorpusText]:
    name = path.name.partition(".")[0] or path.name
    for text, source in read_texts(path, field=field):
        yield CorpusText(text, source, name)


def _in_turn(streams: Sequence[Iterator[CorpusText]]) -> Iterator[CorpusText]:
    """A text of each stream, then the next of each, until all have ended."""
    while streams:
        left = []
        for stream in streams:
            for text in islice(stream, 1):
                left.append(stream)
                yield text
        streams = left
