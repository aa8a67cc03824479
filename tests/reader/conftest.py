"""Small datasets, made through the contract alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split
from schemas.mixture import BatchPolicy, Mixture, MixtureEntry
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, Shard, frame, open_local, shard_name, write_shard

WINDOW = 16


def _manifest(folder: str, name: str, shards: Sequence[Shard], window: int = WINDOW, parts: int = 1) -> Manifest:
    records = sum(shard.records for shard in shards)
    split = Split(records, sum(shard.bytes for shard in shards), window, tuple(shards))
    part = Part("", (), {}, {}, records, (), {"train": split}, {})
    return Manifest(name, "a → b", "none", "nobody", "", (part,) * parts, folder=folder)


@pytest.fixture(scope="session")
def listed_dataset() -> Callable[..., Manifest]:
    """listed_dataset("name", [40, 17]): a manifest of shards with so many records, which exist on paper alone."""

    def make(name: str, counts: Sequence[int], *, window: int = WINDOW) -> Manifest:
        digest = hashlib.sha256(repr((name, tuple(counts))).encode()).hexdigest()
        shards = [
            Shard(shard_name("train", n, len(counts)), count, 100 * count, digest, digest, digest)
            for n, count in enumerate(counts)
        ]
        return _manifest(f"data/{name}", name, shards, window)

    return make


@pytest.fixture(scope="session")
def write_dataset() -> Callable[..., Manifest]:
    """write_dataset(data, "name", [[Pair, …], …]): a dataset on disk, a list of pairs to each shard."""

    def write(data: Path, name: str, shards: Sequence[Sequence[Pair]]) -> Manifest:
        folder = data / name
        folder.mkdir(parents=True)
        written = []
        for number, pairs in enumerate(shards):
            prints = [fingerprint(pair) for pair in pairs]
            frames = [frame(encode_pair(pair, of_pair)) for pair, of_pair in zip(pairs, prints, strict=True)]
            block = Block(
                b"".join(frames),
                np.array([len(framed) for framed in frames], np.uint32),
                np.array([of_pair.pair for of_pair in prints], np.uint64),
            )
            file = shard_name("train", number, len(shards))
            written.append(write_shard(str(folder), file, [block], window=WINDOW, open_file=open_local))
        manifest = _manifest(str(folder), name, written)
        (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
        return manifest

    return write


@pytest.fixture(scope="session")
def mix() -> Callable[..., Mixture]:
    """mix({"name": weight, …}, size=…): a mixture."""

    def make(weights: dict[str, float], *, size: int = 32, slots: int = 2, seed: int = 0) -> Mixture:
        entries = tuple(MixtureEntry(name, weight) for name, weight in weights.items())
        return Mixture(entries, seed, BatchPolicy(size, slots))

    return make
