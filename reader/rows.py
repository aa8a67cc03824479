"""From the texts or ids of a batch's pairs to rows of tokens: packs, or plain padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.batch import Batch, split_words
from schemas.pack import PackedTexts, pack_texts, pad_texts
from schemas.token_records import TokenTable
from schemas.tokens import NO_PREFIXES, Prefixes, encode_texts, pad_id


class TextTable(NamedTuple):
    """n pairs of T texts as text."""

    texts: NDArray[np.object_]
    """[n, T] UTF-8 bytes; b'' and presence False where a pair has fewer negatives."""
    present: NDArray[np.bool_]
    """[n, T]"""
    text_fingerprints: NDArray[np.uint64]
    """[n, T] 0 where there is no text."""
    pair_fingerprints: NDArray[np.uint64]
    """[n]"""
    clusters: NDArray[np.uint64]
    """[n] 0: no cluster."""


@dataclass(frozen=True)
class Packing:
    """Rows of several texts each. Shards of ids need the tokenizer for its padding token alone."""

    tokenizer: Tokenizer
    pairs: int
    """Pairs a pack."""
    rows: int
    row_tokens: int
    max_tokens: tuple[int, int]
    """Most tokens of an anchor, and of a positive or negative; special tokens included."""
    prefixes: Prefixes = NO_PREFIXES
    """Before texts that are tokenised on the way; shards of ids have theirs already."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Tokens a row may have."""
        return (self.row_tokens,)

    def place(self, ids: NDArray[np.integer], lengths: NDArray[np.int64], limits: NDArray[np.int64]) -> PackedTexts:
        pad = pad_id(self.tokenizer)
        return pack_texts(ids, lengths, limits=limits, rows=self.rows, row_tokens=self.row_tokens, pad_id=pad)


@dataclass(frozen=True)
class Padding:
    """A row for each text; all rows of a batch have the length of the smallest bucket that holds its longest text.

    So there are as many shapes as buckets. Hosts that read only rows of a batch cannot tell which
    bucket the others need: they take one bucket.
    """

    tokenizer: Tokenizer
    pairs: int
    """Pairs a pack: the unit in which a batch is split over devices and hosts."""
    buckets: tuple[int, ...]
    """Tokens a row, ascending."""
    max_tokens: tuple[int, int]
    """As for `Packing`."""
    prefixes: Prefixes = NO_PREFIXES

    def __post_init__(self) -> None:
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"buckets are {self.buckets}; expected lengths in ascending order, such as (32, 64, 128)")
        if max(self.max_tokens) > self.buckets[-1]:
            raise ValueError(
                f"texts of up to {max(self.max_tokens)} tokens do not fit the last bucket of {self.buckets[-1]}; "
                "set max_tokens lower or add a bucket"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Tokens a row may have."""
        return self.buckets

    def place(self, ids: NDArray[np.integer], lengths: NDArray[np.int64], limits: NDArray[np.int64]) -> PackedTexts:
        longest = int(np.minimum(lengths, limits).max(initial=0))
        bucket = next(bucket for bucket in self.buckets if bucket >= longest)
        return pad_texts(ids, lengths, limits=limits, row_tokens=bucket, pad_id=pad_id(self.tokenizer))


Layout = Packing | Padding


def check_rows(layout: Layout, batch_size: int, rows: range | None) -> None:
    """Raise ValueError when `rows` of a batch, or all, cannot be laid out without the others."""
    part = range(batch_size) if rows is None else rows
    for name, found in (("start", part.start), ("end", part.stop)):
        if found % layout.pairs:
            near = max(1, round(found / layout.pairs)) * layout.pairs
            raise ValueError(
                f"rows {name} at {found}, inside a pack of {layout.pairs} pairs; the nearest whole pack: {near}"
            )
    if len(layout.widths) > 1 and len(part) < batch_size:
        raise ValueError(
            f"hosts that read rows of a batch cannot agree on one of the buckets {layout.widths}; expected one bucket; "
            f"set buckets to ({layout.widths[-1]},) or use packs"
        )


def tokenize_table(table: TextTable, layout: Layout) -> TokenTable:
    """The ids of all texts."""
    slots = table.present.shape[1]
    prefixes = [layout.prefixes.of_slot(slot) for slot in range(slots)] * len(table.present)
    there = table.present.ravel().tolist()
    flat = [
        prefix + text.decode() if prefix else text.decode()
        for text, prefix, is_there in zip(table.texts.ravel().tolist(), prefixes, there, strict=True)
        if is_there
    ]
    ids, found = encode_texts(layout.tokenizer, flat)
    lengths = np.zeros(table.present.shape, np.int64)
    lengths[table.present] = found
    return TokenTable(ids, lengths, *table[1:])


def make_batch(table: TokenTable, datasets: NDArray[np.int32], layout: Layout) -> Batch:
    """Lay out the texts of whole packs. `datasets`, [n], is each pair's index in the mixture."""
    pairs, slots = table.lengths.shape
    shape = (pairs // layout.pairs, layout.pairs)
    limits = np.array([layout.max_tokens[min(slot, 1)] for slot in range(slots)] * layout.pairs, np.int64)
    packed = layout.place(table.ids, table.lengths.reshape(shape[0], -1), limits)
    return Batch(
        tokens=packed.tokens,
        segments=packed.segments,
        positions=packed.positions,
        fingerprints=split_words(table.text_fingerprints).reshape(*shape, slots, 2),
        clusters=split_words(table.clusters).reshape(*shape, 2),
        pairs=split_words(table.pair_fingerprints).reshape(*shape, 2),
        datasets=datasets.reshape(shape),
        shortened=packed.shortened,
    )


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """The batches of equally many packs that one is made of."""
    packs = len(batch.pairs) // parts
    fields = tuple[Any, ...](batch)
    return [Batch._make(field[part * packs : (part + 1) * packs] for field in fields) for part in range(parts)]
