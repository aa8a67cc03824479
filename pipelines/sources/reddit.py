"""Reddit comment dumps: each reply with the comment it answers.

The rules and defaults are those of the published conversational dataset: a reply and its direct
parent, both of 9 to 127 characters and not deleted, split by thread; earlier ancestors are kept
as contexts. Dumps are ndjson, compressed or not, with the field types of any year.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.files import InputFile, UnreadableFileError, match_files, read_lines
from pipelines.filters.boilerplate import is_bot
from pipelines.filters.names import NameRule, load_names
from pipelines.funnel import BadFile, Drop, KeyedBlock, Outcome, Read
from pipelines.sources.base import DatasetInfo, Source, Stage
from pipelines.sources.reddit_comments import (
    BODY,
    BOT,
    KIND,
    ORDINARY,
    PARENT_ALONE,
    SUBREDDIT,
    comment_from_row,
    field_of_row,
    parse_line,
    text_of_row,
)
from pipelines.sources.reddit_threads import pair_thread

if TYPE_CHECKING:
    from pipelines.shuffle import Cap


PARENTS = "parents\0"
"""Before the path of a dump that supplies parents and yields no pairs."""
_COMMENT_BYTES = 320
"""About what a comment takes in memory beside its body."""


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
            yield [parse_line(line) for line in lines if line and not line.isspace()]

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        names = NameRule(_names(self.subreddits), _names(self.deny_subreddits), "subreddit")
        return (
            partial(read_comments, dataset=dataset, source=self, names=names),  # thread → comment
            partial(
                pair_thread,  # thread → pairs
                dataset=dataset,
                min_characters=self.min_characters,
                max_characters=self.max_characters,
                depth=self.depth,
            ),
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
                    dropped.append(Drop(dataset, "read", parsed, texts=text_of_row(row)))
                    continue
                if may_go:
                    fields = parsed[1]
                    reason = judge(fields[SUBREDDIT]) if judge else None
                    if source.drop_nsfw and field_of_row(row, "over_18") is True:
                        reason = "nsfw"
                    if reason:
                        dropped.append(Drop(dataset, "filter", reason, texts=(fields[BODY],)))
                        continue
                    if source.drop_bots and is_bot(str(field_of_row(row, "author")), fields[BODY]):
                        fields[KIND] |= BOT
                comments.append(parsed)
            if kind == ORDINARY:
                yield Read(dataset, len(rows))
                yield from dropped
            dropped.clear()
            yield KeyedBlock(comments, sum([_COMMENT_BYTES + len(fields[BODY]) for _, fields in comments]))
    except UnreadableFileError as error:
        yield BadFile(str(error))


def _age(value: list[Any]) -> tuple[int, str, list[Any]]:
    """Ids count up in base 36, so parents come before their replies."""
    return len(value[0]), value[0], value[1:]


def _too_many(dataset: str, value: list[Any]) -> Drop | None:
    ordinary = not value[KIND] & PARENT_ALONE
    return Drop(dataset, "pair", "thread_too_long", texts=(value[BODY],)) if ordinary else None
