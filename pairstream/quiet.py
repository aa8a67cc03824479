"""The terminal's peace: libraries do not greet, and bars are drawn on terminals alone."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def quiet_libraries() -> None:
    """TensorFlow logs only errors, absl and Beam nothing: exceptions say what fails. Call before importing them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # announced on stderr otherwise, and nothing here uses it
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    logging.getLogger().setLevel(logging.ERROR)
    for narrator in ("absl", "apache_beam"):  # orbax through the one, and Beam, log the traceback of errors they raise
        logging.getLogger(narrator).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=FutureWarning)


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, gone when done; the value is called with the number of items done so far.

    `total` is None where it is not known: the bar counts.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)
