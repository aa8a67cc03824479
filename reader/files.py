"""A bounded pool of open files, read by ranges from several threads."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

MAX_OPEN = 48
"""Files a pool holds open, however many shards a mixture has."""


class RangeFile(Protocol):
    """An open file whose ranges any thread may read; it closes when nobody holds it."""

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`; fewer where the file ends before."""
        ...


class LocalFile:
    """A file of the local file system."""

    def __init__(self, path: str) -> None:
        self._descriptor: int | None = None
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self, begin: int, end: int) -> bytes:
        assert self._descriptor is not None
        data = os.pread(self._descriptor, end - begin, begin)
        while len(data) < end - begin:  # a signal or a network file system may cut a read short
            more = os.pread(self._descriptor, end - begin - len(data), begin + len(data))
            if not more:
                break
            data += more
        return data

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class FilePool:
    """The most recently used files stay open, `max_open` of them at most.

    A reader makes a pool of its own and drops it at its end, so a file that was written anew since
    is opened anew.
    """

    def __init__(self, open_file: Callable[[str], RangeFile] = LocalFile, max_open: int = MAX_OPEN) -> None:
        self._open_file, self._max_open = open_file, max_open
        self._files: OrderedDict[str, RangeFile] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, begin: int, end: int) -> bytes:
        """The bytes of a file from `begin` to `end`. Raises OSError."""
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
        if file is None:
            file = self._open_file(path)  # outside the lock: a bucket takes its time
            with self._lock:
                self._files[path] = file
                if len(self._files) > self._max_open:
                    self._files.popitem(last=False)
        return file.read(begin, end)  # an evicted file closes when its last read is done

    def __len__(self) -> int:
        return len(self._files)
