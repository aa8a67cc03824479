"""Comments of Reddit: the rows of a dump, with the field types of any year, as comments that cross the shuffle."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
import orjson

DELETED = ("[deleted]", "[removed]")
ORDINARY, BOT, PARENT_ALONE = 0, 1, 2  # bits


class Comment(NamedTuple):
    """A comment, as it crosses the shuffle by thread."""

    id: str
    parent: str
    """Id of what it answers: a comment, or the thread itself."""
    retrieved: int
    """Unix time of the retrieval, 0 where the dump does not say."""
    body: str
    subreddit: str = ""
    kind: int = ORDINARY
    """ORDINARY, or the bits BOT and PARENT_ALONE: from a dump that yields no pairs."""


ID, PARENT, _, BODY, SUBREDDIT, KIND = range(len(Comment._fields))
"""Places of the fields: lists that came through the shuffle are read as they are, for a thread has many."""
Seconds = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Row(msgspec.Struct, gc=False):
    """What a comment needs of a dump's row, as nearly every row has it: the other fields are skipped, not built."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    link_id: Annotated[str, msgspec.Meta(min_length=4)]
    """With its prefix."""
    body: str
    parent_id: str = ""
    subreddit: str = ""
    retrieved_on: Seconds = -1
    """Absent: below 0."""
    retrieved_utc: Seconds = 0
    author: str | None = None
    over_18: bool | None = None


_decode_row = msgspec.json.Decoder(Row).decode


def parse_line(line: bytes) -> Any:
    """A line as a Row; as a dict where it is not of the usual form; itself where it is no JSON."""
    try:
        return _decode_row(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            return line


def comment_from_row(row: Any, kind: int = ORDINARY) -> tuple[str, list[Any]] | str:
    """(thread, the fields of a Comment) of a row, or the reason why it is none."""
    if type(row) is Row:
        thread, id_, parent = row.link_id, row.id, row.parent_id
        # As `plain_id` does, which takes three calls for each comment.
        thread = thread[3:] if thread[:3] == "t3_" else plain_id(thread)
        parent = parent[3:] if parent[:3] in _USUAL_PARENTS else plain_id(parent)
        if id_[2:3] == "_":
            id_ = plain_id(id_)
        if not thread or not id_:
            return "id_missing"
        retrieved = row.retrieved_on if row.retrieved_on >= 0 else row.retrieved_utc
        return thread, [id_, parent, retrieved, row.body, row.subreddit, kind]
    if type(row) is not dict:
        return "not_json" if type(row) is bytes else getattr(row, "reason", "not_an_object")  # a BadRecord has one
    get = row.get
    body = get("body")
    if type(body) is not str:
        return "body_missing"
    thread, id_ = plain_id(get("link_id")), plain_id(get("id"))
    if not thread or not id_:
        return "id_missing"
    subreddit = get("subreddit")
    if type(subreddit) is not str:
        subreddit = ""
    retrieved = get("retrieved_on")
    if type(retrieved) is not int or not 0 <= retrieved < 1 << 63:
        retrieved = _timestamp(row)
    return thread, [id_, plain_id(get("parent_id")), retrieved, body, subreddit, kind]


_USUAL_PARENTS = frozenset(("t1_", "t3_"))


def plain_id(value: Any) -> str:
    """An id without its `t1_`…`t5_` prefix; old months have integers, some rows nothing."""
    if type(value) is str:
        return value[3:] if value[2:3] == "_" and value[0] == "t" and value[1] in "0123456789" else value
    return str(value) if type(value) is int else ""


def _timestamp(row: dict[str, Any]) -> int:
    value = row.get("retrieved_on", row.get("retrieved_utc"))
    try:
        seconds = int(value)  # type: ignore[arg-type]  # None raises, as it should
    except (TypeError, ValueError, OverflowError):
        return 0
    return seconds if 0 <= seconds < 1 << 63 else 0  # what crosses the shuffle has 64 bits


def field_of_row(row: Row | dict[str, Any], name: str) -> Any:
    return row.get(name) if isinstance(row, dict) else getattr(row, name)


def text_of_row(row: Any) -> tuple[str, ...]:
    """A row that is no comment, to be kept aside."""
    if isinstance(row, bytes):
        return (row.decode(errors="replace"),)
    if isinstance(row, Row):
        return (msgspec.json.encode(row).decode(),)
    return () if isinstance(row, tuple) else (orjson.dumps(row, default=str).decode(),)  # a BadRecord is a tuple
