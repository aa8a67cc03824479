"""Reddit comment dumps: each reply with the comment it answers.

The rules and defaults are those of the published conversational dataset: a reply and its direct
parent, both of 9 to 127 characters and not deleted, split by thread; earlier ancestors are kept
as contexts. Dumps are ndjson, compressed or not, with the field types of any year.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import msgspec
import orjson

from pipelines.files import InputFile, UnreadableFileError, match_files, read_lines
from pipelines.filters.boilerplate import is_bot
from pipelines.filters.names import NameRule, load_names
from pipelines.funnel import BadFile, Drop, KeyedBlock, Origin, Outcome, Read
from pipelines.sources.base import DatasetInfo, Source, Stage
from schemas.pair import Pair

if TYPE_CHECKING:
    from pipelines.shuffle import Cap

DELETED = ("[deleted]", "[removed]")
PARENTS = "parents\0"
"""Before the path of a dump that supplies parents and yields no pairs."""
_COMMENT_BYTES = 320
"""About what a comment takes in memory beside its body."""
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
    parents: tuple[str, ...] = ()
    """Earlier dumps, as paths or globs, that supply parents of comments but yield no pairs: threads cross months."""
    max_thread_comments: int = 100_000
    """Comments of one thread that are looked at, for they are in memory together; of a longer one the earliest."""
    drop_bots: bool | None = None
    """Whether comments of bots go; by default only with --filters clean."""
    drop_nsfw: bool | None = None
    """Whether comments marked over 18 go; by default only with --filters clean."""
    subreddits: tuple[str, ...] = ()
    """Subreddits that are kept, as names or as files with a name a line; by default all."""
    deny_subreddits: tuple[str, ...] = ()
    """Subreddits that are left out, as names or as files with a name a line."""

    splittable: ClassVar[bool] = True
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
        for name in ("depth", "max_thread_comments"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")

    def cleaned(self) -> Reddit:
        drop_bots, drop_nsfw = self.drop_bots is not False, self.drop_nsfw is not False
        return replace(self, drop_bots=drop_bots, drop_nsfw=drop_nsfw)

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        if not inputs:
            wanted = self.datasets[0].raw or "comment dumps (RC_*.zst, …)"
            raise FileNotFoundError(f"{self.datasets[0].name} needs --input: the path or glob of {wanted}")
        _names((*self.subreddits, *self.deny_subreddits))
        files = match_files(inputs)
        paths = {file.path for file in files}
        earlier = [file for file in match_files(self.parents) if file.path not in paths]
        return files + [InputFile(f"{PARENTS}{file.path}", file.bytes) for file in earlier]

    def read_rows(self, path: str, stripe: int, stripes: int) -> Iterator[list[Any]]:
        """Blocks of a file's rows; bytes are the raw line of one that is no JSON."""
        for lines in read_lines(path, stripe, stripes):
            yield [_parse(line) for line in lines if line and not line.isspace()]

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        names = NameRule(_names(self.subreddits), _names(self.deny_subreddits), "subreddit")
        return (
            partial(read_comments, dataset=dataset, source=self, names=names),  # thread → comment
            partial(pair_thread, dataset=dataset, rules=self),  # thread → pairs
        )

    def caps(self, datasets: tuple[DatasetInfo, ...]) -> dict[int, Cap]:
        from pipelines.shuffle import Cap

        return {1: Cap(self.max_thread_comments, _age, partial(_too_many, datasets[0].name))}


def _names(given: tuple[str, ...]) -> frozenset[str]:
    """Names as they are given, and those in files. Raises FileNotFoundError for what looks like a file and is none."""
    for name in given:
        if not os.path.isfile(name) and re.search(r"[.\\]|(?<!^r)(?<!^/r)/(?!r/)", name):
            raise FileNotFoundError(f"{name}: no such file; expected a subreddit's name or a file with a name a line")
    return frozenset().union(*(load_names(name) if os.path.isfile(name) else {name} for name in given))


def _parse(line: bytes) -> Any:
    """A line as a Row; as a dict where it is not of the usual form; itself where it is no JSON."""
    try:
        return _decode_row(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            return line


_decode_row = msgspec.json.Decoder(Row).decode


def read_comments(
    path: str, stripe: int = 0, stripes: int = 1, *, dataset: str, source: Reddit, names: NameRule | None = None
) -> Iterator[Outcome]:
    """thread → comment, of each good row of a file."""
    kind = PARENT_ALONE if path.startswith(PARENTS) else ORDINARY
    dropped: list[Drop] = []
    judge = names.reason if names and (names.allow or names.deny) else None
    may_go = judge is not None or source.drop_nsfw or source.drop_bots
    try:
        for rows in source.read_rows(path.removeprefix(PARENTS), stripe, stripes):
            comments = []
            for row in rows:
                parsed = comment_from_row(row, kind)
                if isinstance(parsed, str):
                    dropped.append(Drop(dataset, "read", parsed, texts=_as_text(row)))
                    continue
                if may_go:
                    fields = parsed[1]
                    reason = judge(fields[SUBREDDIT]) if judge else None
                    if source.drop_nsfw and _field(row, "over_18") is True:
                        reason = "nsfw"
                    if reason:
                        dropped.append(Drop(dataset, "filter", reason, texts=(fields[BODY],)))
                        continue
                    if source.drop_bots and is_bot(str(_field(row, "author")), fields[BODY]):
                        fields[KIND] |= BOT
                comments.append(parsed)
            if kind == ORDINARY:
                yield Read(dataset, len(rows))
                yield from dropped
            dropped.clear()
            yield KeyedBlock(comments, sum([_COMMENT_BYTES + len(fields[BODY]) for _, fields in comments]))
    except UnreadableFileError as error:
        yield BadFile(str(error))


def _field(row: Row | dict[str, Any], name: str) -> Any:
    return row.get(name) if isinstance(row, dict) else getattr(row, name)


def _as_text(row: Any) -> tuple[str, ...]:
    """A row that is no comment, to be kept aside."""
    if isinstance(row, bytes):
        return (row.decode(errors="replace"),)
    if isinstance(row, Row):
        return (msgspec.json.encode(row).decode(),)
    return () if isinstance(row, tuple) else (orjson.dumps(row, default=str).decode(),)  # a BadRecord is a tuple


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


def _age(value: list[Any]) -> tuple[int, str, list[Any]]:
    """Ids count up in base 36, so parents come before their replies."""
    return len(value[0]), value[0], value[1:]


def _too_many(dataset: str, value: list[Any]) -> Drop | None:
    ordinary = not value[KIND] & PARENT_ALONE
    return Drop(dataset, "pair", "thread_too_long", texts=(value[BODY],)) if ordinary else None


def pair_thread(element: tuple[str, Iterable[Any]], dataset: str, rules: Reddit) -> Iterator[Outcome]:
    """Each comment of a thread gives one thing: a pair of which it is the reply, or a reason."""
    thread, values = element
    values = list(values)
    comments = {comment[ID]: comment for comment in values}
    if len(comments) < len(values):
        yield from _choose_versions(map(Comment._make, values), comments, dataset)
    parents = [comments.get(comment[PARENT]) for comment in comments.values()]
    reached = _reached_from_roots(comments) if _may_have_cycles(comments, parents) else comments
    least, most = rules.min_characters, rules.max_characters
    # Judged once, though it may be the parent of many.
    unfit = {
        id_: _why_unfit(body, least, most)
        for id_, _, _, body, _, kind in (comments.values() if any(parents) else ())
        if not least <= len(body) <= most or body in DELETED or kind & BOT
    }
    top_level = missing = pairs = 0
    for (id_, parent_id, _, body, _, kind), parent in zip(comments.values(), parents, strict=True):
        if kind & PARENT_ALONE:
            continue
        if parent is None:
            if parent_id == thread:
                top_level += 1
            else:
                missing += 1
        elif id_ not in reached:
            yield Drop(dataset, "pair", "cycle")
        elif why := unfit.get(id_):
            yield Drop(dataset, "filter", f"reply_{why}", 1, (parent[BODY], body), thread)
        elif why := unfit.get(parent_id):
            yield Drop(dataset, "filter", f"parent_{why}", 1, (parent[BODY], body), thread)
        else:
            earlier = _ancestors(parent, comments, rules.depth - 1) if parent[PARENT] in comments else ()
            contexts = tuple([trim(ancestor[BODY], most) for ancestor in earlier])
            pairs += 1
            yield Pair(dataset, parent[BODY], body, group=thread, contexts=contexts)
    if top_level:
        yield Drop(dataset, "pair", "top_level", top_level)
    if missing:
        yield Drop(dataset, "pair", "missing_parent", missing)
    if pairs:
        yield Origin(dataset, "subreddit", max([comment[SUBREDDIT] for comment in comments.values()]), pairs)


def _choose_versions(versions: Iterable[Comment], comments: dict[str, Any], dataset: str) -> Iterator[Drop]:
    """Of comments with one id leave the best in `comments`."""
    comments.clear()
    for comment in versions:
        if (other := comments.get(comment.id)) is not None:
            if not (comment.kind | other.kind) & PARENT_ALONE:
                yield Drop(dataset, "pair", "duplicate_comment")
            comment = min(comment, other, key=_version_rank)
        comments[comment.id] = comment


def _may_have_cycles(comments: dict[str, Any], parents: Iterable[Any]) -> bool:
    """Whether a comment answers one that is not older; ids count up in base 36."""
    for id_, parent in zip(comments, parents, strict=True):
        if parent is not None:
            other = parent[ID]
            if other >= id_ if len(other) == len(id_) else len(other) > len(id_):
                return True
    return False


def _version_rank(comment: Comment) -> tuple[bool, bool, int, bytes, str, str, int]:
    """Of two comments with one id the lower wins: one that yields a pair, not deleted, later retrieved, smaller."""
    alone, deleted = comment.kind & PARENT_ALONE > 0, comment.body in DELETED
    body = comment.body.encode(errors="surrogatepass")
    return alone, deleted, -comment.retrieved, body, comment.parent, comment.subreddit, comment.kind


def _reached_from_roots(comments: dict[str, Any]) -> set[str]:
    """Comments whose ancestors end somewhere; the others answer themselves in a circle."""
    children: defaultdict[str, list[str]] = defaultdict(list)
    stack = []
    for comment in comments.values():
        children[comment[PARENT]].append(comment[ID])
        if comment[PARENT] not in comments:
            stack.append(comment[ID])
    reached = set(stack)
    while stack:
        answers = children[stack.pop()]
        reached.update(answers)
        stack.extend(answers)
    return reached


def _ancestors(comment: Any, comments: dict[str, Any], most: int) -> Iterator[Any]:
    """The comment's parent, its parent's parent …, at most `most`."""
    for _ in range(most):
        parent = comments.get(comment[PARENT])
        if parent is None:
            return
        yield parent
        comment = parent


def _why_unfit(body: str, least: int, most: int) -> str:
    """Why a comment that is not fit is no side of a pair."""
    if len(body) > most:
        return "too_long"
    if body in DELETED:
        return "deleted"
    return "too_short" if len(body) < least else "bot"


def trim(text: str, most: int) -> str:
    """The text's beginning, at most `most` characters, without splitting a word."""
    if len(text) <= most:
        return text
    end = most
    while end and text[end].isalnum() == text[end - 1].isalnum():
        end -= 1
    return text[:end]
