"""Laying texts out in rows: packs of several texts a row, or plain padding with one.

All packs of a batch are laid out together, by arithmetic on the lengths; only a pack whose texts
do not fit at once is looked at by itself.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PackedTexts(NamedTuple):
    """The rows of K packs, as `schemas.batch` describes them."""

    tokens: NDArray[np.int32]
    """[K, R, L]"""
    segments: NDArray[np.int32]
    """[K, R, L]"""
    positions: NDArray[np.int32]
    """[K, R, L]"""
    shortened: NDArray[np.int32]
    """[K] texts cut to make the pack fit."""


def pack_texts(
    ids: NDArray[np.integer],
    lengths: NDArray[np.int64],
    *,
    limits: NDArray[np.int64],
    rows: int,
    row_tokens: int,
    pad_id: int,
) -> PackedTexts:
    """Lay the texts of each pack out in rows.

    `ids` are those of all texts, special tokens included, in (pack, pair, slot) order; `lengths`,
    [K, N], how many each text has, 0 for a text that a pair does not have. A text keeps at most as
    many as `limits`, [N], says for it.

    The rule: sorted by length, the longest first, the texts of a pack are dealt to its rows to and
    fro. Where a row overflows, the pack is placed by best fit instead: each text in turn in the
    fullest row that takes it. When that fails too, all its texts longer than a common limit are cut
    to it, the limit being the greatest with which best fit succeeds, and are counted. A cut text
    keeps its first ids and its last. Of equal texts, and of equally full rows, the first comes
    first. Raises ValueError when not even two tokens a text would fit.
    """
    kept = np.minimum(lengths, limits)
    order = np.argsort(-kept, axis=1, kind="stable")
    descending = np.take_along_axis(kept, order, axis=1)
    dealt, fits = _deal(descending, rows, row_tokens)
    places, shortened = np.empty_like(dealt), np.zeros(len(lengths), np.int32)
    np.put_along_axis(places, order, dealt, axis=1)
    for pack in np.flatnonzero(~fits).tolist():
        limit, found = _fit(descending[pack], rows, row_tokens)
        shortened[pack] = (kept[pack] > limit).sum()
        kept[pack] = np.minimum(kept[pack], limit)
        places[pack, order[pack, : len(found)]] = found
    return PackedTexts(*_lay_out(ids, lengths, kept, places, rows, row_tokens, pad_id), shortened)


def pad_texts(
    ids: NDArray[np.integer], lengths: NDArray[np.int64], *, limits: NDArray[np.int64], row_tokens: int, pad_id: int
) -> PackedTexts:
    """Each text in a row of its own: N rows a pack, row n for text n. Arguments as for `pack_texts`."""
    packs, texts = lengths.shape
    kept = np.minimum(lengths, np.minimum(limits, row_tokens))
    places = np.broadcast_to(np.arange(texts) * row_tokens, lengths.shape)
    packed = _lay_out(ids, lengths, kept, places, texts, row_tokens, pad_id)
    return PackedTexts(*packed, np.zeros(packs, np.int32))


def _deal(descending: NDArray[np.int64], rows: int, row_tokens: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`row * row_tokens + first token` of each text, dealt to and fro; and which packs fit that way."""
    packs, texts = descending.shape
    rounds = -(-texts // rows)
    dealt = np.zeros((packs, rounds * rows), np.int64)
    dealt[:, :texts] = descending
    dealt = dealt.reshape(packs, rounds, rows)
    dealt[:, 1::2] = dealt[:, 1::2, ::-1].copy()
    ends = np.cumsum(dealt, axis=1, dtype=np.int64)
    places: NDArray[np.int64] = ends - dealt + np.arange(rows, dtype=np.int64) * row_tokens
    places[:, 1::2] = places[:, 1::2, ::-1].copy()
    return places.reshape(packs, -1)[:, :texts], np.asarray((ends[:, -1] <= row_tokens).all(axis=1))


def _fit(descending: NDArray[np.int64], rows: int, row_tokens: int) -> tuple[int, list[int]]:
    """The greatest cut, at most `row_tokens`, with which every text finds a place, and the places."""
    there = descending[descending > 0]
    limits = np.arange(row_tokens, 1, -1)
    # Only limits under which the tokens are few enough are worth a trial; most packs need no cut.
    fewest = np.minimum(there, limits[:, None]).sum(axis=1) if there.sum() > rows * row_tokens else 0 * limits
    for limit in limits[fewest <= rows * row_tokens].tolist():
        places = _place(np.minimum(there, limit).tolist(), rows, row_tokens)
        if places is not None:
            return limit, places
    raise ValueError(
        f"{len(there)} texts do not fit {rows} rows of {row_tokens} tokens; set more pack.rows or fewer pack.pairs"
    )


def _place(descending: list[int], rows: int, row_tokens: int) -> list[int] | None:
    """`row * row_tokens + first token` of each text by best fit; None when one finds no place."""
    rooms = [row_tokens * rows + row for row in range(rows)]  # free tokens and row in one number, ascending
    places: list[int] = []
    for length, count in Counter(descending).items():
        while count:
            least = bisect_left(rooms, length * rows)
            if least == rows:
                return None
            room = rooms.pop(least)
            free, row = divmod(room, rows)
            # The row stays the fullest that takes texts of this length, as long as it takes them.
            taken = min(count, free // length)
            first = (row + 1) * row_tokens - free
            places.extend(range(first, first + taken * length, length))
            insort(rooms, room - taken * length * rows)
            count -= taken
    return places


def _lay_out(
    ids: NDArray[np.integer],
    lengths: NDArray[np.int64],
    kept: NDArray[np.int64],
    places: NDArray[np.int64],
    rows: int,
    row_tokens: int,
    pad_id: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Tokens, segments and positions, [K, R, L] each; rows are filled from the left without a gap."""
    packs, texts = lengths.shape
    starts = np.cumsum(lengths).reshape(lengths.shape) - lengths
    places = places + (np.arange(packs) * rows * row_tokens)[:, None]
    # Texts in the order of their places: written down there, and read off.
    text_at = np.full(packs * rows * row_tokens, -1, np.int32)
    there = np.flatnonzero(kept)
    text_at[places.ravel()[there]] = there
    order = text_at[text_at >= 0]
    size = kept.ravel()[order]
    ends = np.cumsum(size)
    total = int(ends[-1]) if len(ends) else 0
    place_in_text = np.arange(total, dtype=np.int32) - np.repeat((ends - size).astype(np.int32), size)
    source = place_in_text + np.repeat(starts.ravel()[order], size)
    source[ends - 1] = (starts + lengths - 1).ravel()[order]  # a cut text keeps its closing token
    fill = np.bincount(places.ravel()[order] // row_tokens, size, packs * rows)
    filled = (np.arange(row_tokens) < fill[:, None]).reshape(packs, rows, row_tokens)
    tokens = np.full(filled.shape, pad_id, np.int32)
    segments, positions = np.zeros(filled.shape, np.int32), np.zeros(filled.shape, np.int32)
    tokens[filled] = ids[source]
    segments[filled] = np.repeat((order % texts + 1).astype(np.int32), size)
    positions[filled] = place_in_text
    return tokens, segments, positions
