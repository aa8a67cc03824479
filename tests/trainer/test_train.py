"""Runs: what a kill, a signal and a second call leave."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from corpora import topic_pairs, write_dataset, write_run

from pairstream.cli import main
from schemas.lock import locked
from trainer.checkpoint import Checkpoints
from trainer.config import LossConfig, OptimizerConfig, PackConfig, TrainConfig
from trainer.encoders.weights import load_encoder
from trainer.run_folder import load_config
from trainer.step import init_state
from trainer.train import train


def lines(folder: Path) -> list[dict[str, float]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def without_speed(folder: Path) -> list[dict[str, float]]:
    speed = {"pairs_per_second", "tokens_per_second", "padded_tokens_per_second", "data_wait"}
    return [{key: value for key, value in line.items() if key not in speed} for line in lines(folder)]


def final_state(config: TrainConfig, folder: Path) -> list[np.ndarray]:
    _, like = init_state(load_encoder(config.encoder), config)
    checkpoints = Checkpoints(folder / "checkpoints")
    state, _ = checkpoints.restore(like)
    checkpoints.close()
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def start(config: TrainConfig, folder: Path, root: Path) -> subprocess.Popen[bytes]:
    path = root / f"{folder.name}.json"
    path.write_text(json.dumps(config.to_json()))
    command = [sys.executable, "-m", "pairstream", "train", str(path), "--output", str(folder)]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_step(process: subprocess.Popen[bytes], folder: Path, step: int) -> None:
    until = time.monotonic() + 600
    while not any(line["step"] >= step for line in lines(folder)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "the run does not get there"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path, Path]:
    """(config, run folder, root) of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("runs")
    config = write_run(root)
    done = train(config, root / "whole")
    assert (done.step, done.resumed_from, done.interrupted) == (20, 0, False)
    return config, root / "whole", root


def test_a_run_learns_and_logs_every_step(whole_run: tuple[TrainConfig, Path, Path]) -> None:
    _, folder, _ = whole_run
    logged = lines(folder)
    assert [line["step"] for line in logged] == list(range(1, 21))
    first, last = (np.mean([line["loss"] for line in part]) for part in (logged[:4], logged[-4:]))
    assert last < first
    assert any((folder / "tensorboard").iterdir())


def test_the_log_has_loss_and_accuracy_of_each_dataset(whole_run: tuple[TrainConfig, Path, Path]) -> None:
    config, folder, _ = whole_run
    for line in json.loads(f"[{','.join((folder / 'metrics.jsonl').read_text().splitlines())}]"):
        of_each = line["datasets"]
        assert set(of_each) <= {"a", "b"}
        assert sum(one["pairs"] for one in of_each.values()) == config.batch_size
        for what in ("loss", "accuracy"):
            mean = sum(one["pairs"] * one[what] for one in of_each.values()) / config.batch_size
            assert mean == pytest.approx(line[what], rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, 11])
def test_twenty_steps_equal_some_a_kill_and_the_rest(step: int, whole_run: tuple[TrainConfig, Path, Path]) -> None:
    config, whole, root = whole_run
    folder = root / f"killed-{step}"
    process = start(dataclasses.replace(config), folder, root)
    wait_for_step(process, folder, step)
    process.kill()
    process.wait()
    done = train(config, folder)
    assert done.step == 20
    for ours, theirs in zip(final_state(config, folder), final_state(config, whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert without_speed(folder) == without_speed(whole)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_kill_in_the_middle_of_a_save_changes_nothing(dtype: str, tmp_path: Path) -> None:
    config = write_run(tmp_path, compute_dtype=dtype, checkpoint_every=2, log_every=3)
    folder = tmp_path / "killed"
    process = start(config, folder, tmp_path)
    wait_for_step(process, folder, random.Random(dtype).randint(3, 15))
    assert kill_within_a_save(process, folder / "checkpoints"), "the run ended before a save was seen"
    done = train(config, folder)
    train(config, tmp_path / "whole")
    assert done.step == 20 and done.resumed_from > 0
    assert all(path.name.isdecimal() for path in (folder / "checkpoints").iterdir())
    for ours, theirs in zip(final_state(config, folder), final_state(config, tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert without_speed(folder) == without_speed(tmp_path / "whole")


def kill_within_a_save(process: subprocess.Popen[bytes], checkpoints: Path) -> list[str]:
    """SIGKILL as soon as a checkpoint is half written; the names of what is half written afterwards."""
    while process.poll() is None:
        if any("tmp" in entry.name for entry in os.scandir(checkpoints)):
            process.kill()
            process.wait()
            # A save may have become whole between the look and the kill: that is a kill at a random moment, too.
            return [entry.name for entry in os.scandir(checkpoints)]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(
    number: signal.Signals, whole_run: tuple[TrainConfig, Path, Path]
) -> None:
    config, whole, root = whole_run
    folder = root / f"stopped-{number.name}"
    process = start(dataclasses.replace(config, checkpoint_every=1000), folder, root)
    wait_for_step(process, folder, 3)
    process.send_signal(number)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert b"Traceback" not in err and b"the same command goes on" in out
    stopped_at = lines(folder)[-1]["step"]
    done = train(config, folder)
    assert (done.resumed_from, done.step) == (stopped_at, 20)
    for ours, theirs in zip(final_state(config, folder), final_state(config, whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_run_does_nothing_more(whole_run: tuple[TrainConfig, Path, Path]) -> None:
    config, folder, _ = whole_run
    before = without_speed(folder)
    done = train(config, folder)
    assert (done.step, done.resumed_from) == (20, 20)
    assert without_speed(folder) == before


def test_a_run_folder_takes_no_other_settings(whole_run: tuple[TrainConfig, Path, Path]) -> None:
    config, folder, _ = whole_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ValueError, match="holds a run with seed 0, not 1"):
        train(dataclasses.replace(config, seed=1), folder)
    assert load_config(folder) == config
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_checkpoint_knows_its_settings_without_the_config_beside_it(
    whole_run: tuple[TrainConfig, Path, Path], tmp_path: Path
) -> None:
    config, whole, _ = whole_run
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    (folder / "config.json").unlink()
    other = dataclasses.replace(config, steps=21, optimizer=dataclasses.replace(config.optimizer, learning_rate=1.0))
    with pytest.raises(ValueError, match=r"holds a run with optimizer\.learning_rate [^{]*, not 1\.0;"):
        train(other, folder)
    assert not (folder / "config.json").exists()


def test_fewer_steps_than_are_done_are_refused(whole_run: tuple[TrainConfig, Path, Path]) -> None:
    config, folder, _ = whole_run
    schedule = dataclasses.replace(config.optimizer, schedule_steps=config.schedule_steps)
    with pytest.raises(ValueError, match="holds 20 steps, more than steps=15"):
        train(dataclasses.replace(config, steps=15, optimizer=schedule), folder)
    assert load_config(folder) == config


def test_a_run_goes_on_in_another_place_and_for_longer_as_it_is_told(tmp_path: Path) -> None:
    optimizer = OptimizerConfig(learning_rate=1e-3, warmup_steps=1)
    config = write_run(tmp_path / "here", steps=2, optimizer=optimizer)
    train(config, tmp_path / "here" / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    places = {
        name: str(getattr(config, name)).replace(f"{tmp_path}/here", f"{tmp_path}/there")
        for name in ("mixture", "data", "encoder")
    }
    moved = dataclasses.replace(config, name="moved", steps=3, **places)
    with pytest.raises(ValueError, match=r"schedule_steps 2, not 3; --set optimizer\.schedule_steps=2 goes on"):
        train(moved, tmp_path / "there" / "run")
    longer = dataclasses.replace(moved, optimizer=dataclasses.replace(optimizer, schedule_steps=2))
    done = train(longer, tmp_path / "there" / "run")
    assert (done.resumed_from, done.step) == (2, 3)


def test_another_encoder_of_the_same_arrays_is_told(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=2)
    train(config, tmp_path / "run")
    path = Path(config.encoder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_eps": 0.1}))
    with pytest.raises(ValueError, match=r"trained with another encoder \(.*--accept-other-settings"):
        train(config, tmp_path / "run")


def test_two_processes_never_train_in_one_folder(whole_run: tuple[TrainConfig, Path, Path], tmp_path: Path) -> None:
    config, _, _ = whole_run
    with locked(str(tmp_path / "run")), pytest.raises(FileExistsError, match="another job is writing there"):
        train(config, tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_run_does_not_go_on_with_other_data(whole_run: tuple[TrainConfig, Path, Path]) -> None:
    config, folder, root = whole_run
    write_dataset(root / "other" / "a", "a", {"train": topic_pairs("a", 50, 9)})
    write_dataset(root / "other" / "b", "b", {"train": topic_pairs("b", 50, 8)})
    moved = dataclasses.replace(config, steps=21)
    path = root / "data"
    path.rename(root / "kept")
    (root / "other").rename(path)
    try:
        before = sorted(folder.rglob("*"))
        with pytest.raises(ValueError, match=r"another mixture or other data: dataset 'a' \(.*, dataset 'b' \("):
            train(moved, folder)
        assert load_config(folder) == config and sorted(folder.rglob("*")) == before
    finally:
        path.rename(root / "other")
        (root / "kept").rename(path)


def test_a_run_does_not_go_on_with_another_tokenizer_unless_asked(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=2, log_every=2)
    train(config, tmp_path / "run")
    path = Path(config.encoder) / "tokenizer.json"
    path.write_text(path.read_text().replace('"w1"', '"other"'))
    with pytest.raises(ValueError, match=r"trained with another tokenizer \(.*--accept-other-settings"):
        train(dataclasses.replace(config, steps=3), tmp_path / "run")
    changed = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-4))
    with pytest.raises(ValueError, match="holds a run with optimizer"):
        train(changed, tmp_path / "run")
    done = train(dataclasses.replace(changed, steps=3), tmp_path / "run", accept_other_settings=True)
    assert (done.resumed_from, done.step) == (2, 3)
    assert load_config(tmp_path / "run").optimizer.learning_rate == 1e-4


def test_devices_must_hold_whole_packs(whole_run: tuple[TrainConfig, Path, Path], tmp_path: Path) -> None:
    config, _, _ = whole_run
    with pytest.raises(ValueError, match="the nearest batch sizes that divide: 16 or 32"):
        train(dataclasses.replace(config, batch_size=24), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pack": PackConfig(pairs=2, rows=2, tokens=64)}, "rows have 64 tokens; expected at most the encoder's 32"),
        ({"loss": LossConfig(dimensions=(8, 4))}, "expected the greatest to be the encoder's 16"),
    ],
)
def test_what_the_step_refuses_is_refused_before_there_is_a_folder(
    changes: dict[str, Any], message: str, whole_run: tuple[TrainConfig, Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(whole_run[0], **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_with_ids_that_the_encoder_lacks_is_refused(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    path = Path(config.encoder) / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["vocab"]["more"] = 50
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="the tokenizer has 51 ids; expected at most the encoder's 50"):
        train(config, tmp_path / "run")


@pytest.mark.slow
def test_the_line_that_refuses_quickstart_on_eight_devices_says_what_to_set(
    whole_run: tuple[TrainConfig, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _, _ = whole_run
    changes = {"mixture": config.mixture, "encoder": config.encoder, "data": config.data, "steps": 1}
    changes["pack.tokens"] = 32  # as many as the tiny encoder has positions
    words = [word for name, value in changes.items() for word in ("--set", f"{name}={value}")]
    command = ["train", "quickstart", *words, "--output", str(tmp_path / "run")]
    assert main(command) == 1
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "(--set batch_size=512)" in said
    mend = said.partition("the same batch divides with ")[2].split()
    assert mend == ["--set", "pack.pairs=8", "--set", "pack.rows=6"] and not (tmp_path / "run").exists()
    assert main(command + mend) == 0
    assert lines(tmp_path / "run")[-1]["step"] == 1
