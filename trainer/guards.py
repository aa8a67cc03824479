"""What a run does about updates that were skipped, data that does not come and a disk that is full."""

from __future__ import annotations

import errno
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from trainer.checkpoint import CHECKPOINTS_FOLDER
from trainer.config import TrainConfig

SHOWN_ROWS = 3
_Item = TypeVar("_Item")


def say(line: str) -> None:
    """One line of a run's to its user, beside the progress bar."""
    print(line, file=sys.stderr, flush=True)


def command_to_see(config: TrainConfig, step: int, count: int = 1) -> str:
    """The command that shows the batches from `step` on, steps being counted from 0."""
    words = ["pairstream", "batches", config.mixture, "--data", config.data, "--batch-size", config.batch_size]
    words += ["--seed", config.seed, "--start", step, "--show", SHOWN_ROWS]
    return shlex.join(map(str, words + (["--count", count] if count > 1 else [])))


def report_skipped(config: TrainConfig, first: int, history: Sequence[dict[str, float]]) -> None:
    """Say which of the steps from `first` on were skipped and how their batches are seen.

    `history` holds the scalars of each step. Raises RuntimeError when `config.stop_after_skipped` were
    skipped in a row; those before `first` count too.
    """
    bad = [first + number for number, one in enumerate(history) if one["skipped"]]
    for begin, end in _stretches(bad):
        one = history[begin - first]
        which = f"step {begin}" if end == begin else f"steps {begin} to {end}"
        say(
            f"{which}: loss {one['loss']:g}, gradient norm {one['gradient_norm']:g}: no update; "
            f"see {command_to_see(config, begin, end - begin + 1)}"
        )
    for number, one in enumerate(history):
        row = int(one["skipped_in_row"])
        if row >= config.stop_after_skipped:
            last = first + number
            raise RuntimeError(
                f"steps {last - row + 1} to {last}: loss or gradient was not finite {row} times in a row "
                f"(stop_after_skipped is {config.stop_after_skipped}); lower optimizer.learning_rate, use "
                f"compute_dtype=float32, or look at the data: {command_to_see(config, last - row + 1, row)}"
            )


def watch_stalls(items: Iterator[_Item], seconds: float, step: int) -> Iterator[_Item]:
    """The items; one line when the next is not there within `seconds`, while it is still waited for.

    `step` is that of the first item. An item may be slow for as long as it likes: nothing is given up.
    """
    while True:
        late = threading.Timer(
            seconds,
            say,
            (
                f"step {step}: no batch for {seconds:g} seconds; still waiting: the disk, the network or the "
                "tokenizer is slower than the devices, or hangs",
            ),
        )
        late.daemon = True
        late.start()
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            late.cancel()
        yield item
        step += 1


@contextmanager
def clear_when_full(folder: Path) -> Iterator[None]:
    """A full disk ends the run with one OSError that says so, whatever a library made of it."""
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        checkpoints = sorted(
            int(path.name) for path in (folder / CHECKPOINTS_FOLDER).glob("*") if path.name.isdecimal()
        )
        kept = f"the checkpoint of step {checkpoints[-1]:,} is whole" if checkpoints else "there is no checkpoint yet"
        raise OSError(
            f"{folder}: no space left on the disk; {kept}; free some and run the same command again"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    """Whether the error or one it came from is of a full disk or quota; compiled code has words for it alone."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
            return True
        if isinstance(error, BaseExceptionGroup) and any(map(_is_full, error.exceptions)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _stretches(steps: Sequence[int]) -> list[tuple[int, int]]:
    """(first, last) of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for step in steps:
        if found and step == found[-1][1] + 1:
            found[-1] = (found[-1][0], step)
        else:
            found.append((step, step))
    return found
