"""TensorBoard's event files, written by whoever has something to say: a full disk is an error in his own thread.

tensorboardX's writer has a thread for it, which an error ends with a traceback; who writes next waits for ever.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

from schemas.shards import frame

_EVENTS: Any = event_pb2
VERSION = "brain.Event:2"


class EventFile:
    """A new file of scalars in a folder of such files. Raises OSError when the disk is full."""

    def __init__(self, folder: Path, purge_step: int) -> None:
        """What older files say of `purge_step` and later steps is not shown any more."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("ab")
        start = _EVENTS.SessionLog(status=_EVENTS.SessionLog.START)
        for event in (
            _EVENTS.Event(file_version=VERSION),
            _EVENTS.Event(step=purge_step, file_version=VERSION),
            _EVENTS.Event(step=purge_step, session_log=start),
        ):
            self._write(event)

    def scalar(self, name: str, value: float, step: int) -> None:
        """One point of a curve; on disk after `flush`."""
        self._write(_EVENTS.Event(step=step, summary=scalar(name, value)))

    def flush(self) -> None:
        """Let readers see what was written."""
        self._file.flush()

    def close(self) -> None:
        """The file is closed even where this raises."""
        self._file.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._file.write(frame(event.SerializeToString()))
