"""Ctrl-C and SIGTERM: what one asks for and what two do, also where Python's own handlers never run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from corpora import write_run

from trainer.stopping import SIGNALS, stop_on_signal

# The run's first batch never comes: a thread of tf.data waits for ever, and the main thread in compiled code for it.
HANGS = """
import sys, threading
import reader.stream
from pairstream.cli import main

reader.stream.fetch = lambda *_: threading.Event().wait()
sys.exit(main(["train", sys.argv[1], "--output", sys.argv[2]]))
"""


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_whose_data_never_come(tmp_path: Path) -> None:
    config = write_run(tmp_path, stall_seconds=0.2)
    (tmp_path / "run.json").write_text(json.dumps(config.to_json()))
    with (tmp_path / "said").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", HANGS, str(tmp_path / "run.json"), str(tmp_path / "run")], stderr=err
        )
    try:
        wait_until_it_says("no batch for 0.2 seconds", process, tmp_path / "said")
        process.send_signal(signal.SIGINT)
        wait_until_it_says("asked to stop: after the step under way", process, tmp_path / "said")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "said").read_text()
    assert said.splitlines()[-1].startswith("stopped at once; what was saved before is kept")
    assert "Traceback" not in said


def wait_until_it_says(words: str, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + 600
    while words not in said.read_text():
        assert process.poll() is None and time.monotonic() < until, said.read_text()
        time.sleep(0.02)


def test_one_of_each_signal_is_one_request_and_what_was_before_comes_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before, threads = [signal.getsignal(number) for number in SIGNALS], threading.active_count()
    with stop_on_signal() as received:
        assert not received
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        until = time.monotonic() + 600
        while len(received) < 2 or "asked to stop" not in (said := capfd.readouterr().err):
            assert time.monotonic() < until
            time.sleep(0.01)
    assert sorted(received) == sorted(SIGNALS) and said.count("\n") == 1
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert threading.active_count() == threads and signal.set_wakeup_fd(-1) == -1
