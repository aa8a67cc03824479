"""`pairstream tpu-check`: would a run fit a TPU, found out without one."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pairstream.arguments import parse, print_json
from pairstream.load_run import load_run
from pairstream.quiet import quiet_libraries
from pairstream.train import Settings

if TYPE_CHECKING:
    from trainer.tpu_check import StepReport

# So that libtpu asks no metadata server which machine it is on, and does not say so.
_NO_TPU_HERE = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v3-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True)
class Arguments:
    """Compile the step of a run for a TPU topology, without a TPU; exit status 1 if it does not fit.

    For example: pairstream tpu-check mpnet_base --topology v3:2x2 v5e:2x4
    """

    run: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="RUN")]] = None
    """A preset's name, a Python file that defines `config`, or a config.json that a run saved."""
    config: str | None = None
    """The run again, for those who prefer to name it."""
    topology: tuple[str, ...] = ("v3:2x2",)
    """Topologies: v3:2x2 is a v3-8; v4:2x2x1, v5e:2x4, v5p:2x2x1, v6e:2x4."""
    set: Settings = ()
    """Change one field of the config, of those listed below; may be repeated."""
    find_batch: bool = False
    """Also look for the largest global batch that fits; compiles many times."""
    json: bool = False
    """Print one JSON document."""


def main(argv: Sequence[str]) -> None:
    from pairstream.cli import UsageError

    arguments = parse(Arguments, argv, "tpu-check")
    run = arguments.run or arguments.config
    if not arguments.topology:
        raise UsageError("--topology names none; expected one or more, such as v3:2x2")
    if run is None or (arguments.run and arguments.config):
        raise UsageError("expected one run, before the options: pairstream tpu-check mpnet_base --topology v3:2x2")
    config = load_run(run, arguments.set)
    quiet_libraries()
    os.environ.update(_NO_TPU_HERE)
    reports, largest = [], {}
    with _one_at_a_time(), _silent():
        from trainer.tpu_check import check_call, check_step, largest_batch

        for topology in arguments.topology:  # all of them, before minutes go into the first
            try:
                check_call(config, topology)
            except ValueError as error:
                raise UsageError(str(error)) from None
        for topology in arguments.topology:
            reports.append(check_step(config, topology))
            if arguments.find_batch:
                largest[topology] = largest_batch(config, topology, check_step)
    if arguments.json:
        found = [
            dataclasses.asdict(report) | ({"largest_batch": largest[report.topology]} if arguments.find_batch else {})
            for report in reports
        ]
        print_json({"run": config.name, "topologies": found})
    else:
        for report in reports:
            print(describe(report))
            if arguments.find_batch:
                most = largest[report.topology]
                print(f"  largest batch that fits: {f'{most:,} pairs' if most else 'none'}")
    if unfit := [report for report in reports if not report.fits]:
        raise RuntimeError(
            f"{config.name} does not fit {', '.join(report.topology for report in unfit)}; "
            "lower batch_size, or set micro_packs or remat"
        )


def describe(report: StepReport) -> str:
    """The report as lines for a reader."""
    head = f"{report.topology} · {report.devices} devices · {report.batch_size:,} pairs a batch"
    if report.arguments_gib is None or report.temporaries_gib is None:
        return f"{head}\n  does not fit: {report.reason}"
    verdict = "fits" if report.fits else f"does not fit: {report.reason}"
    time = "no estimate" if report.seconds is None else f"{report.seconds:.3f} s a step (estimate)"
    work = "" if report.flops is None else f" · {report.flops / 1e12:.2f} TFLOP a device"
    counts = ", ".join(f"{count} {name}" for name, count in (report.collectives or {}).items()) or "none"
    collectives = "not told: this JAX cannot read the compiler's program" if report.collectives is None else counts
    return (
        f"{head}\n  {verdict}: {report.temporaries_gib:.2f} GiB temporaries + {report.arguments_gib:.2f} GiB arguments "
        f"of {report.memory_gib:g} GiB\n  {time}{work}\n  collectives: {collectives}\n"
        f"  compiled in {report.compile_seconds:.0f} s"
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """libtpu wants to be alone on a machine, and two compilations want twice the memory."""
    import fcntl

    with Path(tempfile.gettempdir(), f"pairstream-tpu-check-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _silent() -> Iterator[None]:
    """libtpu writes to the file of stderr whatever it is told."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
