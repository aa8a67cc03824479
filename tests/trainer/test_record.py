"""What a run's folder tells of its training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from trainer.record import Record, read_record, write_record


def test_command_and_devices_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/pairstream/__main__.py", "train", "quickstart", "--set", "name=a b"])
    write_record(tmp_path)
    record = read_record(tmp_path, 10, 64)
    assert record.command == "pairstream train quickstart --set 'name=a b'"
    assert "8 × cpu" in record.hardware and "1 host," in record.hardware


def test_time_is_that_of_the_steps_up_to_the_exported_one(tmp_path: Path) -> None:
    speeds = {10: 64.0, 20: 32.0, 30: 1.0}
    lines = [json.dumps({"step": step, "pairs_per_second": speed}) for step, speed in speeds.items()]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert read_record(tmp_path, 20, 64).seconds == pytest.approx(10 + 20)


def test_a_run_without_records_tells_nothing(tmp_path: Path) -> None:
    assert read_record(tmp_path, 10, 64) == Record()
    (tmp_path / "record.json").write_text("{")
    assert read_record(tmp_path, 10, 64) == Record()
