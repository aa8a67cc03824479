"""Reddit comment dumps: each reply with the comment it answers.

The rules and defaults are those of the published conversational dataset: a reply and its direct
parent, both of 9 to 127 characters and not deleted, split by thread; earlier ancestors are kept
as contexts. Dumps are ndjson, compressed or not, with the field types of any year.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.pvalue import PCollection

from pipelines.files import InputFile, UnreadableFileError, match_files, read_lines
from pipelines.funnel import BAD_FILES, TALLIES, BadFile, Drop, Read, counted
from pipelines.sources.base import DatasetInfo, Outcomes, Source
from schemas.pair import Pair

DELETED = ("[deleted]", "[removed]")
_KIND_PREFIX = re.compile(r"^t[0-9]_")


class Comment(NamedTuple):
    """A comment, as it crosses the shuffle by thread."""

    id: str
    parent: str
    """Id of what it answers: a comment, or the thread itself."""
    retrieved: int
    """Unix time of the retrieval, 0 where the dump does not say."""
    body: str


@dataclass(frozen=True)
class Reddit(Source):
    """Reddit comment dumps (RC_*.zst, .bz2, .xz, .gz or plain ndjson): comment → reply."""

    min_characters: int = 9
    """Shortest comment or reply that is kept."""
    max_characters: int = 127
    """Longest comment or reply that is kept; earlier contexts are trimmed to it at a word's end."""
    depth: int = 10
    """Ancestors looked at: the direct parent and up to depth - 1 earlier contexts."""
    test_fraction: float = 0.1
    """Share of the threads that is held out."""

    datasets: ClassVar[tuple[DatasetInfo, ...]] = (
        DatasetInfo(
            name="reddit",
            tuple="comment → reply",
            licence="none stated; Reddit's terms apply to the comments",
            citation="Henderson et al., A Repository of Conversational Datasets, 2019; "
            "Baumgartner et al., The Pushshift Reddit Dataset, 2020",
            url="https://academictorrents.com (Pushshift and Arctic Shift dumps)",
            raw="comment dumps, ndjson (RC_2019-01.zst, .bz2, .xz, .gz)",
            published=726_484_430,
            weight=328,
        ),
    )

    def __post_init__(self) -> None:
        if not 0 < self.min_characters <= self.max_characters:
            raise ValueError(
                f"min_characters {self.min_characters}, max_characters {self.max_characters}; expected 0 < min <= max"
            )
        if self.depth < 1:
            raise ValueError(f"depth is {self.depth}; expected at least 1")

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        if not inputs:
            wanted = self.datasets[0].raw or "comment dumps (RC_*.zst, …)"
            raise FileNotFoundError(f"{self.datasets[0].name} needs --input: the path or glob of {wanted}")
        return match_files(inputs)

    def read_file(self, path: str, dataset: str) -> Iterator[tuple[str, bytes] | Read | Drop | BadFile]:
        """(thread, comment as JSON) of each good comment of a file."""
        return read_comments(path, dataset)

    def read_pairs(self, files: PCollection, datasets: tuple[DatasetInfo, ...]) -> Outcomes:
        dataset = datasets[0].name
        comments = files | counted("ReadComments", self.read_file, dataset)
        pairs = (
            comments.main  # (thread, Comment as JSON)
            | "GroupByThread" >> beam.GroupByKey()  # (thread, [Comment as JSON])
            | counted("PairReplies", pair_thread, dataset, self)
        )
        return Outcomes(pairs.main, tallies=(comments[TALLIES], pairs[TALLIES]), bad_files=(comments[BAD_FILES],))


def read_comments(path: str, dataset: str) -> Iterator[tuple[str, bytes] | Read | Drop | BadFile]:
    """(thread, comment as JSON) of each good line of a dump."""
    try:
        for lines in read_lines(path):
            for line in lines:
                if not line.strip():
                    continue
                yield Read(dataset)
                parsed = parse_comment(line)
                yield Drop(dataset, "read", parsed) if isinstance(parsed, str) else parsed
    except UnreadableFileError as error:
        yield BadFile(str(error))


def parse_comment(line: bytes) -> tuple[str, bytes] | str:
    """(thread, comment as JSON), or the reason why the line is none."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "not_json"
    return comment_from_row(row)


def comment_from_row(row: Any) -> tuple[str, bytes] | str:
    """(thread, comment as JSON) of a row of fields, or the reason why it is none."""
    if not isinstance(row, dict):
        return "not_an_object"
    body = row.get("body")
    if not isinstance(body, str):
        return "body_missing"
    thread, comment = plain_id(row.get("link_id")), plain_id(row.get("id"))
    if not thread or not comment:
        return "id_missing"
    fields = Comment(comment, plain_id(row.get("parent_id")), _timestamp(row), body)
    return thread, orjson.dumps(tuple(fields))


def plain_id(value: Any) -> str:
    """An id without its `t1_`…`t5_` prefix; old months have integers, some rows nothing."""
    return _KIND_PREFIX.sub("", str(value)) if isinstance(value, str | int) else ""


def _timestamp(row: dict[str, Any]) -> int:
    value = row.get("retrieved_on", row.get("retrieved_utc"))
    try:
        seconds = int(value)  # type: ignore[arg-type]  # None raises, as it should
    except (TypeError, ValueError, OverflowError):
        return 0
    return seconds if 0 <= seconds < 1 << 63 else 0  # what crosses the shuffle has 64 bits


def pair_thread(element: tuple[str, Iterable[bytes]], dataset: str, rules: Reddit) -> Iterator[Pair | Drop]:
    """Each comment of a thread gives one thing: a pair of which it is the reply, or a reason."""
    thread, blobs = element
    comments: dict[str, Comment] = {}
    for comment in (Comment(*orjson.loads(blob)) for blob in blobs):
        if (other := comments.get(comment.id)) is not None:
            yield Drop(dataset, "pair", "duplicate_comment")
            comment = min(comment, other, key=_version_rank)
        comments[comment.id] = comment
    reached = _reached_from_roots(comments)
    for comment in comments.values():
        parent = comments.get(comment.parent)
        if parent is None:
            reason = "top_level" if comment.parent == thread else "missing_parent"
            yield Drop(dataset, "pair", reason)
        elif comment.id not in reached:
            yield Drop(dataset, "pair", "cycle")
        elif reason := _unfit(comment, rules, "reply") or _unfit(parent, rules, "parent"):
            yield Drop(dataset, "filter", reason)
        else:
            earlier = _ancestors(parent, comments, rules.depth - 1)
            contexts = tuple(trim(ancestor.body, rules.max_characters) for ancestor in earlier)
            yield Pair(dataset, parent.body, comment.body, group=thread, contexts=contexts)


def _version_rank(comment: Comment) -> tuple[bool, int, bytes, str]:
    """Of two comments with one id the lower wins: not deleted, then later retrieved, then smaller."""
    return comment.body in DELETED, -comment.retrieved, comment.body.encode(), comment.parent


def _reached_from_roots(comments: dict[str, Comment]) -> set[str]:
    """Comments whose ancestors end somewhere; the others answer themselves in a circle."""
    children: defaultdict[str, list[str]] = defaultdict(list)
    stack = []
    for comment in comments.values():
        children[comment.parent].append(comment.id)
        if comment.parent not in comments:
            stack.append(comment.id)
    reached = set(stack)
    while stack:
        answers = children[stack.pop()]
        reached.update(answers)
        stack.extend(answers)
    return reached


def _ancestors(comment: Comment, comments: dict[str, Comment], most: int) -> Iterator[Comment]:
    """The comment's parent, its parent's parent …, at most `most`."""
    for _ in range(most):
        parent = comments.get(comment.parent)
        if parent is None:
            return
        yield parent
        comment = parent


def _unfit(comment: Comment, rules: Reddit, side: str) -> str | None:
    if len(comment.body) > rules.max_characters:
        return f"{side}_too_long"
    if comment.body in DELETED:
        return f"{side}_deleted"
    if len(comment.body) < rules.min_characters:
        return f"{side}_too_short"
    return None


def trim(text: str, most: int) -> str:
    """The text's beginning, at most `most` characters, without splitting a word."""
    if len(text) <= most:
        return text
    end = most
    while end and text[end].isalnum() == text[end - 1].isalnum():
        end -= 1
    return text[:end]
