"""A job that is killed, interrupted, damaged or out of disk, and the one after it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import contents, files_in, preprocess_reddit, read_pairs, start, write_dump

from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources import reddit as reddit_source
from pipelines.sources.reddit import Reddit
from schemas.manifest import Manifest, verify

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
