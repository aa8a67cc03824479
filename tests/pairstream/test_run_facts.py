import json
import os
from datetime import UTC, datetime
from typing import Any

import jax.numpy as jnp
import pytest

from pairstream import run_facts
from pairstream.run_facts import RunFacts, is_run, read_facts
from trainer.checkpoint import CHECKPOINTS_FOLDER, Checkpoints
from trainer.record import RECORD_FILE, write_record
from trainer.run_folder import CONFIG_FILE
from trainer.telemetry import METRICS_FILE


def test_the_files_have_the_names_that_the_trainer_gives_them():
    ours = (run_facts.CONFIG, run_facts.RECORD, run_facts.LOG, run_facts.CHECKPOINTS)
    assert ours == (CONFIG_FILE, RECORD_FILE, METRICS_FILE, CHECKPOINTS_FOLDER)


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [(1, None, "")],
        [(1, 0.5, "a"), (2, 0.7, "a"), (3, 0.6, "a")],
        [(1, 0.5, "a"), (2, 0.5, "a"), (3, None, "")],  # of equals the later
        [(1, 0.9, "a"), (2, 0.3, "b"), (3, 0.2, "b")],  # scores of another measure cannot be compared
    ],
)
def test_checkpoints_and_the_best_are_those_that_the_trainer_finds(tmp_path, scores):
    state: Any = {"a": jnp.zeros(1)}
    with Checkpoints(tmp_path / CHECKPOINTS_FOLDER, keep=9) as checkpoints:
        for step, score, measure in scores:
            checkpoints.save(state, step, {}, score=score, measure=measure)
    (tmp_path / CHECKPOINTS_FOLDER / "9.orbax-checkpoint-tmp-1").mkdir()  # one that a kill left unfinished
    found = read_facts(tmp_path)
    with Checkpoints(tmp_path / CHECKPOINTS_FOLDER, read_only=True) as checkpoints:
        assert list(found.checkpoints) == checkpoints.steps
        assert (found.best and tuple(found.best[:2])) == checkpoints.best
        assert not found.best or found.best.measure == checkpoints.measure


def test_command_and_hardware_are_those_of_the_record(tmp_path):
    write_record(tmp_path)
    noted = json.loads((tmp_path / RECORD_FILE).read_text())
    found = read_facts(tmp_path)
    assert noted["hardware"] and (found.command, found.hardware) == (noted["command"], noted["hardware"])
    (tmp_path / METRICS_FILE).write_bytes(b"")
    for name, seconds in ((RECORD_FILE, 1_800_000_000), (METRICS_FILE, 1_800_000_060)):
        os.utime(tmp_path / name, (seconds, seconds))
    found = read_facts(tmp_path)
    assert found.begun == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert found.written == datetime(2027, 1, 15, 8, 1, tzinfo=UTC)


def test_a_folder_that_tells_nothing_is_no_error(tmp_path):
    assert read_facts(tmp_path / "none") == RunFacts()
    (tmp_path / RECORD_FILE).write_text("{")
    (tmp_path / CHECKPOINTS_FOLDER / "5" / "metrics" / "metrics").mkdir(parents=True)
    found = read_facts(tmp_path)
    assert (found.command, found.hardware, found.checkpoints, found.best) == ("", "", (5,), None)


def test_an_encoders_folder_is_no_runs(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("{}")
    assert not is_run(tmp_path)
    (tmp_path / METRICS_FILE).write_bytes(b"")
    assert is_run(tmp_path)
