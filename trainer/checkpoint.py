"""Checkpoints: a whole `TrainState` and what it belongs to, written by orbax while training goes on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from trainer.step import TrainState

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax narrates each file through it


class Checkpoints:
    """The checkpoints of one run. A checkpoint exists under its name only when it is whole."""

    def __init__(self, folder: str | Path, *, keep: int = 3) -> None:
        self.folder = Path(folder).absolute()
        self._manager = ocp.CheckpointManager(
            self.folder,
            item_names=("state", "origin"),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
        )

    @property
    def latest_step(self) -> int | None:
        """Steps done at the latest checkpoint; None when there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState, step: int, origin: dict[str, Any]) -> None:
        """Start writing; the state may be donated as soon as this returns."""
        self._manager.save(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardSave(state), origin=ocp.args.JsonSave(origin)),
        )

    def restore(self, like: TrainState, step: int | None = None) -> tuple[TrainState, dict[str, Any]]:
        """(state, origin) of a step, the latest by default, in the shapes and places of `like`.

        Raises FileNotFoundError when there is no checkpoint.
        """
        step = self.latest_step if step is None else step
        if step is None:
            raise FileNotFoundError(f"{self.folder}: no checkpoint; train first")
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract), origin=ocp.args.JsonRestore()),
        )
        return found["state"], found["origin"]

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()
