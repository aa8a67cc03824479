"""The Reddit job as it is usually written in Beam: each comment and each example is an element.

The peer is the original's job on today's Beam, in our words, step for step: rows to named tuples, with
bodies trimmed; keyed by thread and grouped; chains of replies walked from the roots; examples serialised;
keyed by a random UUID and grouped, which is its shuffle; parsed again for the split by thread; written by
Beam's own TFRecord sink. Its rows come from a dump instead of BigQuery. It has no dedup, sidecars,
counts or manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.job import LOCAL_RUNNER
from schemas.example import Example

LEAST, MOST, DEPTH = 9, 127, 10
GONE = ("[deleted]", "[removed]")
SHARDS = {"train": 10, "test": 10}
"""It writes a thousand and a hundred by default, which would cost it more here."""


class Comment(NamedTuple):
    id: str
    thread: str
    parent: str
    body: str
    was_long: bool
    author: str
    subreddit: str


def run_per_comment(dump: Path, output: Path) -> None:
    """The whole job in one process, on the runner that our own job uses."""
    with beam.Pipeline(options=PipelineOptions([f"--runner={LOCAL_RUNNER}"])) as pipeline:
        records = (
            pipeline
            | "Read" >> beam.io.ReadFromText(str(dump), compression_type=CompressionTypes.ZSTD)
            | "Parse" >> beam.Map(json.loads)
            | "Comments" >> beam.Map(comment_of)
            | "ByThread" >> beam.Map(lambda comment: (comment.thread, comment))
            | "GroupThreads" >> beam.GroupByKey()
            | "Threads" >> beam.Map(lambda group: group[1])
            | "Examples" >> beam.FlatMap(records_of)
            | "RandomKey" >> beam.Map(lambda record: (uuid.uuid4(), record))
            | "Shuffle" >> beam.GroupByKey()
            | "Shuffled" >> beam.FlatMap(lambda group: group[1])
        )
        splits = records | "Split" >> beam.Partition(lambda record, _: split_number(record), len(SHARDS))
        for (split, shards), of_split in zip(SHARDS.items(), splits, strict=True):
            _ = of_split | f"Write_{split}" >> beam.io.WriteToTFRecord(f"{output}/{split}", num_shards=shards)


def comment_of(row: dict[str, Any]) -> Comment:
    thread, parent = (re.sub("^t[0-9]_", "", row[name]) for name in ("link_id", "parent_id"))
    body = row["body"]
    return Comment(row["id"], thread, parent, trim(body), len(body) > MOST, row["author"], row["subreddit"])


def trim(text: str) -> str:
    """At most MOST characters, cut between a letter and something else."""
    end = min(len(text), MOST)
    while len(text) > MOST and end and text[end].isalnum() == text[end - 1].isalnum():
        end -= 1
    return text[:end]


def records_of(comments: Iterable[Comment]) -> Iterator[bytes]:
    by_id = {comment.id: comment for comment in comments}
    for chain in chains(by_id):
        reply, parent, *earlier = (by_id[id_] for id_ in reversed(chain))
        if _unfit(reply) or _unfit(parent):
            continue
        texts = {"thread_id": reply.thread, "subreddit": reply.subreddit, "context": parent.body}
        texts |= {"response": reply.body, "context_author": parent.author, "response_author": reply.author}
        texts |= {f"context/{number}": comment.body for number, comment in enumerate(earlier[: DEPTH - 1])}
        example = Example()
        for name, text in texts.items():
            example.features.feature[name].bytes_list.value.append(text.encode())
        yield example.SerializeToString()


def chains(by_id: dict[str, Comment]) -> Iterator[list[str]]:
    """Of each reply the ids from an ancestor down to it, level by level from the roots."""
    replies: defaultdict[str, list[str]] = defaultdict(list)
    for comment in by_id.values():
        replies[comment.parent].append(comment.id)
    level = [[comment.id] for comment in by_id.values() if comment.parent not in by_id]
    while level:
        level = [[*chain[-DEPTH:], reply] for chain in level for reply in replies[chain[-1]]]
        yield from level


def _unfit(comment: Comment) -> bool:
    return comment.was_long or len(comment.body) < LEAST or comment.body in GONE


def split_number(record: bytes) -> int:
    (thread,) = Example.FromString(record).features.feature["thread_id"].bytes_list.value
    bucket = int(hashlib.md5(thread).hexdigest(), 16) % 4096
    return int((1 + bucket) / 4096 >= 0.9)
