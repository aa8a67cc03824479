"""Words of texts: which of them a query has too, and which tell one group of texts from another."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WORD = re.compile(r"[^\W_]+")
"""Words as BM25 has them here: code is cut at underscores, so that `read_file` holds "read" and "file"."""
# fmt: off
COMMON = frozenset(
    (
        "a", "an", "the", "this", "that", "these", "those", "and", "or", "not", "no", "but", "if", "then",
        "else", "of", "in", "on", "at", "to", "for", "from", "by", "with", "without", "as", "is", "are",
        "was", "were", "be", "been", "being", "it", "its", "he", "she", "they", "them", "his", "her",
        "their", "we", "you", "your", "our", "i", "my", "me", "do", "does", "did", "done", "have", "has",
        "had", "will", "would", "can", "could", "should", "may", "might", "must", "what", "which", "who",
        "whom", "whose", "how", "when", "where", "why", "there", "here", "into", "out", "up", "down",
        "over", "under", "about", "than", "so", "such", "only", "also", "very", "just", "more", "most",
        "some", "any", "all", "each", "other", "one", "two",
    )
)
# fmt: on
SHARED, ENDING = 4, 3
"""Two words are one when they are equal, or share at least so many first letters and end in so many others at most."""
NAMED_BY = 3


class Piece(NamedTuple):
    """A part of a text; the pieces of a text, joined, are the text."""

    text: str
    marked: bool


def mark(text: str, query: str) -> list[Piece]:
    """The text cut into pieces, those marked that are words of the query."""
    wanted = {word for word in _words(query) if word not in COMMON}
    pieces: list[Piece] = []
    at = 0
    for found in WORD.finditer(text) if wanted else ():
        word = found.group().casefold()
        if word not in COMMON and any(_is_one(word, other) for other in wanted):
            if found.start() > at:
                pieces.append(Piece(text[at : found.start()], False))
            pieces.append(Piece(found.group(), True))
            at = found.end()
    if at < len(text) or not pieces:
        pieces.append(Piece(text[at:], False))
    return pieces


def _is_one(word: str, other: str) -> bool:
    if word == other:
        return True
    shared = next((n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return shared >= SHARED and max(len(word), len(other)) - shared <= ENDING


def name_groups(texts: Sequence[str], groups: Sequence[int], count: int) -> list[list[str]]:
    """Up to three words for each of `count` groups: frequent in its texts and rare in the others'.

    A word weighs the root of its share of the group's texts times the logarithm of how much greater that
    share is than its share of all others.
    """
    members = Counter(groups)
    within: list[Counter[str]] = [Counter() for _ in range(count)]
    for text, group in zip(texts, groups, strict=True):
        within[group].update({word for word in _words(text) if _can_name(word)})
    everywhere: Counter[str] = sum(within, Counter())
    names = []
    for group, counts in enumerate(within):
        others = max(1, len(texts) - members[group])
        weights = {
            word: math.sqrt(found / members[group]) * math.log((found / members[group] + 0.01) / (rest / others + 0.01))
            for word, found in counts.items()
            if (rest := everywhere[word] - found) / others < found / members[group]
        }
        names.append(_distinct(sorted(weights, key=lambda word: (-weights[word], word))))
    return names


def _distinct(words: list[str]) -> list[str]:
    chosen: list[str] = []
    for word in words:
        if len(chosen) == NAMED_BY:
            break
        if not any(_is_one(word, other) for other in chosen):
            chosen.append(word)
    return chosen


def _can_name(word: str) -> bool:
    return len(word) > 2 and word not in COMMON and not word[0].isdigit()


def _words(text: str) -> Iterator[str]:
    return (found.group().casefold() for found in WORD.finditer(text))
