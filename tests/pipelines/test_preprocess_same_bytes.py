"""The same bytes whatever the way. All of it is on: what one option hides another would show."""

import bz2
import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from jobs import (
    RULES,
    SMALL_SHARDS,
    contents,
    preprocess_reddit,
)

from pipelines.decontaminate import EvalOptions
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources import reddit as reddit_source
from schemas.manifest import verify


def everything(months: Path, output: Path, *inputs: Path | str, **changes) -> dict[str, Any]:
    """All that a job with every option writes: files of the dataset and of its rejects, counts, samples."""
    job = Job(
        RULES,
        tuple(map(str, inputs)) or (f"{months}/RC_*.zst",),
        str(output / "kept"),
        **{
            "shard_size": SMALL_SHARDS,
            "dedup": "near",
            "max_per_text": 3,
            "evaluation": EvalOptions(eval_texts=(str(months / "eval.txt"),)),
            "keep_rejects": str(output / "rejects"),
            **changes,
        },
    )
    manifests = run(job)
    for manifest in manifests:
        assert list(verify(manifest)) == []
    parts = [dataclasses.asdict(manifest.parts[0]) for manifest in manifests]
    for part in parts:
        del part["inputs"]  # names compressed bytes
    files = {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    return {**files, "parts": parts, "hashes": [manifest.content_hash for manifest in manifests]}


@pytest.fixture(scope="module")
def all_of_it(months, tmp_path_factory):
    found = everything(months, tmp_path_factory.mktemp("all_of_it"))
    reasons = {reason for stage in found["parts"][0]["funnel"] for reason in stage["drops"]}
    assert {"not_json", "top_level", "missing_parent", "reply_too_long", "eval", "duplicate"} <= reasons
    assert "text_too_frequent" in reasons and len(found) > 15
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"spill": False},
        {"passes": 1},
        {"passes": 8},
        {"passes": 64},
        {"memory": "700M"},
        {"spill": False, "passes": 64},
    ],
    ids=str,
)
def test_spills_and_passes_never_show(months, all_of_it, tmp_path, changes):
    assert everything(months, tmp_path, **changes) == all_of_it


@pytest.mark.parametrize("seed", [1, 2])
def test_compression_and_the_order_of_files_never_show(months, all_of_it, tmp_path, monkeypatch, seed):
    real = reddit_source.match_files

    def shuffled(globs):
        files = real(globs)
        random.Random(seed).shuffle(files)
        return files

    monkeypatch.setattr(reddit_source, "match_files", shuffled)
    whole = b"".join(bz2.decompress((months / f"RC_{month}.bz2").read_bytes()) for month in (1, 2))
    lines = whole.splitlines(keepends=True)
    for number in range(5):
        (tmp_path / f"RC_{number}").write_bytes(b"".join(lines[number::5]))
    assert everything(months, tmp_path / "bz2", f"{months}/RC_*.bz2") == all_of_it
    assert everything(months, tmp_path / "plain", f"{tmp_path}/RC_*", passes=8) == all_of_it


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_worker_processes_never_show(months, all_of_it, tmp_path, monkeypatch, project_root, workers):
    monkeypatch.setenv("PYTHONPATH", str(project_root))
    assert everything(months, tmp_path, workers=workers, passes=8) == all_of_it


@pytest.mark.slow
def test_stripes_of_one_big_file_never_show(make_dump, tmp_path, monkeypatch, project_root):
    monkeypatch.setenv("PYTHONPATH", str(project_root))
    dump = make_dump(tmp_path / "RC_big", 12_000)
    assert dump.stat().st_size > 1 << 20  # what smaller ones are not worth
    preprocess_reddit(tmp_path / "one", dump)
    preprocess_reddit(tmp_path / "two", dump, workers=2)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
