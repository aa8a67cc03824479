"""Checkpoints: which stay, what they refuse, what a kill in the middle of a save leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from batches import tiny_encoder

from trainer.checkpoint import Checkpoints
from trainer.config import TrainConfig
from trainer.mesh import make_mesh, replicate
from trainer.step import TrainState, init_state

CONFIG = TrainConfig(name="t", encoder="", mixture="", data="")


@pytest.fixture(scope="module")
def state() -> TrainState:
    return init_state(tiny_encoder(layers=1), CONFIG)[1]


def leaves(state: TrainState) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def test_the_latest_and_the_best_stay(state: TrainState, tmp_path: Path) -> None:
    scores = {1: 0.5, 2: 0.9, 3: 0.9, 4: None, 5: float("nan"), 6: 0.1, 7: 0.2}
    with Checkpoints(tmp_path, keep=2, keep_best=1) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(state, step, {"a": step}, score=score)
    with Checkpoints(tmp_path, keep=2, keep_best=1) as again:
        assert again.steps == [3, 6, 7]
        assert again.best == (3, 0.9)
        assert again.origin(3) == {"a": 3} and again.origin() == {"a": 7}
        again.save(state, 8, {}, score=None)
    with Checkpoints(tmp_path, read_only=True) as looked_at:
        assert looked_at.steps == [3, 7, 8]


def test_scores_of_different_measures_are_not_compared(state: TrainState, tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=1, keep_best=1) as checkpoints:
        for step, score in ((1, 0.9), (2, 0.5)):
            checkpoints.save(state, step, {}, score=score, measure="mean")
    with Checkpoints(tmp_path, keep=1, keep_best=1) as again:
        assert (again.measure, again.best) == ("mean", (1, 0.9))
        again.save(state, 3, {})
        again.save(state, 4, {}, score=0.2, measure="other")
    with Checkpoints(tmp_path, keep=1, keep_best=1) as again:
        assert (again.steps, again.measure, again.best) == ([4], "other", (4, 0.2))
        again.save(state, 5, {}, score=0.1, measure="other")
    with Checkpoints(tmp_path, read_only=True) as looked_at:
        assert (looked_at.steps, looked_at.best) == ([4, 5], (4, 0.2))


def test_the_best_stays_until_there_is_a_score_of_another_measure(state: TrainState, tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=1, keep_best=1) as checkpoints:
        checkpoints.save(state, 1, {}, score=0.9, measure="mean")
        for step in (2, 3):
            checkpoints.save(state, step, {})
    with Checkpoints(tmp_path, read_only=True) as looked_at:
        assert (looked_at.steps, looked_at.best) == ([1, 3], (1, 0.9))


def test_without_scores_the_latest_alone_stay(state: TrainState, tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=1, keep_best=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state, step, {})
    with Checkpoints(tmp_path, read_only=True) as looked_at:
        assert (looked_at.steps, looked_at.best) == ([3], None)


def test_a_state_is_restored_on_another_number_of_devices(state: TrainState, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(replicate(state, make_mesh()), 1, {})
        for devices in (1, 2, 8):
            mesh = make_mesh(jax.devices()[:devices])
            found, _ = checkpoints.restore(replicate(state, mesh))
            for ours, theirs in zip(jax.tree.leaves(found), leaves(state), strict=True):
                assert len(ours.sharding.device_set) == devices
                np.testing.assert_array_equal(np.asarray(ours), theirs)


def test_reading_tidies_nothing_up_and_training_does(state: TrainState, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, 1, {})
    left = tmp_path / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "1", left)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps == [1]
    assert left.exists()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 1
        checkpoints.save(state, 3, {})
    assert not left.exists()


def test_a_checkpoint_of_other_arrays_is_one_line(state: TrainState, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, 1, {})
        _, other = init_state(tiny_encoder(layers=2), CONFIG)
        with pytest.raises(ValueError, match="its arrays are not those of this run's encoder") as caught:
            checkpoints.restore(other)
        assert "\n" not in str(caught.value)
        with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 2; there are \[1\]"):
            checkpoints.restore(state, 2)
