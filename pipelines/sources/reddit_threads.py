"""Threads of Reddit: which comments of a thread are pairs, whatever order, copies, gaps and circles it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.funnel import Drop, Origin, Outcome
from pipelines.sources.reddit_comments import BODY, BOT, DELETED, ID, PARENT, PARENT_ALONE, SUBREDDIT, Comment
from schemas.pair import Pair


def pair_thread(
    element: tuple[str, Iterable[Any]], dataset: str, *, min_characters: int, max_characters: int, depth: int
) -> Iterator[Outcome]:
    """Each comment of a thread gives one thing: a pair of which it is the reply, or a reason.

    Both texts have `min_characters` to `max_characters`; a pair has up to depth - 1 earlier contexts.
    """
    thread, values = element
    values = list(values)
    comments = {comment[ID]: comment for comment in values}
    if len(comments) < len(values):
        yield from _choose_versions(map(Comment._make, values), comments, dataset)
    parents = [comments.get(comment[PARENT]) for comment in comments.values()]
    reached = _reached_from_roots(comments) if _may_have_cycles(comments, parents) else comments
    # Judged once, though it may be the parent of many.
    unfit = {
        id_: _why_unfit(body, min_characters, max_characters)
        for id_, _, _, body, _, kind in (comments.values() if any(parents) else ())
        if not min_characters <= len(body) <= max_characters or body in DELETED or kind & BOT
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
            earlier = _ancestors(parent, comments, depth - 1) if parent[PARENT] in comments else ()
            contexts = tuple([trim(ancestor[BODY], max_characters) for ancestor in earlier])
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
