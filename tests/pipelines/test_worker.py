import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_CHILD = """
import os
from pipelines.worker import end_with

job = os.getppid()
print(os.getpid(), flush=True)
end_with(job)
"""
_JOB = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"


def test_a_worker_ends_when_its_job_was_killed():
    job = subprocess.Popen([sys.executable, "-c", _JOB], stdout=subprocess.PIPE, text=True)
    assert job.stdout
    worker = int(job.stdout.readline())
    os.kill(worker, 0)  # it is there
    job.send_signal(signal.SIGKILL)
    job.wait()
    for _ in range(200):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if (
            os.path.exists(stat := f"/proc/{worker}/stat")
            and Path(stat).read_text().rsplit(")", 1)[1].split()[0] == "Z"
        ):
            return  # ended, and nobody reaps it here
        time.sleep(0.1)
    raise AssertionError("the worker outlived its job by 20 seconds")
