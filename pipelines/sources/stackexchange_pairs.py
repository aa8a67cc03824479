"""Pairs of StackExchange: a question with its text or its answers, and two questions that ask the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pipelines.funnel import Drop, Keyed, Read
from pipelines.sources.stackexchange_posts import (
    Link,
    Post,
    StackExchangeOptions,
    as_text,
    body_unfit,
    length_unfit,
    text_of,
    title_unfit,
)
from schemas.pair import Pair

# Questions with their answers


def pair_posts(
    element: tuple[str, Iterable[Any]], dataset: str, *, anchor: str, answers: int, rules: StackExchangeOptions
) -> Iterator[Pair | Read | Drop]:
    """A question gives one thing: a pair, or a reason.

    The positive is the question's body where `answers` is 0, otherwise what `choose_answers` gives.
    """
    key, values = element
    posts = [Post(*value) for value in values]
    questions = [post for post in posts if post.is_question]
    yield Read(dataset, max(len(questions), 1))
    if not questions:
        yield Drop(dataset, "pair", "missing_question")
        return
    if len(questions) > 1:
        yield Drop(dataset, "pair", "duplicate_question", len(questions) - 1)
    question = as_text(min(questions), rules)
    if reason := title_unfit(question, rules) or body_unfit(question, rules):
        yield Drop(dataset, "filter", reason)
        return
    texts = text_of(question, anchor)
    if not answers:
        yield Pair(dataset, texts, question.body, group=key)
        return
    found = choose_answers({post for post in posts if not post.is_question}, answers, rules)
    if isinstance(found, str):
        yield Drop(dataset, "pair", found)
    else:
        yield Pair(dataset, texts, found[0], found[1:], group=key)


def choose_answers(posts: set[Post], answers: int, rules: StackExchangeOptions) -> tuple[str, ...] | str:
    """The best answer that is fit, and with 2 `answers` the worst; or the reason why there is none.

    Of equal scores the older answer is the better one.
    """
    if not posts:
        return "no_answer"
    ranked = sorted((as_text(post, rules) for post in posts), key=lambda post: (-post.score, post.id, post.body))
    long_enough = [post for post in ranked if length_unfit(post, rules) is None]
    best = next((post for post in long_enough if body_unfit(post, rules) is None), None)
    if best is None:
        return "no_fit_answer"
    if answers == 1:
        return (best.body,)
    worst = long_enough[-1]
    if worst.id == best.id:
        return "no_second_answer"
    if worst.score >= 0 and best.score - worst.score < rules.min_margin:
        return "margin_too_small"
    return best.body, worst.body


# Questions that ask the same


class LinkEnd(NamedTuple):
    """One question of a link, as it crosses the shuffle by link."""

    is_larger: bool
    copies: int
    """How often the dump has the link."""
    text: str
    reason: str | None
    """Why the question is of no use."""


def attach_links(element: tuple[str, Iterable[Any]], *, anchor: str, rules: StackExchangeOptions) -> Iterator[Keyed]:
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
    text, reason = _duplicate_text(min(questions), anchor, rules) if questions else ("", "missing_question")
    for link in links:
        end = LinkEnd(int(id_) == link.larger, links[link], text, reason)
        yield Keyed(f"{site}/{link.smaller}/{link.larger}", tuple(end))


def _duplicate_text(question: Post, anchor: str, rules: StackExchangeOptions) -> tuple[str, str | None]:
    """The question's text of the anchor's kind, and why it is of no use; only what is used is judged."""
    question = as_text(question, rules)
    reason = "score_too_low" if rules.min_score is not None and question.score < rules.min_score else None
    if "title" in anchor:
        reason = reason or title_unfit(question, rules)
    if "body" in anchor:
        reason = reason or length_unfit(question, rules)
    return text_of(question, anchor), reason


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
