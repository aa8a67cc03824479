"""One job at a time writes into a folder, whichever command it is of."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}


@contextmanager
def locked(root: str) -> Iterator[None]:
    """Hold a local folder for one job, making it where it is not there; a kill lets go of it.

    Raises FileExistsError when another job of this machine is writing there. A folder that was made for a job that
    fails goes again while it is empty. Nothing is held behind a URL, or where the file system knows no locks.
    """
    if "://" in root:
        yield
        return
    there = os.path.isdir(root)
    if os.path.exists(root) and not there:
        raise NotADirectoryError(f"{root} is a file; expected a folder to write into: choose another --output")
    os.makedirs(root, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY)
    try:
        _hold(descriptor, root)
        yield
    except BaseException:
        if not there and os.path.isdir(root) and not os.listdir(root):
            os.rmdir(root)
        raise
    finally:
        os.close(descriptor)


def _hold(descriptor: int, root: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileExistsError(f"{root}: another job is writing there; wait for it or choose another --output") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
