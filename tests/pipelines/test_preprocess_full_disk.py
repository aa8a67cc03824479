"""A disk that is full leaves nothing half-written."""

import errno
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import contents, files_in, preprocess_reddit, write_dump

from pipelines import write


def final_files(folder: Path) -> list[str]:
    """Files that are not what a job that failed keeps to go on with; of that nothing may be half-written."""
    kept = [name for name in files_in(folder) if ".staging-" in name]
    assert not [name for name in kept if name.endswith(".part")]
    return [name for name in files_in(folder) if name not in kept and (folder / name).is_file()]


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
