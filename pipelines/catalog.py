"""The catalogue: every source that `pairstream preprocess` knows, by name.

A row is a source; its `DatasetInfo` says what the tuple is, the raw format, where to get it, licence,
citation, and the original's count and weight. `docs/sources.md` tells how to add one.
"""

from __future__ import annotations

from pipelines.sources import columns
from pipelines.sources.base import DatasetInfo, Source
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit

SOURCES: dict[str, Source] = {
    "reddit": Reddit(),
    "docstrings": Docstrings(),
    **{row.info.name: row for family in (columns,) for row in family.ROWS},
}

CATALOGUE: dict[str, DatasetInfo] = {info.name: info for source in SOURCES.values() for info in source.datasets}
"""What is known of each dataset, by name."""
