"""The top of a run's page: how far it came, whether it is sound, when and how it was trained, what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pairstream.report_html import Html, element, join
from pairstream.run_facts import RunFacts
from pairstream.run_log import RunLog
from trainer.config import TrainConfig

MOST_CHECKPOINTS = 10
"""Named; of more, the latest."""


def at_the_top(config: TrainConfig, log: RunLog, facts: RunFacts) -> Html:
    """The run's state, as far as its log and its folder tell. Nothing is asked of the process that trains."""
    alarm = _alarm(config, log)
    return join(
        element("p", _state(config, log), class_="tuple"),
        element("p", alarm, class_="alarm") if alarm else "",
        element(
            "dl", *(element(*pair) for row in _rows(config, log, facts) for pair in zip(("dt", "dd"), row, strict=True))
        ),
    )


def _state(config: TrainConfig, log: RunLog) -> str:
    if log.step >= config.steps:
        return f"Finished: all of {config.steps:,} steps of {config.batch_size:,} pairs"
    return f"Not finished: step {log.step:,} of {config.steps:,}, of {config.batch_size:,} pairs each"


def _alarm(config: TrainConfig, log: RunLog) -> str:
    """What must not be overlooked; nothing where all is well."""
    in_row = round(log.latest("skipped_in_row") or 0)
    if not in_row:
        return ""
    diverged = "Diverged: no" if in_row >= config.stop_after_skipped else "No"
    steps = "step" if in_row == 1 else f"{in_row:,} steps"
    return f"{diverged} update in the last {steps}, for loss or gradient was not finite"


def _rows(config: TrainConfig, log: RunLog, facts: RunFacts) -> Iterator[tuple[str, str]]:
    if "skipped" in log.metrics:
        yield "Steps without an update", f"{log.total('skipped'):,.0f}"
    if log.masked is not None:
        yield "Documents masked as false negatives", f"{log.masked:,.0f} in all"
    if facts.written is not None:
        yield "Last line of the log", _time(facts.written) + _next_line(config, log)
    if facts.begun is not None:
        yield "Begun, the last time", _time(facts.begun)
    if log.seconds:
        yield "Time of training", str(timedelta(seconds=round(log.seconds)))
    if facts.hardware:
        yield "Hardware", facts.hardware
    if facts.command:
        yield "Command", facts.command
    yield "Checkpoints kept", _checkpoints(facts)
    if facts.best is not None:
        step, score, measure = facts.best
        yield "Best of them", f"step {step:,}: {score:.4f}" + (f", {measure}" if measure else "")


def _next_line(config: TrainConfig, log: RunLog) -> str:
    """By which a run that goes on is told from one that was killed."""
    speed = log.latest("pairs_per_second")
    if log.step >= config.steps or not speed:
        return ""
    seconds = round(config.log_every * config.batch_size / speed)
    due = str(timedelta(seconds=seconds)) if seconds >= 60 else f"{max(seconds, 1)} s"
    return f"; the next was due some {due} later, unless the run was stopped"


def _checkpoints(facts: RunFacts) -> str:
    if not facts.checkpoints:
        return "none"
    named = ", ".join(f"{step:,}" for step in facts.checkpoints[-MOST_CHECKPOINTS:])
    more = len(facts.checkpoints) - MOST_CHECKPOINTS
    return f"of step {named}" + (f", and {more:,} earlier ones" if more > 0 else "")


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
