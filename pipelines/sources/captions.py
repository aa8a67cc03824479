"""Captions of one image: any two of them are a pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import xxhash

from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import JsonItems, RecordSource, aligned_lines, text_lines
from pipelines.sources.sets import GroupedSets, Member, SetOptions, same_meaning
from schemas.pair import Pair, normalise

_FLICKR = DatasetInfo(
    name="flickr30k_captions",
    tuple="caption → other caption of the image",
    licence="non-commercial research",
    citation="Young et al., From image descriptions to visual denotations, 2014",
    url="https://shannon.cs.illinois.edu/DenotationGraph/",
    raw="token file of Flickr30k (results_20130124.token)",
    published=317_695,
    weight=1,
)


def coco_member(annotation: Any) -> Member | str:
    """(image, caption) of an annotation."""
    match annotation:
        case {"image_id": bool()}:
            return "missing_field"
        case {"image_id": int() | str() as image, "caption": str(caption)}:
            return (f"coco/{image}", caption.strip()) if caption.strip() else "empty_text"
    return "missing_field" if isinstance(annotation, dict) else "not_an_object"


def flickr_member(line: str) -> Member | str:
    """(image, caption) of a line `12345.jpg#0 TAB caption`."""
    name, tab, caption = line.partition("\t")
    image, sign, _ = name.strip().rpartition("#")
    if not tab or not sign or not image:
        return "not_a_caption"
    return (f"flickr30k/{image}", caption.strip()) if caption.strip() else "empty_text"


def aligned_captions(captions: tuple[str, ...], dataset: str, options: SetOptions) -> Iterator[Pair | str]:
    """The pairs of one image's captions.

    These files do not name the image, so that its captions do: the set's name is a hash of them, which
    no file name, compression or place in the file changes.
    """
    digest = xxhash.xxh3_128_hexdigest("\0".join(sorted(map(normalise, captions))).encode())
    return same_meaning((f"flickr30k/{digest}", list(captions)), dataset, options)


ROWS: tuple[RecordSource, ...] = (
    GroupedSets(
        DatasetInfo(
            name="coco_captions",
            tuple="caption → other caption of the image",
            licence="CC BY 4.0",
            citation="Chen et al., Microsoft COCO Captions: Data Collection and Evaluation Server, 2015",
            url="https://cocodataset.org/#download",
            raw="COCO JSON (captions_train2014.json, or the zip of annotations)",
            published=828_395,
            weight=1,
        ),
        read=JsonItems("annotations.item"),
        member=coco_member,
        pairs=same_meaning,
        settings=SetOptions(set_pairs=None),  # as published: all pairs, of six or seven captions too
        members="[!_]*captions_*.json",
    ),
    GroupedSets(
        _FLICKR,
        read=text_lines,
        member=flickr_member,
        pairs=same_meaning,
        settings=SetOptions(),
        members="[!_]*.token",
    ),
    RecordSource(
        _FLICKR._replace(
            name="flickr30k_captions_aligned",
            url="https://github.com/multi30k/dataset",
            raw="five line-aligned caption files of Flickr30k (train.1.en … train.5.en)",
        ),
        read=aligned_lines,
        pairs=aligned_captions,
        settings=SetOptions(),
        aligned=5,
    ),
)
