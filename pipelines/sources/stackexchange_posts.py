"""Posts of StackExchange: rows of its XML as questions, answers and links, and which of them are fit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.sources.html import html_to_text

QUESTION, ANSWER, DUPLICATE = "1", "2", "3"  # PostTypeId, PostTypeId, LinkTypeId


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


# Rows of XML


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


# What is fit


def as_text(post: Post, rules: StackExchangeOptions) -> Post:
    return post._replace(title=post.title.strip(), body=html_to_text(post.body, code_blocks=rules.code_blocks))


def text_of(question: Post, kind: str) -> str:
    return {"title": question.title, "body": question.body, "title_body": f"{question.title}\n{question.body}"}[kind]


def title_unfit(post: Post, rules: StackExchangeOptions) -> str | None:
    least = rules.min_title_characters
    return "title_too_short" if least is not None and len(post.title) < least else None


def body_unfit(post: Post, rules: StackExchangeOptions) -> str | None:
    if rules.min_score is not None and post.score < rules.min_score:
        return "score_too_low"
    return length_unfit(post, rules)


def length_unfit(post: Post, rules: StackExchangeOptions) -> str | None:
    least, most = rules.min_body_characters, rules.max_body_characters
    if least is not None and len(post.body) < least:
        return "body_too_short"
    return "body_too_long" if most is not None and len(post.body) > most else None
