"""Packing: the texts of P pairs laid out in R rows of L tokens, by arithmetic on their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.tokens import truncate


class PackedTexts(NamedTuple):
    """One pack's rows, as `schemas.batch` describes them."""

    tokens: NDArray[np.int32]
    """[R, L]"""
    segments: NDArray[np.int32]
    """[R, L]"""
    positions: NDArray[np.int32]
    """[R, L]"""
    shortened: int
    """Texts cut to make the pack fit."""


def pack_texts(texts: Sequence[Sequence[int] | None], *, rows: int, row_tokens: int, pad_id: int) -> PackedTexts:
    """Lay texts out in rows, the longest first, each in the fullest row that still takes it.

    `texts` are token ids with their special tokens, [P * T] in (pair, slot) order; None is a text
    that a pair does not have. When they do not fit, all texts longer than a common limit are cut to
    it, the limit being the greatest with which they do. Raises ValueError when not even two tokens
    a text would fit.
    """
    there = [number for number, text in enumerate(texts) if text is not None]
    lengths = np.array([len(texts[number] or ()) for number in there], np.int64)
    limit = _greatest_limit(lengths, rows, row_tokens)
    placed = _place(np.minimum(lengths, limit), rows, row_tokens)
    assert placed is not None  # _greatest_limit tried it
    shape = (rows, row_tokens)
    tokens, segments, positions = (
        np.full(shape, pad_id, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
    )
    for number, row, start in zip(there, *placed, strict=True):
        ids = truncate(texts[number] or (), limit)
        where = (row, slice(start, start + len(ids)))
        tokens[where] = ids
        segments[where] = number + 1
        positions[where] = np.arange(len(ids))
    return PackedTexts(tokens, segments, positions, int((lengths > limit).sum()))


def _greatest_limit(lengths: NDArray[np.int64], rows: int, row_tokens: int) -> int:
    """The greatest cut, at most `row_tokens`, with which every text finds a place."""
    for limit in range(row_tokens, 1, -1):
        cut = np.minimum(lengths, limit)
        if cut.sum() <= rows * row_tokens and _place(cut, rows, row_tokens) is not None:
            return limit
    raise ValueError(
        f"{len(lengths)} texts do not fit {rows} rows of {row_tokens} tokens; set more pack.rows or fewer pack.pairs"
    )


def _place(lengths: NDArray[np.int64], rows: int, row_tokens: int) -> tuple[list[int], list[int]] | None:
    """(row, first token) of each text by best fit, longest first; None when one finds no place."""
    row_of, start_of = [0] * len(lengths), [0] * len(lengths)
    rows_with: list[list[int]] = [[] for _ in range(row_tokens + 1)]  # free tokens → rows, lowest last
    rows_with[row_tokens] = list(range(rows - 1, -1, -1))
    for number in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[number])
        free = next((free for free in range(length, row_tokens + 1) if rows_with[free]), None)
        if free is None:
            return None
        row = rows_with[free].pop()
        row_of[number], start_of[number] = row, row_tokens - free
        rows_with[free - length].append(row)
    return row_of, start_of
