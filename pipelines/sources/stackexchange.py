"""StackExchange dumps: questions with their texts, their answers, and the questions that ask the same.

A dump is a site's archive (`beer.stackexchange.com.7z`) or its `Posts.xml` and `PostLinks.xml`. The XML is
streamed; answers and links meet their questions in a GroupByKey, so that no site need fit in memory.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError

from pipelines.files import InputFile, UnreadableFileError, match_files, open_members
from pipelines.funnel import BadFile, Drop, Keyed, Read
from pipelines.sources.base import DatasetInfo, RowSource, Stage
from pipelines.sources.html import html_to_text
from pipelines.sources.records import XmlElements
from schemas.pair import Pair

QUESTION, ANSWER, DUPLICATE = "1", "2", "3"  # PostTypeId, PostTypeId, LinkTypeId
_ARCHIVE = re.compile(r"\.(7z|zip|tar(\.(gz|bz2|xz|zst))?|tgz|tbz2?)$")
_XML = re.compile(r"(?:(?P<site>[^/]+)[._-])?(?P<kind>Posts|PostLinks)\.xml(\.(gz|bz2|xz|zst))?$")


@dataclass(frozen=True)
class StackExchangeOptions:
    """What a question and an answer must have. None: no bound."""

    min_title_characters: int | None = 20
    """Shortest title."""
    min_body_characters: int | None = 20
    """Shortest body of a question or an answer, as text."""
    max_body_characters: int | None = 4096
    """Longest body of a question or an answer, as text."""
    min_score: int | None = 0
    """Least votes of a question, and of an answer that is a positive."""
    min_margin: int = 100
    """Votes by which the best answer leads the worst, for the worst to be a negative; any lead over one below zero."""
    code_blocks: bool = True
    """Keep preformatted blocks; code within a line always stays."""
    sites: tuple[str, ...] = ()
    """Sites that are read; none given: all."""
    test_fraction: float = 0.0
    """Share of the questions that is held out."""

    def __post_init__(self) -> None:
        least, most = self.min_body_characters, self.max_body_characters
        if least is not None and most is not None and least > most:
            raise ValueError(f"bodies of {least} to {most} characters; expected min <= max")


class Post(NamedTuple):
    """A question or an answer, as it crosses the shuffle by question."""

    is_question: bool
    id: int
    score: int
    title: str
    """Empty for an answer."""
    body: str
    """HTML until it is judged, then text."""


class Link(NamedTuple):
    """Two questions that ask the same, as it crosses the shuffle by question."""

    smaller: int
    larger: int


@dataclass(frozen=True)
class StackExchange(RowSource):
    """StackExchange site archives (.7z), or Posts.xml with PostLinks.xml: a dataset of the row's two texts."""

    anchor: Literal["title", "body", "title_body"]
    positive: Literal["body", "best_answer", "duplicate"]
    """`duplicate` is the anchor's kind of text, of the other question."""
    with_worst_answer: bool = False
    """The worst answer is the negative."""
    _: KW_ONLY
    settings: StackExchangeOptions = StackExchangeOptions()

    def find_inputs(self, inputs: tuple[str, ...]) -> list[InputFile]:
        found = [file for file in self.match_inputs(inputs) if self._reads(file.path)]
        if not found:
            of = f", of {', '.join(self.settings.sites)} alone" if self.settings.sites else ""
            raise FileNotFoundError(f"{', '.join(inputs)}: expected {self.info.raw}{of}")
        return _with_links_beside(found) if self.positive == "duplicate" else found

    def _reads(self, path: str) -> bool:
        """Whether a file is of use: a glob of a whole dump finds users, votes and comments, too."""
        name = path.rsplit("/", 1)[-1]
        part = re.search(r"\.com-([A-Za-z]+)\.7z$", name)  # StackOverflow's archive comes in parts
        xml = _XML.fullmatch(name)
        kind = part[1] if part else xml["kind"] if xml else None
        if kind not in self._kinds and not (kind is None and _ARCHIVE.search(name)):
            return False
        names_its_site = xml or name.endswith(".7z")
        return not (self.settings.sites and names_its_site) or site_of(path) in self.settings.sites

    @property
    def _kinds(self) -> tuple[str, ...]:
        return ("Posts", "PostLinks") if self.positive == "duplicate" else ("Posts",)

    def stages(self, datasets: tuple[DatasetInfo, ...]) -> tuple[Stage, ...]:
        dataset = datasets[0].name
        read = partial(read_posts, row=self, dataset=dataset)  # site/question → Post or Link
        if self.positive == "duplicate":
            attach = partial(attach_links, row=self)  # site/smaller/larger → LinkEnd of both questions
            return read, attach, partial(pair_duplicates, dataset=dataset)
        return read, partial(pair_posts, row=self, dataset=dataset)


def _with_links_beside(files: list[InputFile]) -> list[InputFile]:
    """The files, and the PostLinks.xml that lies beside each Posts.xml."""
    from apache_beam.io.filesystems import FileSystems

    paths = {file.path for file in files}
    for path in sorted(paths):
        links = re.sub(r"Posts(?=\.xml[^/]*$|\.7z$)", "PostLinks", path)
        if links in paths:
            continue
        if not FileSystems.exists(links):
            raise FileNotFoundError(f"{links}: not there; expected it beside {path}, for it says what is a duplicate")
        files = [*files, *match_files((links,))]
    return sorted(files)


# From XML to what crosses the shuffle


def site_of(name: str) -> str:
    """The site that a file is of; `name` is its path, with `:member` after it in an archive.

    >>> site_of("dump/beer.stackexchange.com.7z:Posts.xml"), site_of("coffee.stackexchange.Posts.xml.gz")
    ('beer.stackexchange.com', 'coffee.stackexchange.com')
    """
    archive = re.match(r"(?:.*/)?(?P<name>[^/]+?)(-Posts|-PostLinks)?\.(7z|zip|tar|tgz|tbz2?)[^/:]*(:|$)", name)
    inside = (name[archive.end() :] if archive else os.path.abspath(name)).split("/")
    xml = _XML.fullmatch(inside[-1])
    folder = inside[-2] if len(inside) > 1 else archive["name"] if archive else ""
    site = (xml["site"] if xml else "") or folder
    return f"{site}.com" if site.endswith(".stackexchange") else site


def read_posts(path: str, row: StackExchange, dataset: str) -> Iterator[Keyed | Read | Drop | BadFile]:
    """site/question → Post or Link, of one input."""
    where = path
    read_any = False
    pattern = "*Post*s.xml" if row.positive == "duplicate" else "*Posts.xml"
    try:
        for where, stream in open_members(path, pattern):
            name = _XML.fullmatch(where.split(":")[-1].rsplit("/", 1)[-1])
            site = site_of(where)
            read_any = read_any or name is not None
            if not name or (row.settings.sites and site not in row.settings.sites):
                continue
            parse = parse_post if name["kind"] == "Posts" else parse_link
            for element in XmlElements("row")(stream):
                yield from _keyed(site, parse(element.attrib), row, dataset)
        if not read_any:
            yield BadFile(f"{path}: no Posts.xml in it; expected {row.info.raw}")
    except UnreadableFileError as error:
        yield BadFile(str(error))
    except (OSError, EOFError, ParseError, DefusedXmlException) as error:
        yield BadFile(f"{where}: not {row.info.raw} to its end ({error}); fetch it again")


def _keyed(
    site: str, parsed: tuple[int, Post] | Link | str | None, row: StackExchange, dataset: str
) -> Iterator[Keyed | Read | Drop]:
    match parsed:
        case str(reason):
            yield Read(dataset)
            yield Drop(dataset, "read", reason)
        case Link(smaller, larger) as link:
            for question in (smaller, larger):
                yield Keyed(f"{site}/{question}", tuple(link))
        case (question, post) if post.is_question or row.positive == "best_answer":
            yield Keyed(f"{site}/{question}", tuple(post))


def parse_post(row: dict[str, str]) -> tuple[int, Post] | str | None:
    """(question's id, Post); None for a post of another kind; or the reason why the row is none."""
    kind = row.get("PostTypeId")
    if kind not in (QUESTION, ANSWER):
        return "missing_field" if kind is None else None
    is_question = kind == QUESTION
    id_, score = _integer(row.get("Id")), _integer(row.get("Score"))
    question = id_ if is_question else _integer(row.get("ParentId"))
    title, body = row.get("Title", "" if not is_question else None), row.get("Body")
    if id_ is None or score is None or question is None or title is None or body is None:
        return "missing_field"
    return question, Post(is_question, id_, score, title if is_question else "", body)


def parse_link(row: dict[str, str]) -> Link | str | None:
    """Two duplicate questions; None for a link of another kind; or the reason why the row is none."""
    if row.get("LinkTypeId") != DUPLICATE:
        return None if "LinkTypeId" in row else "missing_field"
    ends = _integer(row.get("PostId")), _integer(row.get("RelatedPostId"))
    if ends[0] is None or ends[1] is None:
        return "missing_field"
    return Link(min(ends[0], ends[1]), max(ends[0], ends[1])) if ends[0] != ends[1] else "self_link"


def _integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,18}", text) else None


# Questions with their answers


def pair_posts(element: tuple[str, Iterable[Any]], row: StackExchange, dataset: str) -> Iterator[Pair | Read | Drop]:
    """A question gives one thing: a pair, or a reason."""
    key, values = element
    posts = [Post(*value) for value in values]
    questions = [post for post in posts if post.is_question]
    yield Read(dataset, max(len(questions), 1))
    if not questions:
        yield Drop(dataset, "pair", "missing_question")
        return
    if len(questions) > 1:
        yield Drop(dataset, "pair", "duplicate_question", len(questions) - 1)
    question = _as_text(min(questions), row.settings)
    if reason := _title_unfit(question, row.settings) or _body_unfit(question, row.settings):
        yield Drop(dataset, "filter", reason)
        return
    texts = _text(question, row.anchor)
    if row.positive == "body":
        yield Pair(dataset, texts, question.body, group=key)
        return
    found = choose_answers({post for post in posts if not post.is_question}, row)
    if isinstance(found, str):
        yield Drop(dataset, "pair", found)
    else:
        yield Pair(dataset, texts, found[0], found[1:], group=key)


def choose_answers(answers: set[Post], row: StackExchange) -> tuple[str, ...] | str:
    """The best answer that is fit, and the worst where the row asks for it; or the reason why there is none.

    Of equal scores the older answer is the better one.
    """
    rules = row.settings
    if not answers:
        return "no_answer"
    ranked = sorted((_as_text(post, rules) for post in answers), key=lambda post: (-post.score, post.id, post.body))
    long_enough = [post for post in ranked if _length_unfit(post, rules) is None]
    best = next((post for post in long_enough if _body_unfit(post, rules) is None), None)
    if best is None:
        return "no_fit_answer"
    if not row.with_worst_answer:
        return (best.body,)
    worst = long_enough[-1]
    if worst.id == best.id:
        return "no_second_answer"
    if worst.score >= 0 and best.score - worst.score < rules.min_margin:
        return "margin_too_small"
    return best.body, worst.body


def _as_text(post: Post, rules: StackExchangeOptions) -> Post:
    return post._replace(title=post.title.strip(), body=html_to_text(post.body, code_blocks=rules.code_blocks))


def _text(question: Post, kind: str) -> str:
    return {"title": question.title, "body": question.body, "title_body": f"{question.title}\n{question.body}"}[kind]


def _title_unfit(post: Post, rules: StackExchangeOptions) -> str | None:
    least = rules.min_title_characters
    return "title_too_short" if least is not None and len(post.title) < least else None


def _body_unfit(post: Post, rules: StackExchangeOptions) -> str | None:
    if rules.min_score is not None and post.score < rules.min_score:
        return "score_too_low"
    return _length_unfit(post, rules)


def _length_unfit(post: Post, rules: StackExchangeOptions) -> str | None:
    least, most = rules.min_body_characters, rules.max_body_characters
    if least is not None and len(post.body) < least:
        return "body_too_short"
    return "body_too_long" if most is not None and len(post.body) > most else None


# Questions that ask the same


class LinkEnd(NamedTuple):
    """One question of a link, as it crosses the shuffle by link."""

    is_larger: bool
    copies: int
    """How often the dump has the link."""
    text: str
    reason: str | None
    """Why the question is of no use."""


def attach_links(element: tuple[str, Iterable[Any]], row: StackExchange) -> Iterator[Keyed]:
    """site/smaller/larger → LinkEnd, for each link of a question."""
    key, values = element
    questions: list[Post] = []
    links: Counter[Link] = Counter()
    for fields in values:
        if len(fields) == len(Link._fields):
            links[Link(*fields)] += 1
        else:
            questions.append(Post(*fields))
    if not links:
        return
    site, id_ = key.rsplit("/", 1)
    text, reason = _duplicate_text(min(questions), row) if questions else ("", "missing_question")
    for link in links:
        end = LinkEnd(int(id_) == link.larger, links[link], text, reason)
        yield Keyed(f"{site}/{link.smaller}/{link.larger}", tuple(end))


def _duplicate_text(question: Post, row: StackExchange) -> tuple[str, str | None]:
    """The question's text for the row, and why it is of no use; only what is used is judged."""
    rules = row.settings
    question = _as_text(question, rules)
    reason = "score_too_low" if rules.min_score is not None and question.score < rules.min_score else None
    if "title" in row.anchor:
        reason = reason or _title_unfit(question, rules)
    if "body" in row.anchor:
        reason = reason or _length_unfit(question, rules)
    return _text(question, row.anchor), reason


def pair_duplicates(element: tuple[str, Iterable[Any]], dataset: str) -> Iterator[Pair | Read | Drop]:
    """A link gives one thing: a pair of which the older question is the anchor, or a reason.

    Group and cluster are the older question, the one the others are usually closed as duplicates of: a star
    around it stays on one side of the split, with the older question's own pairs. The newer one's own pairs,
    and links of a chain that go through a newer question, fall by their own ids.
    """
    key, values = element
    smaller, larger = sorted(LinkEnd(*value) for value in values)
    yield Read(dataset, smaller.copies)
    if smaller.copies > 1:
        yield Drop(dataset, "pair", "duplicate_link", smaller.copies - 1)
    if "missing_question" in (smaller.reason, larger.reason):
        yield Drop(dataset, "pair", "missing_question")
    elif reason := smaller.reason or larger.reason:
        yield Drop(dataset, "filter", reason)
    else:
        older = key.rsplit("/", 1)[0]
        yield Pair(dataset, smaller.text, larger.text, group=older, cluster=older)


# The catalogue's rows


def _info(name: str, tuple_: str, published: int | None = None, weight: float | None = None) -> DatasetInfo:
    links = " and PostLinks.xml" if "duplicate" in name else ""
    return DatasetInfo(
        name=name,
        tuple=tuple_,
        licence="CC BY-SA 2.5, 3.0 or 4.0, by each post's date",
        citation="Stack Exchange, Inc., Stack Exchange Data Dump",
        url="https://archive.org/details/stackexchange",
        raw=f"site archives (beer.stackexchange.com.7z) or Posts.xml{links}, plain or compressed",
        published=published,
        weight=weight,
    )


_UNBOUNDED = StackExchangeOptions(
    min_title_characters=None, min_body_characters=None, max_body_characters=None, min_score=None
)
_MATHEMATICS = StackExchangeOptions(
    sites=("math.stackexchange.com", "mathoverflow.net", "matheducators.stackexchange.com")
)
_SAME = "stackexchange_duplicate_questions"

# The published names but the duplicates' are folders of sites: write one site with
# `--dataset stackexchange_title_body/beer.stackexchange.com`.
ROWS: tuple[StackExchange, ...] = (
    StackExchange(_info("stackexchange_title_body", "title → body", 25_316_456), "title", "body"),
    StackExchange(_info("stackexchange_Title_Answer", "title → best answer", 21_396_559), "title", "best_answer"),
    StackExchange(
        _info("stackexchange_TitleBody_Answer", "title and body → best answer", 21_396_559),
        "title_body",
        "best_answer",
    ),
    StackExchange(
        _info(f"{_SAME}_title_title", "title → title of a duplicate", 304_525, 26),
        "title",
        "duplicate",
    ),
    StackExchange(
        _info(f"{_SAME}_body_body", "body → body of a duplicate", 250_519, 21),
        "body",
        "duplicate",
    ),
    StackExchange(
        _info(f"{_SAME}_title-body_title-body", "title and body → those of a duplicate", 250_460, 21),
        "title_body",
        "duplicate",
    ),
    StackExchange(_info("stackexchange_xml", "title → whole body"), "title", "body", settings=_UNBOUNDED),
    StackExchange(_info("stackexchange_title_best_voted_answer", "title → best answer"), "title", "best_answer"),
    StackExchange(
        _info("stackexchange_titlebody_best_voted_answer", "title and body → best answer"),
        "title_body",
        "best_answer",
    ),
    StackExchange(
        _info(
            "stackexchange_titlebody_best_and_down_voted_answer", "title and body → best answer, not the worst answer"
        ),
        "title_body",
        "best_answer",
        with_worst_answer=True,
    ),
    StackExchange(
        _info("stackexchange_math", "title → best answer, on mathematics"),
        "title",
        "best_answer",
        settings=_MATHEMATICS,
    ),
)
