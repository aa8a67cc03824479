"""Checkpoints: a whole `TrainState` and what it belongs to, written by orbax while training goes on."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from trainer.step import TrainState

logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax narrates each file through it, and each error it raises

CHECKPOINTS_FOLDER = "checkpoints"
"""Of a run's folder."""
SCORE, MEASURE = "score", "measure"


class Checkpoints:
    """The checkpoints of one run. A checkpoint exists under its name only when it is whole.

    Of the checkpoints the `keep` latest stay, and the `keep_best` of the highest scores. Scores of different
    measures cannot be compared: those of the latest score's measure count, others as none. `read_only` is for
    looking into a run that may be going on: nothing is made, saved or tidied up.
    """

    def __init__(self, folder: str | Path, *, keep: int = 3, keep_best: int = 0, read_only: bool = False) -> None:
        self.folder = Path(folder).absolute()
        if read_only:
            options = ocp.CheckpointManagerOptions(read_only=True, save_interval_steps=0, create=False)
        else:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=_LatestAndBest(keep, keep_best),
                best_fn=lambda metrics: metrics[SCORE],  # without it, orbax writes no scores
                cleanup_tmp_directories=True,  # what a kill in the middle of a save left
                create=True,
            )
        self._manager = ocp.CheckpointManager(self.folder, item_names=("state", "origin"), options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:
                raise

    @property
    def latest_step(self) -> int | None:
        """Steps done at the latest checkpoint; None when there is none."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps done at each checkpoint there is, ascending."""
        return sorted(self._manager.all_steps())

    @property
    def best(self) -> tuple[int, float] | None:
        """(steps done, score) of the checkpoint with the highest score, the later of equals; None without scores."""
        scores = _comparable([(self._manager.metrics(step), step) for step in self.steps])
        return (max(scores)[1], max(scores)[0]) if scores else None

    @property
    def measure(self) -> str | None:
        """What the latest score is a score of; None without scores."""
        scored = [found for step in self.steps if (found := self._manager.metrics(step))]
        return scored[-1].get(MEASURE, "") if scored else None

    def save(
        self, state: TrainState, step: int, origin: dict[str, Any], *, score: float | None = None, measure: str = ""
    ) -> None:
        """Start writing; the state may be donated as soon as this returns.

        `score`: how good the state is by `measure`, higher being better; one that is not finite counts as none.
        """
        metrics = None if score is None or not math.isfinite(score) else {SCORE: float(score), MEASURE: measure}
        self._manager.save(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardSave(state), origin=ocp.args.JsonSave(origin)),
            metrics=metrics,
        )

    def restore(self, like: TrainState, step: int | None = None) -> tuple[TrainState, dict[str, Any]]:
        """(state, origin) of a step, the latest by default, in the shapes and places of `like`.

        The places may be other devices, and more or fewer of them, than those it was saved from. Raises
        FileNotFoundError when there is no such checkpoint, ValueError when its arrays are not like those.
        """
        step = self._found(step)
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            found = self._manager.restore(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract), origin=ocp.args.JsonRestore()),
            )
        except (KeyError, TypeError, ValueError) as error:
            what = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"{self.folder / str(step)}: its arrays are not those of this run's encoder and optimizer, or are "
                f"damaged ({what[:200]}); train into another folder"
            ) from error
        return found["state"], found["origin"]

    def origin(self, step: int | None = None) -> dict[str, Any]:
        """What the checkpoint of a step belongs to, as it was saved with it. Raises as `restore`."""
        return self._manager.restore(self._found(step), args=ocp.args.Composite(origin=ocp.args.JsonRestore()))[
            "origin"
        ]

    def _found(self, step: int | None) -> int:
        step = self.latest_step if step is None else step
        if step is None:
            raise FileNotFoundError(f"{self.folder}: no checkpoint; train first")
        if step not in self.steps:
            raise FileNotFoundError(f"{self.folder}: no checkpoint of step {step}; there are {self.steps}")
        return step

    def close(self) -> None:
        """Wait until everything is on disk."""
        try:
            self._manager.wait_until_finished()
        finally:
            self._manager.close()


@dataclass(frozen=True)
class _LatestAndBest(checkpoint_managers.PreservationPolicy):
    """Which checkpoints stay, the later of equal scores being the better."""

    latest: int
    best: int

    def should_preserve(
        self,
        checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
        *,
        context: checkpoint_managers.PreservationContext,
    ) -> Sequence[bool]:
        scored = _comparable([(info.metrics, number) for number, info in enumerate(checkpoints)])
        best = {number for _, number in sorted(scored, reverse=True)[: self.best]}
        return [number in best or number >= len(checkpoints) - self.latest for number in range(len(checkpoints))]


def _comparable(found: Sequence[tuple[Any, int]]) -> list[tuple[float, int]]:
    """(score, number) of the (metrics, number), ascending, that are scored by the last one's measure."""
    scored = [(metrics, number) for metrics, number in found if metrics]
    measure = scored[-1][0].get(MEASURE, "") if scored else ""
    return [(metrics[SCORE], number) for metrics, number in scored if metrics.get(MEASURE, "") == measure]
