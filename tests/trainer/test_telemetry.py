"""A run's logs: what TensorBoard shows of them, and what a full disk makes of them."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from trainer.guards import clear_when_full
from trainer.telemetry import Telemetry

METRICS = {"loss": 2.5, "pairs_per_second": 100.0}


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}


def test_tensorboard_shows_every_value_and_after_a_resume_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start, steps, loss in ((0, range(1, 5), 2.0), (2, range(3, 5), 1.0)):
        monkeypatch.setattr("time.time", lambda second=1_700_000_000 + start: second)  # files are read in this order
        with Telemetry(tmp_path, steps=4, start=start, batch_size=8) as telemetry:
            for step in steps:
                telemetry.log(step, METRICS | {"loss": loss}, {"a b": [4.0, 8.0, 2.0]})
            telemetry.score(4, {"mean": 0.5})
    monkeypatch.undo()
    shown = curves(tmp_path)
    assert shown["loss"] == [(1, 2.0), (2, 2.0), (3, 1.0), (4, 1.0)]
    assert shown["loss_of_datasets/a_b"][0] == (1, 2.0) and shown["scores/mean"] == [(4, 0.5)]


class FullFile:
    """What a file on a full disk does."""

    def write(self, _: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    flush = close = lambda self: self.write(b"")


@pytest.mark.parametrize("file", ["_board", "_jsonl"])
def test_a_full_disk_is_one_line_and_no_thread_says_anything_else(
    file: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = set(threading.enumerate())
    with (
        pytest.raises(OSError, match=r"no space left on the disk; there is no checkpoint yet; free some"),
        clear_when_full(tmp_path),
        Telemetry(tmp_path, steps=40, start=0, batch_size=8) as telemetry,
    ):
        if file == "_board":
            telemetry._board._file = FullFile()  # type: ignore[assignment]
        else:
            telemetry._jsonl = FullFile()  # type: ignore[assignment]
        for step in range(1, 41):  # more than any queue of a writer holds
            telemetry.log(step, METRICS)
    assert set(threading.enumerate()) == threads
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_not_on_disk_when_a_run_ends_well_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="no space left on the disk"),
        clear_when_full(tmp_path),
        Telemetry(tmp_path, steps=1, start=0, batch_size=8) as telemetry,
    ):
        telemetry._board._file = FullFile()  # type: ignore[assignment]
