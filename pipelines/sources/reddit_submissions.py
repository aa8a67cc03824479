"""Reddit submissions (RS_* dumps): title → selftext, and with comment dumps beside them title → comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any

from pipelines.files import InputFile, UnreadableFileError, open_members
from pipelines.funnel import BadFile, Drop, Keyed, Read
from pipelines.sources.base import ConfiguredSource, DatasetInfo, Source, Stage
from pipelines.sources.records import BadRecord, RecordSource, json_lines
from pipelines.sources.reddit_comments import DELETED, comment_from_row, plain_id
from schemas.pair import Pair

_GONE = (*DELETED, "[deleted by user]", "[ Removed by Reddit ]")


@dataclass(frozen=True)
class SubmissionOptions:
    """What a submission and its text must have."""

    min_title_characters: int = 9
    """Shortest title that is kept."""
    min_text_characters: int = 9
    """Shortest selftext or comment that is kept."""
    test_fraction: float = 0.1
    """Share of the threads that is held out; the same threads as the comments' where it is theirs."""

    def __post_init__(self) -> None:
        if min(self.min_title_characters, self.min_text_characters) < 1:
            raise ValueError(
                f"shortest title {self.min_title_characters}, shortest text {self.min_text_characters} characters; "
                "expected at least 1"
            )


def parse_submission(row: Any) -> tuple[str, str] | str:
    """(id, title), or the reason why the row is no submission."""
    if not isinstance(row, dict):
        return "not_an_object"
    if not isinstance(title := row.get("title"), str):
        return "title_missing"
    return (id_, title.strip()) if (id_ := plain_id(row.get("id"))) else "id_missing"


def _unfit(text: str, least: int, side: str) -> str | None:
    if not text:
        return f"{side}_empty"
    if text in _GONE:
        return f"{side}_deleted"
    return f"{side}_too_short" if len(text) < least else None


def pair_selftext(row: Any, dataset: str, options: SubmissionOptions) -> Iterator[Pair | str]:
    """A submission's title with its selftext. Dumps of links have none, old ones lack the field."""
    parsed = parse_submission(row)
    if isinstance(parsed, str):
        yield parsed
        return
    id_, title = parsed
    text = row.get("selftext")
    text = text.strip() if isinstance(text, str) else ""
    reason = _unfit(text, options.min_text_characters, "selftext") or _unfit(
        title, options.min_title_characters, "title"
    )
    # The submission's id is its comments' thread, so both fall on one side of the split.
    yield reason or Pair(dataset, title, text, group=id_)


_LICENCE = "none stated; Reddit's terms apply to the texts"
_CITATION = "Baumgartner et al., The Pushshift Reddit Dataset, 2020"
_URL = "https://academictorrents.com/browse.php?search=reddit"


@dataclass(frozen=True)
class RedditTitleComment(ConfiguredSource):
    """Dumps of submissions and of comments (RS_*, RC_*): title → best top-level comment."""

    _: KW_ONLY
    settings: SubmissionOptions = SubmissionOptions()

    datasets = (
        DatasetInfo(
            name="reddit_title_comment",
            tuple="submission title → best scored top-level comment",
            licence=_LICENCE,
            citation=_CITATION,
            url=_URL,
            raw="submission and comment dumps (RS_*.zst and RC_*.zst, …)",
        ),
    )

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        files = self.match_inputs(inputs)
        kinds = [_kind(file.path) for file in files]
        if None in kinds:
            raise FileNotFoundError(
                f"{files[kinds.index(None)].path}: submissions or comments? expected a name that begins with RS_ or RC_"
            )
        if missing := {"RS", "RC"}.difference(kind for kind in kinds if kind):
            raise FileNotFoundError(
                f"reddit_title_comment joins submissions (RS_*) with their comments (RC_*); found no {missing.pop()}_*"
            )
        return files

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        # thread → its title or one of its comments; then thread → pair.
        return partial(read_dump, dataset=dataset), partial(pair_best_comment, dataset=dataset, options=self.settings)


def _kind(path: str) -> str | None:
    found = re.match(r"R[SC](?=_)", path.replace("\\", "/").rsplit("/", 1)[-1])
    return found[0] if found else None


def read_dump(path: str, dataset: str) -> Iterator[Keyed | Read | Drop | BadFile]:
    """thread → [title] or [-score, id, text]. A record is a submission, or a line that is nothing."""
    parse = _title_of if _kind(path) == "RS" else _top_level
    try:
        for _, stream in open_members(path):
            for row in json_lines(stream):
                parsed = row.reason if isinstance(row, BadRecord) else parse(row)
                if isinstance(parsed, str):
                    yield Read(dataset)
                    yield Drop(dataset, "read", parsed)
                elif parsed:
                    yield Keyed(*parsed)
    except UnreadableFileError as error:
        yield BadFile(str(error))
    except (OSError, EOFError) as error:
        yield BadFile(f"{path}: cannot be read to its end ({error}); fetch it again")


def _title_of(row: Any) -> tuple[str, list[Any]] | str:
    parsed = parse_submission(row)
    return parsed if isinstance(parsed, str) else (parsed[0], [parsed[1]])


def _top_level(row: Any) -> tuple[str, list[Any]] | str | None:
    """None for a reply to another comment."""
    parsed = comment_from_row(row)
    if isinstance(parsed, str):
        return parsed
    thread = parsed[0]
    if plain_id(row.get("parent_id")) != thread:
        return None
    score = row.get("score", row.get("ups"))
    score = score if isinstance(score, int) and abs(score) < 1 << 62 else 0
    return thread, [-score, plain_id(row.get("id")), row["body"].strip()]


def pair_best_comment(
    element: tuple[str, Iterable[Any]], dataset: str, options: SubmissionOptions
) -> Iterator[Pair | Read | Drop]:
    """A submission gives one thing: its title with the best of the comments that are fit, or a reason."""
    thread, values = element
    titles: list[str] = []
    comments: list[tuple[int, int, str, str]] = []
    for value in values:
        match value:
            case [title]:
                titles.append(title)
            case [minus_score, id_, text]:
                # Ids count up in base 36: among equal scores the oldest is first.
                comments.append((minus_score, len(id_), id_, text))
    yield Read(dataset, max(len(titles), 1))
    if not titles:
        yield Drop(dataset, "pair", "missing_submission")
        return
    if len(titles) > 1:
        yield Drop(dataset, "pair", "duplicate_submission", len(titles) - 1)
    # A title blanked by its deletion loses against the title as it was.
    title = min(titles, key=lambda title: (title in _GONE, title))
    if reason := _unfit(title, options.min_title_characters, "title"):
        yield Drop(dataset, "filter", reason)
        return
    fit = [comment for comment in comments if not _unfit(comment[3], options.min_text_characters, "comment")]
    if fit:
        yield Pair(dataset, title, min(fit)[3], group=thread)
    else:
        yield Drop(dataset, "pair", "no_fit_comment" if comments else "no_comment")


ROWS: tuple[Source, ...] = (
    RecordSource(
        DatasetInfo(
            name="reddit_submissions",
            tuple="submission title → selftext",
            licence=_LICENCE,
            citation=_CITATION,
            url=_URL,
            raw="submission dumps, a JSON object a line (RS_*.zst, .bz2, .xz, .gz or plain)",
        ),
        json_lines,
        pair_selftext,
        settings=SubmissionOptions(),
    ),
    RedditTitleComment(),
)
