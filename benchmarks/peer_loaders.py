"""Loaders of other projects on the benchmark's mixture, each set up as its own documentation recommends.

They run in an environment of their own (`make bench-peers` makes it), because one of them asks for older
releases of libraries that pairstream uses; so nothing of pairstream is imported here.
`python -m benchmarks.peer_loaders PEER FOLDER STEPS` prints pairs per second. The folder holds
`weights.json`, `tokenizer.json` and for each dataset `NAME.jsonl` of anchors and positives.

Each reads its own file format, mixes by the weights, shuffles, tokenizes with the same Rust tokenizer in
two worker processes, and gives padded batches of ids. Making the files, starting the workers and the
first batches are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

BATCH = 1024
WORKERS = 2
SHARDS = 8
"""Files of each dataset: at least as many as workers, as all of them ask."""
MAX_TOKENS = 128
WARM_UP = 4
"""Batches before time counts: two of each worker."""
Ids = np.ndarray[Any, np.dtype[np.int32]]


class Tokenize:
    """Pairs to ids padded to the longest: int32[pairs, tokens] of anchors and of positives."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    def __call__(self, pairs: list[dict[str, str]]) -> tuple[Ids, Ids]:
        return self._pad([pair["anchor"] for pair in pairs]), self._pad([pair["positive"] for pair in pairs])

    def _pad(self, texts: list[str]) -> Ids:
        return np.array([encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)], np.int32)


def interleave_datasets(folder: Path, weights: dict[str, float]) -> Iterable[Any]:
    """Hugging Face: Parquet shards as streams, interleaved, a shuffle buffer.

    The buffer is fed by one shard at a time: by default it takes ten, which leaves one worker all the work.
    """
    from datasets import Dataset, interleave_datasets, load_dataset
    from torch.utils.data import DataLoader

    streams = []
    for name in weights:
        whole = Dataset.from_list(_pairs(folder, name))
        for shard in range(SHARDS):
            whole.shard(SHARDS, shard).to_parquet(folder / f"{name}-{shard}.parquet")
        files = str(folder / f"{name}-*.parquet")
        streams.append(load_dataset("parquet", data_files=files, split="train", streaming=True))
    mixed = interleave_datasets(streams, list(weights.values()), seed=0, stopping_strategy="all_exhausted")
    mixed = mixed.shuffle(seed=0, buffer_size=10_000, max_buffer_input_shards=1)
    collate: Any = Tokenize(folder / "tokenizer.json")
    return DataLoader(mixed, BATCH, num_workers=WORKERS, collate_fn=collate, drop_last=True)


def grain(folder: Path, weights: dict[str, float]) -> Iterable[Any]:
    """Grain: ArrayRecord files, a mix of shuffled map datasets, batches made in worker processes.

    A thread of each worker makes whole batches: its default, 16 threads that make single elements, is slower here.
    """
    import grain
    from array_record.python.array_record_module import ArrayRecordWriter

    sources = []
    for name in weights:
        path = str(folder / f"{name}.array_record")
        writer = ArrayRecordWriter(path, "group_size:1")
        for pair in _pairs(folder, name):
            writer.write(json.dumps(pair).encode())
        writer.close()
        sources.append(grain.MapDataset.source(grain.sources.ArrayRecordDataSource(path)).shuffle(seed=0).repeat())
    mixed = grain.MapDataset.mix(sources, weights=list(weights.values())).map(json.loads)
    batches = mixed.batch(BATCH, batch_fn=Tokenize(folder / "tokenizer.json"))
    threads = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    return batches.to_iter_dataset(threads).mp_prefetch(grain.MultiprocessingOptions(num_workers=WORKERS))


def mosaicml_streaming(folder: Path, weights: dict[str, float]) -> Iterable[Any]:
    """MosaicML Streaming: MDS shards, streams in proportion, its sampler and shuffle."""
    from streaming import MDSWriter, Stream, StreamingDataset
    from torch.utils.data import DataLoader

    streams = []
    for name, weight in weights.items():
        out = str(folder / f"{name}.mds")
        with MDSWriter(out=out, columns={"anchor": "str", "positive": "str"}) as writer:
            for pair in _pairs(folder, name):
                writer.write(pair)
        streams.append(Stream(local=out, proportion=weight))
    mixed = StreamingDataset(streams=streams, batch_size=BATCH, shuffle=True)
    collate = Tokenize(folder / "tokenizer.json")
    return DataLoader(mixed, BATCH, num_workers=WORKERS, collate_fn=collate, drop_last=True)


def webdataset(folder: Path, weights: dict[str, float]) -> Iterable[Any]:
    """WebDataset: tar shards drawn with replacement, a random mix, batches made in worker processes."""
    import webdataset as wds

    datasets = []
    for name in weights:
        pairs = _pairs(folder, name)
        with wds.ShardWriter(str(folder / f"{name}-%d.tar"), maxcount=-(-len(pairs) // SHARDS), verbose=0) as writer:
            for number, pair in enumerate(pairs):
                writer.write({"__key__": f"{number:08}", "json": pair})
        urls = [str(path) for path in sorted(folder.glob(f"{name}-*.tar"))]
        datasets.append(wds.WebDataset(urls, resampled=True, shardshuffle=False).shuffle(1000).decode())
    tokenize = Tokenize(folder / "tokenizer.json")
    mixed = wds.DataPipeline(
        wds.RandomMix(datasets, list(weights.values())),
        wds.map(lambda sample: sample["json"]),
        wds.batched(BATCH, collation_fn=tokenize, partial=False),
    )
    return wds.WebLoader(mixed, batch_size=None, num_workers=WORKERS)


PEERS: dict[str, Callable[[Path, dict[str, float]], Iterable[Any]]] = {
    "interleave_datasets": interleave_datasets,
    "grain": grain,
    "mosaicml-streaming": mosaicml_streaming,
    "webdataset": webdataset,
}


def _pairs(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def rate(batches: Iterable[Any], steps: int) -> float:
    """Pairs per second, once the workers run."""
    running: Iterator[Any] = iter(batches)
    for _ in islice(running, WARM_UP):
        pass
    since = time.perf_counter()
    seen = sum(len(batch[0]) for batch in islice(running, steps))
    return seen / (time.perf_counter() - since)


if __name__ == "__main__":
    peer, where, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(rate(PEERS[peer](where, json.loads((where / "weights.json").read_text())), steps))
