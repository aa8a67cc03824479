"""`pairstream batches` as a user meets it, on datasets written through the contract alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pairstream.cli import main
from reader.plan import BatchPlan
from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split
from schemas.mixture import POLICIES
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, frame, open_local, shard_name, write_shard

SIZES = {"a": 100, "b": 70, "c": 5}


def pairs_of(name: str) -> list[Pair]:
    return [Pair(name, f"question {n} of {name}", f"answer {n} of {name}") for n in range(SIZES[name])]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    for name in SIZES:
        pairs, folder = pairs_of(name), data / name
        folder.mkdir()
        frames = [frame(encode_pair(pair, fingerprint(pair))) for pair in pairs]
        lengths = np.array([len(one) for one in frames], np.uint32)
        prints = np.array([fingerprint(pair).pair for pair in pairs], np.uint64)
        block = Block(b"".join(frames), lengths, prints)
        shard = write_shard(str(folder), shard_name("train", 0, 1), [block], window=16, open_file=open_local)
        split = Split(shard.records, shard.bytes, 16, (shard,))
        part = Part("", (), {}, {}, shard.records, (), {"train": split}, {})
        (folder / MANIFEST_NAME).write_bytes(Manifest(name, "a → b", "", "", "", (part,)).to_bytes())
    return data


def write_mixture(tmp_path: Path, policy: str = "homogeneous", **more: Any) -> str:
    path = tmp_path / f"{policy}.json"
    datasets = [{"name": name, "weight": weight} for name, weight in (("a", 3), ("b", 2), ("c", 1))]
    path.write_text(json.dumps({"batch": {"size": 24, "policy": policy}, "datasets": datasets, **more}))
    return str(path)


def batches(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    assert main(["batches", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("policy", POLICIES)
def test_hosts_restarts_and_repeats_have_one_digest(
    policy: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [write_mixture(tmp_path, policy), "--data", str(data)]
    whole = batches(capsys, *argv, "--count", "6")
    assert [batch["step"] for batch in whole] == list(range(6))
    assert all(sum(batch["datasets"].values()) == 24 for batch in whole)
    assert len({batch["sha256"] for batch in whole}) == 6
    for hosts in ("2", "8"):
        assert batches(capsys, *argv, "--count", "6", "--hosts", hosts) == whole
    assert batches(capsys, *argv, "--start", "4", "--count", "2") == whole[4:]


def test_the_digest_is_over_dataset_and_pair_in_row_order(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"batch": {"size": 10}, "datasets": [{"name": "c", "weight": 1}]}))
    # Smaller than a window, c comes in its own order, twice.
    digest = hashlib.sha256()
    for pair in pairs_of("c") * 2:
        digest.update(b"c\x00" + fingerprint(pair).pair.to_bytes(8, "little"))
    found = batches(capsys, str(path), "--data", str(data))
    assert found == [{"step": 0, "datasets": {"c": 10}, "sha256": digest.hexdigest()}]


def test_seeds_and_epochs_have_digests_of_their_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = set()
    for seed in (0, 1):
        path = write_mixture(tmp_path, seed=seed)
        for start in (0, 1000):
            digests |= {batch["sha256"] for batch in batches(capsys, path, "--data", str(data), "--start", str(start))}
    assert len(digests) == 4


def test_rows_are_shown_as_they_stand_in_the_batch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_mixture(tmp_path)
    batch = batches(capsys, path, "--data", str(data), "--show", "24")[0]
    assert [row["dataset"] for row in batch["rows"]] == [
        n for n, rows in batch["datasets"].items() for _ in range(rows)
    ]
    digest = hashlib.sha256()
    for row in batch["rows"]:
        assert tuple(row["texts"]) in {(pair.anchor, pair.positive) for pair in pairs_of(row["dataset"])}
        pair = Pair(row["dataset"], *row["texts"])
        digest.update(row["dataset"].encode() + b"\x00" + fingerprint(pair).pair.to_bytes(8, "little"))
    assert digest.hexdigest() == batch["sha256"]
    assert main(["batches", path, "--data", str(data), "--show", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("question ") == out.count("answer ") == 2


def test_hosts_that_read_something_else_are_noticed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = BatchPlan.runs

    def shifted(plan: BatchPlan, step: int, rows: range | None = None) -> Any:
        return right(plan, step, rows if rows is None or rows.start else range(12, 24))

    monkeypatch.setattr(BatchPlan, "runs", shifted)
    status = main(["batches", write_mixture(tmp_path), "--data", str(data), "--hosts", "2"])
    assert status == 1 and "step 0: 2 hosts read" in capsys.readouterr().err


def test_damage_is_named_or_on_request_counted(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    shard = copy / "a" / "train-00000-of-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    argv = ["batches", write_mixture(tmp_path), "--data", str(copy), "--count", "12"]
    status = main(argv)
    assert status == 1 and f"{shard}: record 0 is damaged" in capsys.readouterr().err
    assert main([*argv, "--skip-bad-windows"]) == 0
    error = capsys.readouterr().err
    assert "records of damaged windows were replaced" in error and str(shard) in error


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--hosts", "5"], "batch size 24 does not divide over 5 hosts; the nearest that does: 25"),
        (["--hosts", "0"], "--hosts is 0; expected at least 1"),
        (["--start", "-1"], "--start is -1; expected at least 0"),
        (["--batch-size", "1"], "--batch-size is 1"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(
    argv: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["batches", write_mixture(tmp_path), "--data", str(data), *argv])
    error = capsys.readouterr().err
    assert (status, len(error.strip().splitlines())) == (2, 1) and said in error


def test_a_step_beyond_the_plan_s_end_is_a_clear_failure(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_mixture(tmp_path, max_epochs=1)
    status = main(["batches", path, "--data", str(data), "--start", "500"])
    error = capsys.readouterr().err
    assert (status, len(error.strip().splitlines())) == (1, 1) and "step 500 is beyond the plan's end" in error
