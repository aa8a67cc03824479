import bz2
import dataclasses
import errno
import hashlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from pipelines import preprocess, write
from pipelines.decontaminate import EvalOptions
from pipelines.job import Job
from pipelines.preprocess import JobError, build, run
from pipelines.sources import reddit as reddit_source
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit
from schemas.example import decode_pair
from schemas.manifest import Manifest, verify
from schemas.pair import Pair, fingerprint, shuffle_key
from schemas.shards import read_shard

SMALL_SHARDS = 20_000
RULES = Reddit()


def preprocess_reddit(output: Path, *inputs: Path | str, **changes) -> Manifest:
    job = Job(RULES, tuple(map(str, inputs)), str(output), **{"shard_size": SMALL_SHARDS, **changes})
    (manifest,) = run(job)
    return manifest


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset but the manifest, which tells of inputs and commands."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"
    }


def read_pairs(manifest: Manifest, split: str) -> list[Pair]:
    return [decode_pair(record)[0] for located in manifest.shards(split) for record in read_shard(located.path)]


@pytest.fixture(scope="module")
def dumps(shared_data):
    return shared_data / "reddit"


@pytest.fixture(scope="module")
def two_months(dumps, tmp_path_factory):
    """(manifest, folder) of January and February 2006, from bz2."""
    folder = tmp_path_factory.mktemp("two_months") / "reddit"
    return preprocess_reddit(folder, dumps / "RC_2006-0*.bz2"), folder


# The rules of the published dataset, as plain loops over the raw files.


def read_dump(path: Path) -> list[dict]:
    return [json.loads(line) for line in bz2.open(path, "rt", encoding="utf-8")]


def split_of_thread(thread: str) -> str:
    md5 = int(hashlib.md5(thread.encode()).hexdigest(), 16)
    return "train" if (1 + md5 % 4096) / 4096 < 0.9 else "test"


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def judge(side: str, body: str) -> str | None:
    if len(body) > 127:
        return f"{side}_too_long"
    if body in ("[deleted]", "[removed]"):
        return f"{side}_deleted"
    return f"{side}_too_short" if len(body) < 9 else None


def plain_computation(rows: list[dict]) -> tuple[Counter, list[tuple[str, str, str]]]:
    """(drops by reason, (parent, reply, split) of every example before duplicates go)."""
    by_thread_and_id = {(row["link_id"], f"t1_{row['id']}"): row for row in rows}
    assert len(by_thread_and_id) == len(rows)  # no comment twice in these files
    drops, examples = Counter(), []
    for row in rows:
        parent = by_thread_and_id.get((row["link_id"], row["parent_id"]))
        if parent is None:
            drops["top_level" if row["parent_id"] == row["link_id"] else "missing_parent"] += 1
        elif reason := judge("reply", row["body"]) or judge("parent", parent["body"]):
            drops[reason] += 1
        else:
            examples.append((parent["body"], row["body"], split_of_thread(row["link_id"].removeprefix("t3_"))))
    return drops, examples


def test_the_job_finds_exactly_the_published_rules_pairs(two_months, dumps):
    manifest, _ = two_months
    rows = [row for month in ("01", "02") for row in read_dump(dumps / f"RC_2006-{month}.bz2")]
    drops, examples = plain_computation(rows)
    expected = {}
    for parent, reply, split in sorted(examples, key=lambda example: example[2] == "test"):
        expected[fold(parent), fold(reply)] = (parent, reply, split)  # of copies the one in test is last
    found = {(pair.anchor, pair.positive, split) for split in ("train", "test") for pair in read_pairs(manifest, split)}
    assert found == set(expected.values()) and len(found) > 500
    if duplicates := len(examples) - len(expected):
        drops["duplicate"] = duplicates
    (part,) = manifest.parts
    assert part.read == len(rows) == 3666 + 9095
    assert Counter({reason: n for stage in part.funnel for reason, n in stage.drops.items()}) == drops
    assert {name: split.records for name, split in part.splits.items()} == Counter(
        split for *_, split in expected.values()
    )


def test_contexts_are_the_ancestors_nearest_first(two_months, dumps):
    manifest, _ = two_months
    rows = [row for month in ("01", "02") for row in read_dump(dumps / f"RC_2006-{month}.bz2")]
    by_name = {f"t1_{row['id']}": row for row in rows}
    expected = {}
    for row in rows:
        parent = by_name.get(row["parent_id"])
        ancestors = []
        above = by_name.get(parent["parent_id"]) if parent else None
        while above and len(ancestors) < 9:
            ancestors.append(above["body"])
            above = by_name.get(above["parent_id"])
        if parent:
            expected.setdefault((parent["body"], row["body"]), []).append(ancestors)
    pairs = read_pairs(manifest, "train") + read_pairs(manifest, "test")
    assert max(len(pair.contexts) for pair in pairs) > 3
    for pair in pairs:
        candidates = expected[pair.anchor, pair.positive]
        assert any(
            len(candidate) == len(pair.contexts)
            and all(
                text.startswith(kept) and len(kept) <= 127 for text, kept in zip(candidate, pair.contexts, strict=True)
            )
            for candidate in candidates
        )


def test_a_thread_stays_on_one_side(two_months):
    manifest, _ = two_months
    threads = [{pair.group for pair in read_pairs(manifest, split)} for split in ("train", "test")]
    assert not threads[0] & threads[1]
    assert all(
        split_of_thread(thread) == split for split, of in zip(("train", "test"), threads, strict=True) for thread in of
    )


def test_what_is_written_is_whole_and_only_that(two_months):
    manifest, folder = two_months
    assert list(verify(manifest)) == []
    listed = {Path(located.path).stem for split in ("train", "test") for located in manifest.shards(split)}
    assert len(listed) > 4
    expected = {f"{stem}.{ending}" for stem in listed for ending in ("tfrecord", "idx", "fp")}
    assert {path.name for path in folder.iterdir()} == {*expected, "manifest.json"}
    assert Manifest.load(folder) == manifest


def test_shards_close_when_they_reach_the_size(two_months):
    manifest, _ = two_months
    assert len(manifest.parts[0].splits["train"].shards) > 2
    for split in manifest.parts[0].splits.values():
        for shard in split.shards[:-1]:
            assert SMALL_SHARDS <= shard.bytes < SMALL_SHARDS + 3000


def test_length_histograms_count_every_pair(two_months):
    manifest, _ = two_months
    statistics = manifest.parts[0].statistics["characters"]
    for split in ("train", "test"):
        for side, attribute in (("anchor", "anchor"), ("positive", "positive")):
            lengths = [len(getattr(pair, attribute)) for pair in read_pairs(manifest, split)]
            edges = [*statistics["edges"], 10**9]
            expected = [sum(low <= n < high for n in lengths) for low, high in itertools.pairwise(edges)]
            assert statistics[split][side] == expected


@pytest.fixture(scope="module")
def january(dumps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("january") / "reddit"
    return preprocess_reddit(folder, dumps / "RC_2006-01.zst"), folder


@pytest.mark.parametrize("inputs", [("RC_2006-01.bz2",), ("RC_2006-01.zst", "RC_2006-01.bz2")], ids=["bz2", "both"])
def test_compression_and_duplicated_inputs_never_show(january, dumps, tmp_path, inputs):
    manifest = preprocess_reddit(tmp_path / "out", *(dumps / name for name in inputs))
    assert contents(tmp_path / "out") == contents(january[1])
    assert manifest.content_hash == january[0].content_hash
    assert manifest.parts[0].read == 3666 * len(inputs)
    duplicates = manifest.parts[0].funnel[1].drops.get("duplicate_comment", 0)
    assert duplicates == 3666 * (len(inputs) - 1)


def test_a_plain_copy_and_one_cut_into_files_give_the_same_bytes(january, dumps, tmp_path):
    lines = bz2.decompress((dumps / "RC_2006-01.bz2").read_bytes()).splitlines(keepends=True)
    for number in range(5):
        (tmp_path / f"RC_{number}").write_bytes(b"".join(lines[number::5]))
    preprocess_reddit(tmp_path / "out", tmp_path / "RC_*")
    assert contents(tmp_path / "out") == contents(january[1])


def test_another_seed_holds_the_same_pairs_in_another_order(two_months, dumps, tmp_path):
    other = preprocess_reddit(tmp_path / "out", dumps / "RC_2006-0*.bz2", seed=1)
    for split in ("train", "test"):
        found, first = read_pairs(other, split), read_pairs(two_months[0], split)
        assert set(found) == set(first) and len(found) == len(first)
        assert found != first


@pytest.mark.parametrize("passes", [1, 128])
def test_file_order_and_passes_never_show(two_months, dumps, tmp_path, monkeypatch, passes):
    real = reddit_source.match_files
    monkeypatch.setattr(reddit_source, "match_files", lambda globs: real(globs)[::-1])
    preprocess_reddit(tmp_path / "out", dumps / "RC_2006-0*.bz2", passes=passes)
    assert contents(tmp_path / "out") == contents(two_months[1])


def test_shard_size_moves_borders_and_nothing_else(january, dumps, tmp_path):
    manifest = preprocess_reddit(tmp_path / "out", dumps / "RC_2006-01.bz2", shard_size=10**9)
    for split in ("train", "test"):
        assert len(list(manifest.shards(split))) == 1
        joined = b"".join(Path(located.path).read_bytes() for located in january[0].shards(split))
        assert Path(next(manifest.shards(split)).path).read_bytes() == joined


@pytest.mark.slow
def test_worker_processes_never_show_on_a_real_month(january, dumps, tmp_path, project_root, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project_root))
    options = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    preprocess_reddit(tmp_path / "out", dumps / "RC_2006-01.bz2", beam_options=options)
    assert contents(tmp_path / "out") == contents(january[1])


# A small dump of our own for what goes wrong.


def write_dump(path: Path, threads: int = 40) -> Path:
    rows = [
        {
            "id": f"{t}{place}",
            "link_id": f"t3_{t}",
            "parent_id": parent,
            "body": f"{place} comment of thread {t}",
        }
        for t in range(threads)
        for place, parent in (("a", f"t3_{t}"), ("b", f"t1_{t}a"), ("c", f"t1_{t}b"))
    ]
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def final_files(folder: Path) -> list[str]:
    """Files that are not what a job that failed keeps to go on with; of that nothing may be half-written."""
    kept = [name for name in files_in(folder) if ".staging-" in name]
    assert not [name for name in kept if name.endswith(".part")]
    return [name for name in files_in(folder) if name not in kept and (folder / name).is_file()]


def test_a_complete_output_is_refused_and_left_as_it_is(tmp_path):
    dump = write_dump(tmp_path / "dump")
    preprocess_reddit(tmp_path / "out", dump)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(FileExistsError, match=r"manifest\.json exists: the dataset is complete; --overwrite"):
        preprocess_reddit(tmp_path / "out", dump, seed=1)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_overwrite_replaces_a_dataset_and_leaves_other_files(tmp_path):
    output = tmp_path / "out"
    preprocess_reddit(output, write_dump(tmp_path / "many", 60), shard_size=500)
    (output / "notes.txt").write_text("mine")
    preprocess_reddit(output, write_dump(tmp_path / "few", 20), overwrite=True)
    preprocess_reddit(tmp_path / "clean", tmp_path / "few")
    assert (output / "notes.txt").read_text() == "mine"
    (output / "notes.txt").unlink()
    assert contents(output) == contents(tmp_path / "clean")
    assert list(verify(Manifest.load(output))) == []


@pytest.mark.parametrize("existed", [False, True])
def test_a_truncated_input_fails_by_name_and_leaves_nothing(dumps, tmp_path, existed):
    output = tmp_path / "out"
    if existed:
        output.mkdir()
    whole = (dumps / "RC_2006-01.zst").read_bytes()
    (tmp_path / "RC_cut.zst").write_bytes(whole[: len(whole) * 2 // 3])
    write_dump(tmp_path / "RC_good")
    with pytest.raises(JobError, match=r"RC_cut\.zst: the zstd data ends too early; fetch it again"):
        preprocess_reddit(output, tmp_path / "RC_*")
    assert files_in(tmp_path) == ["RC_cut.zst", "RC_good"]


def test_all_bad_inputs_are_named_at_once(tmp_path):
    for name in ("a.zst", "b.gz"):
        (tmp_path / name).write_bytes(b"not what it says")
    with pytest.raises(JobError) as error:
        preprocess_reddit(tmp_path / "out", tmp_path / "*")
    lines = str(error.value).splitlines()
    assert [("a.zst" in line, "b.gz" in line) for line in lines] == [(True, False), (False, True)]


def test_an_input_without_a_pair_fails_and_says_where_they_went(tmp_path):
    (tmp_path / "dump").write_text('{"id": "a", "link_id": "t3_x", "parent_id": "t3_x", "body": "alone"}\nnonsense\n')
    with pytest.raises(JobError, match=r"no pair is left to write \(not_json 1, top_level 1\)"):
        preprocess_reddit(tmp_path / "out", tmp_path / "dump")
    assert files_in(tmp_path) == ["dump"]


def test_an_output_that_cannot_be_written_is_an_os_error(tmp_path):
    dump = write_dump(tmp_path / "dump")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        preprocess_reddit(tmp_path / "file" / "out", dump)
    assert files_in(tmp_path) == ["dump", "file"]


def test_a_missing_input_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        preprocess_reddit(tmp_path / "out", tmp_path / "gone*")
    assert files_in(tmp_path) == []


SLOW_JOB = """
import sys, time
import pipelines.write
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.reddit import Reddit

write_shard = pipelines.write.write_shard
def slowly(*args, **kwargs):
    written = write_shard(*args, **kwargs)
    time.sleep(0.5)
    return written
pipelines.write.write_shard = slowly
run(Job(Reddit(), (sys.argv[1],), sys.argv[2], shard_size=int(sys.argv[3])))
"""


def test_a_killed_run_leaves_no_manifest_and_the_next_equals_a_clean_one(tmp_path, project_root):
    dump, output = write_dump(tmp_path / "dump", 80), tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    process = subprocess.Popen([sys.executable, "-c", SLOW_JOB, str(dump), str(output), "500"], env=environment)
    try:
        deadline = time.monotonic() + 600
        while not list(output.glob("*.tfrecord")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (output / "manifest.json").exists()
    assert list(output.glob(".staging-*"))  # killed in the middle, as was meant
    preprocess_reddit(output, dump)
    preprocess_reddit(tmp_path / "clean", dump)
    assert files_in(output) == files_in(tmp_path / "clean")
    assert contents(output) == contents(tmp_path / "clean")


def test_the_staging_folder_of_a_run_killed_at_once_is_cleared(tmp_path):
    output = tmp_path / "out"
    (output / ".staging-0123456789ab").mkdir(parents=True)
    (output / ".staging-0123456789ab" / "started").touch()
    preprocess_reddit(output, write_dump(tmp_path / "dump"))
    assert not list(output.glob(".staging-*"))


def test_a_dataset_can_have_another_name(tmp_path):
    manifest = preprocess_reddit(tmp_path / "out", write_dump(tmp_path / "dump"), dataset="reddit/2006")
    assert manifest.dataset == "reddit/2006"
    assert {pair.dataset for pair in read_pairs(manifest, "train")} == {"reddit/2006"}


def test_nothing_is_held_out_where_nothing_is_asked_for(tmp_path):
    job = Job(Reddit(test_fraction=0), (str(write_dump(tmp_path / "dump")),), str(tmp_path / "out"))
    (manifest,) = run(job)
    assert set(manifest.parts[0].splits) == {"train"} and manifest.records("train") == 80


def test_the_manifest_tells_command_options_and_inputs(tmp_path):
    dump = write_dump(tmp_path / "dump")
    command = ("pairstream", "preprocess", "reddit")
    part = preprocess_reddit(tmp_path / "out", dump, seed=3, command=command).parts[0]
    assert part.command == command
    assert part.inputs == {"files": 1, "bytes": dump.stat().st_size, "bad": []}
    rules = {"min_characters": 9, "max_characters": 127, "depth": 10, "test_fraction": 0.1}
    own = {"seed": 3, "shard_size": SMALL_SHARDS, "dedup": "exact", "max_per_text": None, "filters": "published"}
    assert part.options.items() >= {**own, **rules}.items()
    job = Job(RULES, (str(dump),), str(tmp_path / "out"), seed=3, shard_size=SMALL_SHARDS)
    assert part.options == json.loads(json.dumps(job.options))  # nothing that decides the bytes is left out


# The same bytes whatever the way. All of it is on: what one option hides another would show.


@pytest.fixture(scope="module")
def months(make_dump, tmp_path_factory):
    """Two months of our own, with .bz2 copies and the texts of an evaluation set that some pairs hold."""
    folder = tmp_path_factory.mktemp("months")
    for month in (1, 2):
        for ending in ("zst", "bz2"):
            make_dump(folder / f"RC_{month}.{ending}", 1500, seed=month, month=month)
    lines = bz2.decompress((folder / "RC_1.bz2").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines if line.startswith(b"{")]
    bodies = sorted({row["body"] for row in rows if 60 < len(row["body"]) < 127})
    (folder / "eval.txt").write_text("\n".join(bodies[::40]))
    return folder


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


# Stopped and started again

SLOW_STAGES = """
import sys, time
from pipelines import stages
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.reddit import Reddit

once = stages.Work._once
def slowly(*args):
    yield from once(*args)
    time.sleep(0.03)
stages.Work._once = slowly
run(Job(Reddit(), (sys.argv[1],), sys.argv[2], shard_size=20_000, passes=8, dedup="near", max_per_text=3))
"""


def start(script: str, *arguments: Path | str | int) -> subprocess.Popen:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], env=environment, stderr=subprocess.PIPE
    )


def finished_pieces(output: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in output.glob(".staging-*/done-*.json")}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_kills_at_random_moments_never_show_and_nothing_finished_is_done_again(months, tmp_path, seed):
    chance, output, inputs = random.Random(seed), tmp_path / "out", f"{months}/RC_*.zst"
    finished: dict[str, tuple[int, bytes]] = {}
    for _ in range(5):
        process = start(SLOW_STAGES, inputs, output)
        deadline = time.monotonic() + 600
        while not list(output.glob(".staging-*/done-*" if not finished else ".staging-*/tasks")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 2) if finished else 0)
        process.kill()
        process.communicate()
        if (output / "manifest.json").exists():
            break
        left = finished_pieces(output)
        assert {name: left.get(name) for name in finished} == finished
        finished = left
    assert finished
    if not (output / "manifest.json").exists():
        preprocess_reddit(output, inputs, passes=8, dedup="near", max_per_text=3)
        assert not list(output.glob(".staging-*"))
    preprocess_reddit(tmp_path / "clean", inputs, dedup="near", max_per_text=3)
    assert contents(output) == contents(tmp_path / "clean")
    assert list(verify(Manifest.load(output))) == []


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """(dump, output) of a job that Ctrl-C stopped when it had read its input."""
    dump, output = write_dump(tmp_path / "dump", 200), tmp_path / "out"

    def stop(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        yield from ()

    with monkeypatch.context() as patched:
        patched.setattr(reddit_source, "pair_thread", stop)
        with pytest.raises(KeyboardInterrupt):
            preprocess_reddit(output, dump)
    assert list(output.glob(".staging-*/done-stage0-*"))
    return dump, output


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_spill_is_one_clear_error_and_the_next_run_is_whole(tmp_path, stopped, damage):
    dump, output = stopped
    for spill in output.glob(".staging-*/spill-*"):
        content = bytearray(spill.read_bytes())
        content[len(content) // 3] ^= 1
        spill.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(OSError, match=r"spill-\w+: damaged or cut short; run the job again"):
        preprocess_reddit(output, dump)
    assert files_in(tmp_path) == ["dump"]
    preprocess_reddit(output, dump)
    preprocess_reddit(tmp_path / "clean", dump)
    assert contents(output) == contents(tmp_path / "clean")


@pytest.mark.parametrize("other", [{"seed": 1}, {"passes": 16}, {"max_per_text": 1}, {"dedup": "none"}], ids=str)
def test_another_job_takes_nothing_from_one_that_was_stopped(tmp_path, stopped, other):
    dump, output = stopped
    preprocess_reddit(output, dump, **other)
    preprocess_reddit(tmp_path / "clean", dump, **other)
    assert files_in(output) == files_in(tmp_path / "clean") and contents(output) == contents(tmp_path / "clean")


def test_an_input_that_has_changed_is_read_again(stopped):
    dump, output = stopped
    dump.write_bytes(dump.read_bytes().replace(b"comment of", b"remarks on"))
    assert all("remarks on" in pair.anchor for pair in read_pairs(preprocess_reddit(output, dump), "train"))


def test_two_jobs_never_write_to_one_output(tmp_path):
    dump, output = write_dump(tmp_path / "dump"), tmp_path / "out"
    process = start(SLOW_JOB, dump, output, 4000)
    try:
        deadline = time.monotonic() + 600
        while not list(output.glob("*.tfrecord")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(FileExistsError, match="another job is writing there; wait for it or choose another"):
            preprocess_reddit(output, dump, seed=1)
    finally:
        _, error = process.communicate()
    assert process.returncode == 0, error  # undisturbed
    preprocess_reddit(tmp_path / "clean", dump, shard_size=4000)
    assert contents(output) == contents(tmp_path / "clean")


FULL_DISK = """
import resource, sys
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.reddit import Reddit

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    run(Job(Reddit(), (sys.argv[1],), sys.argv[2], passes=64))
except (OSError, RuntimeError) as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [2_000, 15_000])
def test_a_file_that_cannot_grow_is_one_clear_error_and_leaves_nothing_half_written(tmp_path, limit):
    dump, output = write_dump(tmp_path / "dump", 200), tmp_path / "out"
    command = [sys.executable, "-c", FULL_DISK, str(dump), str(output), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert "File too large" in done.stdout and len(done.stdout.splitlines()) == 1
    assert final_files(tmp_path) == ["dump"]
    assert preprocess_reddit(output, dump).records("train") > 0


@pytest.mark.parametrize("failing", ["_write_cell_file", "write_shard"])
def test_a_disk_that_is_full_late_leaves_nothing_half_written(tmp_path, monkeypatch, failing):
    real, calls = getattr(write, failing), itertools.count()

    def until_full(*args, **kwargs):
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
        return real(*args, **kwargs)

    dump, output = write_dump(tmp_path / "dump", 100), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(write, failing, until_full)
        with pytest.raises((OSError, RuntimeError), match=r"^[^\n]*No space left on device[^\n]*$"):
            preprocess_reddit(output, dump, shard_size=500, passes=8)
    assert next(calls) == 3 and final_files(tmp_path) == ["dump"]
    preprocess_reddit(output, dump, shard_size=500, passes=8)
    preprocess_reddit(tmp_path / "clean", dump, shard_size=500)
    assert contents(output) == contents(tmp_path / "clean")


# What the options do, in the whole job


def write_thread(path: Path, *exchanges: tuple[str, ...]) -> Path:
    """A dump of threads of two comments each."""
    rows = [
        {"id": f"{n}{side}", "link_id": f"t3_x{n}", "parent_id": parent, "body": body}
        for n, exchange in enumerate(exchanges)
        for side, parent, body in zip("ab", (f"t3_x{n}", f"t1_{n}a"), exchange, strict=True)
    ]
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def drops_of(manifest: Manifest) -> dict[str, dict[str, int]]:
    return {stage.name: stage.drops for stage in manifest.parts[-1].funnel}


SENTENCE = "the quick walker number {} told us about a house beside the water"


def test_all_planted_evaluation_texts_are_found_and_counted_by_set(tmp_path):
    ordinary = [(f"an ordinary question {n}", f"an ordinary answer {n}") for n in range(300)]
    planted = [(f"which one was it {n}", SENTENCE.format(n).upper() + "  ") for n in range(20)]
    planted += [(SENTENCE.format(n), f"reply to that is {n}") for n in range(20, 30)]
    for name, numbers in (("one", range(15)), ("two", range(15, 40))):
        (tmp_path / f"{name}.txt").write_text("\n".join(SENTENCE.format(n) for n in numbers))
    dump = write_thread(tmp_path / "dump", *ordinary, *planted)
    evaluation = EvalOptions(eval_texts=(str(tmp_path / "one.txt"), str(tmp_path / "two.txt")), eval_ngram=0)
    plain = preprocess_reddit(tmp_path / "plain", dump)
    clean = preprocess_reddit(tmp_path / "clean", dump, evaluation=evaluation)
    assert drops_of(clean)["decontaminate"] == {"one": 15, "two": 15}
    left = {pair for split in ("train", "test") for pair in read_pairs(clean, split)}
    assert left == {
        pair
        for split in ("train", "test")
        for pair in read_pairs(plain, split)
        if "walker" not in (pair.anchor + pair.positive).lower()
    }
    assert len(left) == 300
    options = clean.parts[0].options
    (tmp_path / "two.txt").write_text("another text altogether")
    other = preprocess_reddit(tmp_path / "other", dump, evaluation=evaluation)
    assert options["eval_texts_hash"] != other.parts[0].options["eval_texts_hash"]
    assert "eval_texts_hash" not in plain.parts[0].options
    assert drops_of(other)["decontaminate"] == {"one": 15}


def test_planted_near_duplicates_go_and_nothing_else(tmp_path):
    chance = random.Random(0)
    originals = [
        tuple(" ".join(chance.choices([f"w{chance.randrange(500)}x" for _ in range(40)], k=20)) for _ in range(2))
        for _ in range(60)
    ]
    copies = [(anchor.upper() + "!", positive.replace(" ", ", ", 2)) for anchor, positive in originals[:25]]
    dump = write_thread(tmp_path / "dump", *originals, *copies)
    exact = preprocess_reddit(tmp_path / "exact", dump)
    assert drops_of(exact)["dedup"] == {} and exact.records("train") + exact.records("test") == 85
    nears = [preprocess_reddit(tmp_path / f"near{n}", dump, dedup="near", passes=n) for n in (1, 8, 64)]
    for near in nears:
        assert drops_of(near)["dedup"] == {"near_duplicate": 25}
        assert contents(Path(near.folder)) == contents(Path(nears[0].folder))
        assert near.parts[0].options["dedup"] == "near"
        left = [pair for split in ("train", "test") for pair in read_pairs(near, split)]
        words = {tuple(re.findall(r"\w+", pair.anchor.lower())) for pair in left}
        assert len(left) == len(words) == 60


def test_without_dedup_exact_copies_stay_and_the_options_say_so(tmp_path):
    dump = write_thread(
        tmp_path / "dump", *[("the same question", "the same answer")] * 5, ("another one", "its answer")
    )
    exact = preprocess_reddit(tmp_path / "exact", dump)
    none = preprocess_reddit(tmp_path / "none", dump, dedup="none")
    assert exact.records("train") + exact.records("test") == 2
    assert none.records("train") + none.records("test") == 6
    assert (exact.parts[0].options["dedup"], none.parts[0].options["dedup"]) == ("exact", "none")
    assert drops_of(exact)["dedup"] == {"duplicate": 4} and drops_of(none)["dedup"] == {}
    assert list(verify(none)) == []


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_no_text_stands_in_more_pairs_than_it_may_and_the_first_of_the_global_order_stay(months, tmp_path, most):
    inputs = f"{months}/RC_*.zst"
    all_pairs = preprocess_reddit(tmp_path / "all", inputs)
    capped = preprocess_reddit(tmp_path / "capped", inputs, max_per_text=most)
    pairs = {split: read_pairs(all_pairs, split) for split in ("train", "test")}
    keys: defaultdict[str, list[int]] = defaultdict(list)
    for pair in itertools.chain(*pairs.values()):
        for text in {fold(text) for text in pair.texts}:
            keys[text].append(shuffle_key(fingerprint(pair).pair, 0))
    limits = {text: sorted(of_text)[:most][-1] for text, of_text in keys.items()}
    expected = {
        split: [
            pair
            for pair in of_split
            if all(shuffle_key(fingerprint(pair).pair, 0) <= limits[fold(text)] for text in pair.texts)
        ]
        for split, of_split in pairs.items()
    }
    assert {split: read_pairs(capped, split) for split in ("train", "test")} == expected
    dropped = sum(map(len, pairs.values())) - sum(map(len, expected.values()))
    assert drops_of(capped)["cap"] == ({"text_too_frequent": dropped} if dropped else {})
    assert bool(dropped) == (most < 1000)


# The graph and the memory


class BuiltError(Exception):
    """The graph is there, and was not run."""


@pytest.mark.parametrize("how", ["glob", "list"])
def test_the_graph_does_not_grow_with_the_files(tmp_path, monkeypatch, how):
    """`run` builds the graph and is stopped before the runner sees it."""
    sizes = []

    def build_alone(pipeline, job, layout):
        build(pipeline, job, layout)
        sizes.append(pipeline.to_runner_api().ByteSize())
        raise BuiltError

    monkeypatch.setattr(preprocess, "build", build_alone)
    for count in (10, 10_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"RC_{hashlib.md5(b'%d' % number).hexdigest()}").touch()
        inputs = [f"{folder}/RC_*"] if how == "glob" else sorted(map(str, folder.iterdir()))
        with pytest.raises(BuiltError):
            preprocess_reddit(tmp_path / "out", *inputs, dedup="near", max_per_text=3, command=("preprocess", *inputs))
    assert sizes[1] < 1_000_000
    if how == "glob":  # a list is part of the command, which the manifest tells; shells take two megabytes of it
        assert sizes[1] < 1.03 * sizes[0]


MEASURED_JOB = """
import os, resource, sys
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.reddit import Reddit

(manifest,) = run(Job(Reddit(), (sys.argv[1],), sys.argv[2], memory="450M"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if os.path.exists("/proc/self/status"):  # where the other figure begins with that of the process that started this one
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(manifest.parts[0].read, peak << 10)
"""


@pytest.mark.slow
def test_memory_stays_under_the_limit_while_the_input_grows_four_fold(make_dump, tmp_path, project_root):
    for number in range(4):
        make_dump(tmp_path / f"RC_{number}", 100_000, seed=number, month=number)
    peaks, read = [], []
    for glob in ("RC_0", "RC_*"):
        command = [sys.executable, "-c", MEASURED_JOB, str(tmp_path / glob), str(tmp_path / f"out{len(read)}")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=project_root, check=True)
        records, peak = map(int, done.stdout.split())
        read.append(records)
        peaks.append(peak)
    assert read[1] == 4 * read[0]
    assert peaks[1] < 1.5 * peaks[0] and peaks[1] < 450 << 20


# Docstrings: two datasets, and functions that lie in many packages.


def module_in(split: str) -> str:
    return next(name for name in map("module{}".format, range(500)) if split_of_thread(name) == split)


def function(name: str, summary: str, value: str) -> str:
    docstring = f"{summary}\n\n    A longer rest about {value}, with some words more.\n    "
    return f'def {name}():\n    """{docstring}"""\n    return "{value * 5}"\n\n\n'


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A train module that shares one whole function and one summary with a test module."""
    folder = tmp_path_factory.mktemp("sources")
    shared = function("shared", "The very same function.", "shared value")
    in_test = shared + function("two", "A summary in both.", "value in test")
    in_train = (
        shared
        + function("two", "A  summary in BOTH.", "value in train")
        + function("own", "Only in train here.", "own value")
    )
    (folder / f"{module_in('test')}.py").write_text(in_test)
    (folder / f"{module_in('train')}.py").write_text(in_train)
    return folder


def test_a_train_pair_whose_text_stands_in_test_is_dropped_and_counted(sources, tmp_path):
    manifests = run(Job(Docstrings(), (str(sources),), str(tmp_path / "out")))
    assert [manifest.dataset for manifest in manifests] == ["docstring_code", "docstring_body"]
    for manifest in manifests:
        assert manifest.folder == str(tmp_path / "out" / manifest.dataset)
        assert [pair.anchor for pair in read_pairs(manifest, "train")] == ["Only in train here."]
        assert {pair.anchor for pair in read_pairs(manifest, "test")} == {
            "The very same function.",
            "A summary in both.",
        }
        drops = {reason: n for stage in manifest.parts[0].funnel for reason, n in stage.drops.items()}
        assert manifest.parts[0].read == 5 and drops == {"duplicate": 1, "train_text_in_test": 1}
        assert list(verify(manifest)) == []


def test_no_train_text_of_real_sources_stands_in_test(tmp_path):
    folder = Path(json.__file__).parent.parent / "asyncio"
    manifests = run(Job(Docstrings(test_fraction=0.3), (str(folder),), str(tmp_path / "out")))
    texts = {
        split: {fold(text) for manifest in manifests for pair in read_pairs(manifest, split) for text in pair.texts}
        for split in ("train", "test")
    }
    assert min(map(len, texts.values())) > 20
    assert not texts["train"] & texts["test"]


def test_one_complete_dataset_of_two_refuses_the_job(sources, tmp_path):
    job = Job(Docstrings(), (str(sources),), str(tmp_path / "out"))
    run(job)
    (tmp_path / "out/docstring_code/manifest.json").unlink()
    with pytest.raises(FileExistsError, match="docstring_body"):
        run(job)


def test_a_failure_leaves_no_folder_of_either_dataset(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/empty.py").write_text("x = 1\n")
    with pytest.raises(JobError, match=r"no pair is left to write \(no record was read\)"):
        run(Job(Docstrings(), (str(tmp_path / "src"),), str(tmp_path / "out")))
    assert files_in(tmp_path) == ["src", "src/empty.py"]


def test_shards_that_no_job_of_ours_left_are_never_removed(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    precious = output / "train-00000-of-00001.tfrecord"  # the name that TensorFlow's own writers use
    precious.write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="belongs to no manifest"):
            preprocess_reddit(output, write_dump(tmp_path / "dump"), overwrite=overwrite)
    assert precious.read_bytes() == b"mine" and files_in(output) == [precious.name]


def test_a_folder_of_datasets_does_not_become_one_itself(tmp_path):
    dump = write_dump(tmp_path / "dump")
    preprocess_reddit(tmp_path / "data" / "reddit", dump)
    with pytest.raises(FileExistsError, match=r"data holds datasets, such as reddit; expected .* such as .*data/NAME"):
        preprocess_reddit(tmp_path / "data", dump, overwrite=True)
    assert files_in(tmp_path / "data") == ["reddit", *(f"reddit/{name}" for name in files_in(tmp_path / "data/reddit"))]


def test_a_dataset_is_not_overwritten_by_a_source_that_writes_folders_below_it(tmp_path):
    output = tmp_path / "out"
    kept = preprocess_reddit(output, write_dump(tmp_path / "dump"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "m.py").write_text("def f():\n    pass\n")
    with pytest.raises(FileExistsError, match="is itself a dataset"):
        run(Job(Docstrings(), (str(tmp_path / "src"),), str(output), overwrite=True))
    assert not list(verify(Manifest.load(output))) and Manifest.load(output) == kept


INTERRUPTED_JOB = """
import os, signal, sys
import pipelines.sources.reddit as reddit
from pipelines.job import Job
from pipelines.preprocess import run

pair_thread = reddit.pair_thread
def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    return pair_thread(*args, **kwargs)
reddit.pair_thread = interrupted
try:
    run(Job(reddit.Reddit(), (sys.argv[1],), sys.argv[2], spill={"spill": True, "": False}[sys.argv[3]]))
except KeyboardInterrupt as error:
    print("interrupted", error.__suppress_context__)
"""


def interrupt_job(dump: Path, output: Path, spill: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED_JOB, str(dump), str(output), spill]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout == "interrupted True\n"


def test_ctrl_c_comes_out_as_itself_and_leaves_nothing_that_could_not_be_taken_up(tmp_path):
    interrupt_job(write_dump(tmp_path / "dump"), tmp_path / "out", "")
    assert files_in(tmp_path) == ["dump"]


def test_after_ctrl_c_the_same_call_takes_up_what_was_read(tmp_path, monkeypatch):
    dump, output = write_dump(tmp_path / "dump"), tmp_path / "out"
    interrupt_job(dump, output, "spill")
    assert list(output.glob(".staging-*/done-stage0-*")) and not (output / "manifest.json").exists()
    with monkeypatch.context() as patched:
        patched.setattr(reddit_source, "comment_from_row", None)  # would fail if anything were read again
        run(Job(Reddit(), (str(dump),), str(output)))
    run(Job(Reddit(), (str(dump),), str(tmp_path / "clean")))
    assert files_in(output) == files_in(tmp_path / "clean") and contents(output) == contents(tmp_path / "clean")
