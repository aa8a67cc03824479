"""The pairs of a stage on their way out: filtered, decontaminated, made into records, gathered by cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import orjson

from pipelines.decontaminate import EvalTexts
from pipelines.dedup import RANKS, REJECTS, Entries, to_blob
from pipelines.filters.rule import Filter
from pipelines.funnel import Drop
from pipelines.hot_texts import TEXTS, smallest_keys
from pipelines.minhash import Signer
from pipelines.near_duplicates import Members
from pipelines.shuffle import Blob, places_by_prefix
from schemas.example import encode_pairs
from schemas.pair import TEST, Pair, fingerprint, shuffle_keys, split_of
from schemas.shards import frame

CELLS, BANDS, TEST_TEXTS = "cells", "bands", "test_texts"
"""Names of the shuffles that pairs go into, with TEXTS."""
FULL_BYTES = 16 << 20
SETTLED_AT_ONCE = 512
_ENTRY_BYTES = 300
"""What an entry takes in memory beside its record."""
_RANK_OF = {split: rank for rank, split in enumerate(RANKS)}
_REJECT = RANKS.index(REJECTS)
PAIR_SHUFFLES = (CELLS, BANDS, TEXTS, TEST_TEXTS)


@dataclass(frozen=True)
class PairRules:
    """What happens to a pair between its source and its cell."""

    filters: tuple[Filter, ...]
    test_fraction: float
    seed: int
    bits: int
    """Bits of the shuffle key that name a cell."""
    eval_texts: str | None = None
    """Path of the texts that no pair may hold."""
    signer: Signer | None = None
    """Signs each pair, where near-duplicates are looked for."""
    max_per_text: int | None = None
    """Pairs of a dataset that may hold one text."""
    drop_train_texts_in_test: bool = False
    keep_rejects: bool = False


class _Columns:
    """Entries of one dataset in the making."""

    def __init__(self) -> None:
        self.fingerprints: list[int] = []
        self.ranks: list[int] = []
        self.characters: list[tuple[int, int]] = []
        self.framed: list[bytes] = []
        self.texts: list[tuple[int, ...]] = []
        self.pairs: list[Pair] = []
        """Of the entries, where they are signed."""

    def to_entries(self, seed: int) -> Entries:
        """The entries, without their records."""
        fingerprints = np.array(self.fingerprints, np.uint64)
        return Entries(
            "",
            keys=shuffle_keys(fingerprints, seed),
            fingerprints=fingerprints,
            ranks=np.array(self.ranks, np.uint8),
            characters=np.array(self.characters, np.uint32).reshape(-1, 2),
            lengths=np.array([len(framed) for framed in self.framed], np.uint32),
            data=b"",
        )


class PairCollector:
    """Takes pairs and drops; gives blobs of entries."""

    def __init__(self, rules: PairRules) -> None:
        self._rules = rules
        self._columns: defaultdict[str, _Columns] = defaultdict(_Columns)
        self._waiting: list[Pair] = []
        self._waiting_rejects: list[tuple[Pair, str]] = []
        self._keep_texts = rules.max_per_text is not None or rules.drop_train_texts_in_test
        self._bytes = 0

    @property
    def must_settle(self) -> bool:
        """Whether `settle` should be called: many pairs at once take much less time than one after the other."""
        return len(self._waiting) >= SETTLED_AT_ONCE or len(self._waiting_rejects) >= SETTLED_AT_ONCE

    @property
    def is_full(self) -> bool:
        return self._bytes >= FULL_BYTES

    def add(self, pair: Pair) -> Drop | None:
        """Take a pair, or say why it goes."""
        for keep_or_reason in self._rules.filters:
            if reason := keep_or_reason(pair):
                return dropped(pair, "filter", reason)
        self._waiting.append(pair)
        return None

    def add_reject(self, drop: Drop) -> None:
        """Keep aside what was dropped, with its reason."""
        group, anchor, *others = (text.encode(errors="replace").decode() for text in (drop.group, *drop.texts))
        pair = Pair(drop.dataset, anchor, others[0] if others else "", tuple(others[1:]), group=group)
        self._waiting_rejects.append((pair, f"{drop.stage}/{drop.reason}"))

    def settle(self) -> list[Drop]:
        """Decontaminate what was added since the last call, and make records of it; those that go."""
        pairs, self._waiting = self._waiting, []
        drops: list[Drop] = []
        if self._rules.eval_texts and pairs:
            hits = _eval_texts(self._rules.eval_texts).hits_many(pairs)
            found = list(zip(pairs, hits, strict=True))
            drops = [dropped(pair, "decontaminate", "+".join(sets)) for pair, sets in found if sets]
            pairs = [pair for pair, sets in found if not sets]
        self._put(pairs, [_RANK_OF[split_of(pair, self._rules.test_fraction)] for pair in pairs], [""] * len(pairs))
        self._settle_rejects()
        return drops

    def _settle_rejects(self) -> None:
        rejects, self._waiting_rejects = self._waiting_rejects, []
        self._put([pair for pair, _ in rejects], [_REJECT] * len(rejects), [reason for _, reason in rejects])

    def _put(self, pairs: list[Pair], ranks: list[int], reasons: list[str]) -> None:
        prints = list(map(fingerprint, pairs))
        for pair, of_pair, rank, record in zip(pairs, prints, ranks, encode_pairs(pairs, prints, reasons), strict=True):
            columns = self._columns[pair.dataset]
            columns.fingerprints.append(of_pair.pair)
            columns.ranks.append(rank)
            columns.characters.append((len(pair.anchor), len(pair.positive)))
            columns.framed.append(framed := frame(record))
            self._bytes += len(framed) + _ENTRY_BYTES
            if self._keep_texts:
                columns.texts.append(of_pair.texts)
            if self._rules.signer and rank != _REJECT:
                columns.pairs.append(pair)

    def flush(self) -> Iterator[Blob]:
        """All that was settled, and the rejects, as blobs of cells; and what other shuffles must know of it."""
        assert not self._waiting, "settle first: what goes must be counted"
        self._settle_rejects()
        for dataset, columns in self._columns.items():
            entries = columns.to_entries(self._rules.seed)._replace(dataset=dataset)
            for cell, places in places_by_prefix(entries.keys, self._rules.bits):
                data = b"".join([columns.framed[place] for place in places.tolist()])
                of_cell = (column[places] for column in entries[1:6])
                yield Blob(CELLS, cell, to_blob(Entries._make([dataset, *of_cell, data])))
            yield from self._other_blobs(entries, columns)
        self._columns.clear()
        self._bytes = 0

    def _other_blobs(self, entries: Entries, columns: _Columns) -> Iterator[Blob]:
        rules = self._rules
        if rules.signer:
            yield from _band_blobs(rules.signer, columns.pairs, entries, rules.bits)
        if rules.max_per_text:
            yield from smallest_keys(entries, columns.texts, rules.max_per_text, rules.bits)
        if rules.drop_train_texts_in_test:
            test = RANKS.index(TEST)
            in_test = {
                text for rank, texts in zip(columns.ranks, columns.texts, strict=True) if rank == test for text in texts
            }
            yield Blob(TEST_TEXTS, 0, np.sort(np.fromiter(in_test, np.uint64, len(in_test))).astype("<u8").tobytes())


def dropped(pair: Pair, stage: str, reason: str) -> Drop:
    """A pair that goes."""
    return Drop(pair.dataset, stage, reason, 1, pair.texts, pair.group)


@lru_cache(maxsize=1)
def _eval_texts(path: str) -> EvalTexts:
    """Loaded once a process."""
    return EvalTexts.load(path)


def _band_blobs(signer: Signer, pairs: list[Pair], entries: Entries, bits: int) -> Iterator[Blob]:
    """The signatures of the pairs, by a prefix of their bands."""
    signed = entries.ranks != _REJECT
    members = Members.of(signer.sign(pairs), entries.keys[signed], entries.ranks[signed])
    head = orjson.dumps(entries.dataset) + b"\n"
    for partition, data in members.partitions(bits):
        yield Blob(BANDS, partition, head + data)
