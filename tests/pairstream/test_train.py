from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SWALLOWED = """
import os, signal, sys, time
from pairstream.cli import main
from pairstream.quiet import quiet_libraries

quiet_libraries()
import trainer.train

def train(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except BaseException:  # as a callback of a library's does
        pass
    print("went on")

trainer.train.train = train
sys.exit(main(["train", "quickstart", "--output", sys.argv[1]]))
"""


@pytest.mark.slow
def test_ctrl_c_before_the_first_step_is_never_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SWALLOWED, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines() == [
        "pairstream train: interrupted; what was finished is kept, run the same command again"
    ]
