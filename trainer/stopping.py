"""Ctrl-C and SIGTERM: asked once, a run ends after the step under way, with a checkpoint; asked twice, at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.guards import say

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # the exit status of all our commands when interrupted


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """A list that is no longer empty once the process was asked to stop. For the main thread.

    A second signal of the same kind ends the process at once. Python runs its handlers in the main thread, and not
    while that waits in compiled code for data that do not come: so a thread is told of each signal by the
    interpreter's wakeup file. `pairstream run` hands Ctrl-C on as SIGTERM, hence one of each is one request.
    """
    received: list[int] = []
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    watcher = threading.Thread(target=_watch, args=(told,), name="signals", daemon=True)
    watcher.start()
    earlier_file = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    earlier = {number: signal.signal(number, lambda number, _: received.append(number)) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(earlier_file)
        os.close(tell)  # which ends the watcher's file
        watcher.join()
        os.close(told)


def _watch(told: int) -> None:
    seen: Counter[int] = Counter()
    while received := os.read(told, 1):
        if (number := received[0]) not in SIGNALS:
            continue
        seen[number] += 1
        if seen[number] > 1:
            _end()
        if seen.total() == 1:
            say("asked to stop: after the step under way, with a checkpoint; asked again, at once and without")


def _end() -> None:
    """Not through `sys.stderr`, whose lock the main thread may hold for ever."""
    cursor = b"\x1b[?25h" if sys.__stderr__ is not None and sys.__stderr__.isatty() else b""  # a progress bar hides it
    os.write(2, cursor + b"stopped at once; what was saved before is kept, run the same command again\n")
    os._exit(INTERRUPTED)
