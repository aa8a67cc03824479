from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from schemas.lock import locked


def test_an_output_is_held_by_one_job_and_let_go(tmp_path: Path) -> None:
    root = tmp_path / "out"
    with locked(str(root)):
        with pytest.raises(FileExistsError, match="another job is writing there"), locked(str(root)):
            pass
        (root / "file").touch()
    with locked(str(root)):
        pass
    with pytest.raises(RuntimeError), locked(str(tmp_path / "other")):
        raise RuntimeError
    assert not (tmp_path / "other").exists()  # it was not there before
    with locked("gs://bucket/out"):
        pass


def test_a_file_system_without_locks_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(str(tmp_path / "out")):
        assert (tmp_path / "out").is_dir()
