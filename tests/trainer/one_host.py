"""One host of a run, as a process: CONFIG RUN_FOLDER REPORT. Its place among the hosts is in the environment."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from reader.plan import host_rows, plan_batches
from reader.stream import stream_batches
from schemas.mixture import Mixture
from trainer.config import TrainConfig
from trainer.mesh import join_hosts, make_mesh, shard_batch
from trainer.train import make_packing, train

BATCHES = 3


def batch_digests(config: TrainConfig) -> list[str]:
    """sha256 of the first global batches, put together from what the devices of all hosts hold."""
    plan = plan_batches(Mixture.load(config.mixture), config.data, batch_size=config.batch_size, seed=config.seed)
    rows = host_rows(config.batch_size, jax.process_count(), jax.process_index())
    packing = make_packing(config, Path(config.encoder))
    digests = []
    for batch in stream_batches(plan, 0, BATCHES, packing, rows=rows):
        assert len(batch.pairs) * jax.process_count() == config.packs
        spread = shard_batch(batch, make_mesh())
        whole = spread if jax.process_count() == 1 else multihost_utils.process_allgather(spread, tiled=True)
        fields = b"".join(np.asarray(field).tobytes() for field in whole)
        digests.append(hashlib.sha256(fields).hexdigest())
    return digests


def main(config_path: str, folder: str, report: str) -> None:
    join_hosts()
    config = TrainConfig.from_json(json.loads(Path(config_path).read_text()))
    found = {
        "hosts": jax.process_count(),
        "devices": jax.device_count(),
        "batches": batch_digests(config),
        "step": train(config, folder).step,
    }
    Path(report).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
