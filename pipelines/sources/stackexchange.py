"""StackExchange dumps: questions with their texts, their answers, and the questions that ask the same.

A dump is a site's archive (`beer.stackexchange.com.7z`) or its `Posts.xml` and `PostLinks.xml`. The XML is
streamed; answers and links meet their questions in a GroupByKey, so that no site need fit in memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Literal

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError

from pipelines.files import InputFile, UnreadableFileError, match_files, open_members
from pipelines.funnel import BadFile, Drop, Keyed, Read
from pipelines.sources.base import DatasetInfo, RowSource, Stage
from pipelines.sources.records import XmlElements
from pipelines.sources.stackexchange_pairs import attach_links, pair_duplicates, pair_posts
from pipelines.sources.stackexchange_posts import Link, Post, StackExchangeOptions, parse_link, parse_post

_ARCHIVE = re.compile(r"\.(7z|zip|tar(\.(gz|bz2|xz|zst))?|tgz|tbz2?)$")
_XML = re.compile(r"(?:(?P<site>[^/]+)[._-])?(?P<kind>Posts|PostLinks)\.xml(\.(gz|bz2|xz|zst))?$")


@dataclass(frozen=True)
class StackExchange(RowSource):
    """StackExchange site archives (.7z), or Posts.xml with PostLinks.xml: a dataset of the row's two texts."""

    anchor: Literal["title", "body", "title_body"]
    positive: Literal["body", "best_answer", "duplicate"]
    """`duplicate` is the anchor's kind of text, of the other question."""
    with_worst_answer: bool = False
    """The worst answer is the negative."""
    _: KW_ONLY
    settings: StackExchangeOptions = field(default=StackExchangeOptions())

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
            # site/smaller/larger → LinkEnd of both questions
            attach = partial(attach_links, anchor=self.anchor, rules=self.settings)
            return read, attach, partial(pair_duplicates, dataset=dataset)
        answers = (1 + self.with_worst_answer) if self.positive == "best_answer" else 0
        pair = partial(pair_posts, dataset=dataset, anchor=self.anchor, answers=answers, rules=self.settings)
        return read, pair


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
