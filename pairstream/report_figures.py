"""What a report says of a dataset: the counts of its manifest, and what a sample of its records shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pairstream.report_sample import (
    EXAMPLES_A_REASON,
    Dropped,
    Example,
    Histogram,
    Sample,
    excerpt,
    measure,
    most_first,
)
from schemas.manifest import Manifest, Part, Stage

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Contamination:
    """Pairs dropped because a text of theirs stands in an evaluation set."""

    parts: int
    """Parts of the dataset that were checked."""
    dropped: int
    hits: dict[str, int]
    """By evaluation set; a pair that hits two counts for both."""
    eval_texts: tuple[Any, ...]
    """The option of each part that was checked, as its job had it."""


@dataclass(frozen=True)
class PartFigures:
    """One part, without the list of its shards."""

    path: str
    command: tuple[str, ...]
    options: dict[str, Any]
    inputs: dict[str, Any]
    read: int
    funnel: tuple[Stage, ...]
    records: dict[str, int]


@dataclass(frozen=True)
class DatasetFigures:
    """One dataset; counts are sums over its parts."""

    folder: str
    dataset: str
    tuple: str
    licence: str
    citation: str
    url: str
    kind: str
    content_hash: str
    shards: int
    records: dict[str, int]
    bytes: dict[str, int]
    read: int
    funnel: tuple[Stage, ...]
    characters: Histogram | None
    """Of all records; None where the manifest has no lengths, or parts have different bins."""
    origins: dict[str, dict[str, int]]
    """Kind (`subreddit`) → name → pairs; the name '' stands for all that are not named."""
    contamination: Contamination | None
    sample: Sample
    dropped: dict[str, dict[str, tuple[Example, ...]]]
    """Stage → reason → examples."""
    parts: tuple[PartFigures, ...]

    @property
    def written(self) -> int:
        return sum(self.records.values())


def describe(manifest: Manifest, *, sample: int, tokenizer: Tokenizer | None, rejects: Dropped) -> DatasetFigures:
    """The figures of one dataset; at most `sample` of its records are read.

    Raises ValueError for a damaged record, naming it, and for statistics that are none.
    """
    parts = manifest.parts
    splits = sorted({split for part in parts for split in part.splits}, reverse=True)
    located = [found for split in splits for found in manifest.shards(split)]
    try:
        characters, origins, dropped = _characters(parts), _origins(parts), _dropped(parts, rejects)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{manifest.folder}: the manifest's statistics are damaged ({error!r}); make it again"
        ) from None
    return DatasetFigures(
        folder=printable(manifest.folder),
        **{name: getattr(manifest, name) for name in ("dataset", "tuple", "licence", "citation", "url", "kind")},
        content_hash=manifest.content_hash,
        shards=len(located),
        records={split: manifest.records(split) for split in splits},
        bytes={split: sum(found.shard.bytes for found in manifest.shards(split)) for split in splits},
        read=sum(part.read for part in parts),
        funnel=sum_funnels(parts),
        characters=characters,
        origins=origins,
        contamination=_contamination(parts),
        sample=measure(located, sample, tokenizer) if manifest.kind == "text" else Sample(),
        dropped=dropped,
        parts=tuple(
            PartFigures(
                path=part.path,
                command=part.command,
                options=part.options,
                inputs=part.inputs,
                read=part.read,
                funnel=part.funnel,
                records={name: split.records for name, split in part.splits.items()},
            )
            for part in parts
        ),
    )


def printable(path: str | Path) -> str:
    """A path as text, whatever its bytes."""
    return os.fsencode(path).decode("utf-8", "replace")


def sum_funnels(parts: Sequence[Part]) -> tuple[Stage, ...]:
    """One funnel for all parts. A stage that a part lacks let all of that part pass."""
    order: list[str] = []
    drops: dict[str, Counter[str]] = {}
    for part in parts:
        place = 0
        for stage in part.funnel:
            if stage.name not in drops:
                order.insert(place, stage.name)
                drops[stage.name] = Counter()
            place = order.index(stage.name) + 1
            drops[stage.name].update(stage.drops)
    left = sum(part.read for part in parts)
    summed = []
    for name in order:
        left -= drops[name].total()
        summed.append(Stage(name, left, dict(drops[name])))
    return tuple(summed)


def _characters(parts: Sequence[Part]) -> Histogram | None:
    edges: set[tuple[int, ...]] = set()
    totals: dict[str, Any] = {}
    for part in parts:
        if not part.splits:
            continue
        if (found := part.statistics.get("characters")) is None:
            return None
        edges.add(tuple(map(int, found["edges"])))
        if len(edges) > 1:
            return None
        for split in part.splits:
            for role, counts in found[split].items():
                totals[role] = totals.get(role, 0) + np.array(counts, np.int64)
    if not edges:
        return None
    (only,) = edges
    if list(only) != sorted(set(only)) or any(counts.shape != (len(only),) for counts in totals.values()):
        raise ValueError("lengths do not match their bins")
    return Histogram(only, {role: tuple(counts.tolist()) for role, counts in totals.items()})


def _origins(parts: Sequence[Part]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {}
    for part in parts:
        for kind, counts in part.statistics.get("origins", {}).items():
            totals.setdefault(kind, Counter()).update({str(name): int(count) for name, count in counts.items()})
    return {kind: most_first(counts) for kind, counts in totals.items()}


def _contamination(parts: Sequence[Part]) -> Contamination | None:
    checked = [(part, stage) for part in parts for stage in part.funnel if stage.name == "decontaminate"]
    # A job may list the stage whether or not it had anything to look for.
    checked = [(part, stage) for part, stage in checked if stage.drops or part.options.get("eval_texts", True)]
    if not checked:
        return None
    hits: Counter[str] = Counter()
    for _, stage in checked:
        for names, records in stage.drops.items():
            hits.update(dict.fromkeys(names.split("+"), records))
    return Contamination(
        parts=len(checked),
        dropped=sum(sum(stage.drops.values()) for _, stage in checked),
        hits=most_first(hits),
        eval_texts=tuple(part.options["eval_texts"] for part, _ in checked if part.options.get("eval_texts")),
    )


def _dropped(parts: Sequence[Part], rejects: Dropped) -> dict[str, dict[str, tuple[Example, ...]]]:
    """Examples that the manifest keeps, then those of a folder of rejects."""
    gathered: Dropped = {}
    for part in parts:
        for stage, reasons in part.statistics.get("samples", {}).items():
            for reason, examples in reasons.items():
                into = gathered.setdefault(stage, {}).setdefault(reason, [])
                into += [
                    tuple(
                        excerpt(role, text)
                        for role, texts in example.items()
                        for text in (texts if isinstance(texts, list) else [texts])
                    )
                    for example in examples
                ]
    for stage, reasons in rejects.items():
        for reason, more in reasons.items():
            gathered.setdefault(stage, {}).setdefault(reason, []).extend(more)
    return {
        stage: {reason: tuple(dict.fromkeys(found))[:EXAMPLES_A_REASON] for reason, found in reasons.items()}
        for stage, reasons in gathered.items()
    }
