"""Several hosts on one machine: processes that meet through `jax.distributed` and gloo."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from batches import tiny_encoder
from corpora import write_run
from one_host import batch_digests

from trainer.config import LossConfig, TrainConfig
from trainer.encoders.weights import save_encoder
from trainer.mesh import COORDINATOR, HOST, HOSTS
from trainer.train import train

pytestmark = pytest.mark.slow

STEPS = 4


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start_hosts(config: TrainConfig, root: Path, name: str, hosts: int, devices: int) -> list[subprocess.Popen[str]]:
    """Processes with so many devices each, which train in `root/name` and report to `root/name-HOST.json`."""
    (root / f"{name}.json").write_text(json.dumps(config.to_json()))
    coordinator = f"127.0.0.1:{free_port()}"
    processes = []
    for host in range(hosts):
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "PYTHONPATH": os.pathsep.join([*sys.path]),
            COORDINATOR: coordinator,
            HOSTS: str(hosts),
            HOST: str(host),
        }
        command = [sys.executable, str(Path(__file__).with_name("one_host.py")), str(root / f"{name}.json")]
        command += [str(root / name), str(root / f"{name}-{host}.json")]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    return processes


def wait(processes: list[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_losses(ours: Path, theirs: Path) -> None:
    left, right = logged(ours), logged(theirs)
    assert [line["step"] for line in left] == [line["step"] for line in right]
    np.testing.assert_allclose([line["loss"] for line in left], [line["loss"] for line in right], rtol=1e-6)
    assert len({line["loss"] for line in right}) == len(right)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path, list[str]]:
    """(config, folder that holds the run `one`, digests of its batches) of the run in this process alone."""
    root = tmp_path_factory.mktemp("hosts")
    loss = LossConfig(learn_scale=True)
    config = write_run(root, steps=STEPS, checkpoint_every=STEPS, micro_packs=1, loss=loss)
    save_encoder(tiny_encoder(layers=1), root / "base")  # half the time is spent compiling
    assert train(config, root / "one").step == STEPS
    return config, root, batch_digests(config)


def assert_reported(root: Path, name: str, hosts: int, **expected: object) -> None:
    for host in range(hosts):
        found = json.loads((root / f"{name}-{host}.json").read_text())
        assert found == {"hosts": hosts, **expected}


def test_four_hosts_get_the_batches_and_the_losses_of_one_process(single):
    config, root, digests = single
    wait(start_hosts(config, root, "four", hosts=4, devices=1))
    assert_reported(root, "four", 4, devices=4, batches=digests, step=STEPS)
    assert_same_losses(root / "four", root / "one")


def test_a_signal_to_one_of_two_hosts_stops_both_after_one_step_and_one_process_can_go_on(single):
    config, root, digests = single
    longer = dataclasses.replace(config, steps=5000, checkpoint_every=5000)
    processes = start_hosts(longer, root, "two", hosts=2, devices=2)
    until = time.monotonic() + 600
    while not ((root / "two" / "metrics.jsonl").exists() and len(logged(root / "two")) >= STEPS):
        assert time.monotonic() < until and all(process.poll() is None for process in processes)
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    wait(processes)
    stopped = len(logged(root / "two"))
    assert STEPS <= stopped < 5000
    assert_reported(root, "two", 2, devices=4, batches=digests, step=stopped)
    end = dataclasses.replace(config, steps=stopped + 2)
    assert jax.process_count() == 1
    assert train(end, root / "two").resumed_from == stopped
    assert train(end, root / "one").step == stopped + 2
    assert_same_losses(root / "two", root / "one")
