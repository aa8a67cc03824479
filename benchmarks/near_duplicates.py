"""Near-duplicates: how many planted ones are found, how many finds are right, and how fast pairs are signed.

`python -m benchmarks.near_duplicates` prints recall and precision; the rates are rows of `make bench`. The peer is
datasketch's MinHash and MinHashLSH on the same texts, with as many bands and values.
"""

from __future__ import annotations

import bisect
import random
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.row import Row
from pipelines.minhash import Signer
from pipelines.near_duplicates import Members, near_duplicates
from schemas.pair import TEST, Pair, fingerprint, normalise, shuffle_key, split_of

PAIRS = 20_000
PEER_PAIRS = 1_000
HOT = 1_000_000
BINS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)
LETTERS = {"latin": "etaoinshrdlucmfwygpbvk", "han": "".join(map(chr, range(0x4E00, 0x5200)))}


class Planted(NamedTuple):
    """A pair and an edit of it. No two of the plants are near."""

    original: Pair
    edit: Pair


class Finding(NamedTuple):
    """How near a pair and its edit truly are, and whether one of them was dropped."""

    similarity: float
    """The smaller Jaccard similarity of the two sides, from the sets of shingles themselves."""
    dropped: bool


def recall(findings: list[Finding], least: float) -> float:
    """Of the edits truly so near, the share that is dropped."""
    return float(np.mean([finding.dropped for finding in findings if finding.similarity >= least]))


def precision(findings: list[Finding], least: float) -> float:
    """Of the pairs dropped, the share that is truly so near to another."""
    return float(np.mean([finding.similarity >= least for finding in findings if finding.dropped]))


def plant(count: int, seed: int, script: str = "latin", thread: int = 1) -> Iterator[Planted]:
    """Pairs of 3 to 25 words a side, words as frequent as in language, each with an edit: on one side or both, 1 to
    30% of the words replaced, removed or added, the end cut off, or case and marks changed; or the same anchor
    with another positive. So many originals in a row answer the same anchor."""
    rng = random.Random(seed)
    spaced, longest = (" ", 8) if script == "latin" else ("", 2)
    words = ["".join(rng.choices(LETTERS[script], k=rng.randint(1, longest))) for _ in range(20_000)]
    weights = np.cumsum(1 / np.arange(10, 10 + len(words))).tolist()

    def draw(count: int) -> list[str]:
        return rng.choices(words, cum_weights=weights, k=count)

    def say(text: list[str], mark: str = ".") -> str:
        return spaced.join(text).capitalize() + mark

    def edit(text: list[str]) -> str:
        edited, share = list(text), rng.uniform(0.01, 0.3)
        kind = rng.choice(("replace", "remove", "add", "cut", "marks"))
        if kind == "marks":
            return say([word.upper() if rng.random() < 0.3 else word for word in edited], rng.choice(("", "!", " ...")))
        for _ in range(max(1, round(share * len(text)))):
            place = len(edited) - 1 if kind == "cut" else rng.randrange(len(edited))
            edited[place : place + (kind != "add")] = draw(1) if kind in ("replace", "add") else []
        return say(edited)

    anchor: list[str] = []
    for number in range(count):
        anchor = anchor if number % thread else draw(rng.randint(3, 25))
        positive = draw(rng.randint(3, 25))
        edited = rng.choice(
            (
                lambda anchor, positive: (edit(anchor), edit(positive)),
                lambda anchor, positive: (edit(anchor), say(positive)),
                lambda anchor, positive: (say(anchor), edit(positive)),
                lambda anchor, _: (say(anchor), say(draw(rng.randint(3, 25)))),
            )
        )(anchor, positive)
        original = Pair("planted", say(anchor), say(positive), group=f"{number}")
        yield Planted(original, Pair("planted", *edited, group=f"{number} edited"))


def judge(planted: list[Planted], signer: Signer, partition_bits: int = 2) -> list[Finding]:
    """All pairs signed and marked, partition by partition as the job does it. Exact duplicates are left out."""
    pairs = [pair for plant in planted for pair in plant]
    keys, ranks = _places(pairs)
    marks = mark(pairs, keys, ranks, signer, partition_bits)
    return [
        Finding(min(similarities(*plant, signer.shingle)), bool(marks & {first, second}))
        for plant, (first, second) in zip(planted, keys.reshape(-1, 2).tolist(), strict=True)
        if first != second
    ]


def mark(pairs: list[Pair], keys: np.ndarray, ranks: np.ndarray, signer: Signer, partition_bits: int) -> set[int]:
    """Shuffle keys that all partitions together mark."""
    partitions: defaultdict[int, list[bytes]] = defaultdict(list)
    for number, blob in Members.of(signer.sign(pairs), keys, ranks).partitions(partition_bits):
        partitions[number].append(blob)
    marks = (near_duplicates(lambda blobs=blobs: blobs, signer) for blobs in partitions.values())
    return {key for some in marks for key in some.tolist()}


def similarities(first: Pair, second: Pair, length: int) -> list[float]:
    """Jaccard similarities of the anchors and of the positives."""
    sides = (
        [plain_shingles(normalise(text), length) for text in side]
        for side in ((first.anchor, second.anchor), (first.positive, second.positive))
    )
    return [len(one & other) / len(one | other) for one, other in sides]


def plain_shingles(text: str, length: int) -> set[str]:
    """The definition of a normalised text's shingles, written with strings."""
    words = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in text).split()
    whole = f" {' '.join(words) if words else text}\n"
    runs = ((place, 2 if _is_syllable(letter) else length) for place, letter in enumerate(whole[:-1]))
    return {whole[place : place + run] for place, run in runs if place == 0 or place + run <= len(whole)}


def _is_syllable(letter: str) -> bool:
    blocks = (0x3040, 0x3100, 0x3400, 0xA000, 0xAC00, 0xD7B0, 0xF900, 0xFB00, 0x20000, 0x40000)
    return unicodedata.category(letter)[0] in "LMN" and bisect.bisect(blocks, ord(letter)) % 2 == 1


def measure() -> list[Row]:
    pairs = [plant.original for plant in plant(PAIRS, seed=1)]
    signer, unit = Signer(), "pairs/s"
    keys, ranks = _places(pairs)
    signing = PAIRS / _seconds(lambda: signer.sign(pairs))
    whole = PAIRS / _seconds(lambda: mark(pairs, keys, ranks, signer, partition_bits=0))
    few = pairs[:PEER_PAIRS]
    peer_signing = PEER_PAIRS / _seconds(lambda: _datasketch(few, signer))
    peer_whole = PEER_PAIRS / _seconds(lambda: _datasketch_lsh(few, signer))
    members = _members(pairs, keys, ranks, signer, HOT)
    blobs = [members.take(some).to_bytes() for some in np.array_split(np.arange(HOT), 100)]
    hot = members._replace(bands=np.zeros(HOT, np.uint64)).to_bytes()
    spread = HOT / _seconds(lambda: near_duplicates(lambda: blobs, signer))
    one_bucket = HOT / _seconds(lambda: near_duplicates(lambda: [hot], signer))
    return [
        Row("signing, one process", signing, "datasketch MinHash", peer_signing, unit),
        Row("signing and marking", whole, "datasketch MinHashLSH", peer_whole, unit),
        Row("marking, all in one band", one_bucket, "the same members in their bands", spread, "members/s"),
    ]


def _members(pairs: list[Pair], keys: np.ndarray, ranks: np.ndarray, signer: Signer, count: int) -> Members:
    """So many members: the pairs' own, again and again under other bands and keys."""
    own = Members.of(signer.sign(pairs), keys, ranks)
    copies, rest = np.divmod(np.arange(count, dtype=np.uint64), np.uint64(len(own.bands)))
    members = own.take(rest.astype(np.intp))
    shift = copies * np.uint64(0x9E3779B97F4A7C15)
    return members._replace(bands=members.bands + shift, keys=members.keys + shift)


def _datasketch(pairs: list[Pair], signer: Signer) -> list:
    from datasketch import MinHash

    # One set for both sides, as MinHashLSH has no notion of sides.
    sets = [
        [f"{side}{run}".encode() for side, text in enumerate(pair.texts) for run in _runs(text, signer)]
        for pair in pairs
    ]
    return MinHash.bulk(sets, num_perm=signer.permutations)


def _runs(text: str, signer: Signer) -> set[str]:
    whole = f" {normalise(text)} "
    return {whole[place : place + signer.shingle] for place in range(max(1, len(whole) - signer.shingle + 1))}


def _datasketch_lsh(pairs: list[Pair], signer: Signer) -> int:
    from datasketch import MinHashLSH

    lsh = MinHashLSH(num_perm=signer.permutations, params=(signer.bands, 2 * signer.rows))
    dropped = 0
    for number, sketch in enumerate(_datasketch(pairs, signer)):
        dropped += bool(lsh.query(sketch))
        lsh.insert(number, sketch)
    return dropped


def _places(pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle keys and ranks."""
    keys = np.array([shuffle_key(fingerprint(pair).pair, 0) for pair in pairs], np.uint64)
    return keys, np.array([split_of(pair, 0.1) != TEST for pair in pairs], np.uint8)


def _seconds(call: Callable[[], object]) -> float:
    """The better of two, so that a first call's warming does not count."""
    taken = []
    for _ in range(2):
        since = time.perf_counter()
        call()
        taken.append(time.perf_counter() - since)
    return min(taken)


def main() -> None:
    signer = Signer()
    for title, script, thread in (
        ("Latin", "latin", 1),
        ("Han", "han", 1),
        ("Latin, a thousand to an anchor", "latin", 1_000),
    ):
        findings = judge(list(plant(PAIRS, 0, script, thread)), signer)
        table = Table("true similarity", "edits", "dropped", "share a band, by the formula", title=title, box=None)
        for least, most in zip(BINS, (*BINS[1:], 1.01), strict=True):
            dropped = [finding.dropped for finding in findings if least <= finding.similarity < most]
            middle = (least + min(most, 1)) / 2
            table.add_row(
                f"{least:.2f} – {most:.2f}" if least < 1 else "1",
                f"{len(dropped):,}",
                f"{np.mean(dropped):.3f}" if dropped else "",
                f"{signer.candidate_probability(middle, middle):.3f}",
            )
        Console().print(table)
        for least in (0.6, 0.7, 0.8):
            print(f"of the dropped, truly at {least} or more: {precision(findings, least):.4f}")
        print(f"of those at 0.8 or more, dropped: {recall(findings, 0.8):.4f}; at 0.9 {recall(findings, 0.9):.4f}\n")
    one = [Pair("planted", "one", "pair")]
    print(f"{len(Members.of(signer.sign(one), *_places(one)).to_bytes())} bytes a pair through the shuffle")


if __name__ == "__main__":
    main()
