import bz2
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources import reddit as reddit_source
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit
from schemas.example import decode_pair
from schemas.manifest import Manifest, verify
from schemas.pair import Pair
from schemas.shards import read_shard

SMALL_SHARDS = 20_000
RULES = Reddit()


def preprocess_reddit(output: Path, *inputs: Path | str, **changes) -> Manifest:
    job = Job(RULES, tuple(map(str, inputs)), str(output), **{"shard_size": SMALL_SHARDS, **changes})
    (manifest,) = run(job)
    return manifest


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset but the manifest, which tells of inputs and commands."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


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
run(Job(Reddit(), (sys.argv[1],), sys.argv[2], shard_size=500))
"""


def test_a_killed_run_leaves_no_manifest_and_the_next_equals_a_clean_one(tmp_path, project_root):
    dump, output = write_dump(tmp_path / "dump", 80), tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    process = subprocess.Popen([sys.executable, "-c", SLOW_JOB, str(dump), str(output)], env=environment)
    try:
        deadline = time.monotonic() + 60
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
