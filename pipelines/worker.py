"""A worker process of a local run: Beam's own, which logs nothing and does not outlive the job.

It tells its errors to the runner. A job that was killed cannot stop its workers, so they look for it.
"""

import logging
import os
import sys
import threading
import time

_LOOK_SECONDS = 0.5


def end_with(job: int) -> None:
    """End this process once it is no longer a child of the job's."""
    while os.getppid() == job:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    logging.disable()
    from apache_beam.runners.worker import sdk_worker_main  # which logs as it is imported

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # it prints the traceback of each error that it tells
    sdk_worker_main.main(sys.argv)
