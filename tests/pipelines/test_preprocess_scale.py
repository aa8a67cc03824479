"""The graph and the memory of a job do not grow with its input."""

import hashlib
import subprocess
import sys

import pytest
from jobs import (
    preprocess_reddit,
)

from pipelines import preprocess
from pipelines.preprocess import build


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
