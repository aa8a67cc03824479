"""The catalogue: every source that `pairstream preprocess` knows, by name."""

from __future__ import annotations

from pipelines.sources.base import Source
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit

SOURCES: dict[str, Source] = {
    "reddit": Reddit(),
    "docstrings": Docstrings(),
}
