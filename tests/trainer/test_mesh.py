from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from batches import make_batch, random_pairs
from jax.sharding import AxisType

from trainer.mesh import (
    COORDINATOR,
    HOST,
    HOSTS,
    any_host,
    check_divides,
    join_hosts,
    make_mesh,
    replicate,
    shard_batch,
)

PAIRS = random_pairs(32, slots=2)


def test_the_mesh_has_one_axis_whose_type_is_auto():
    mesh = make_mesh()
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)
    assert mesh.devices.size == 8


def test_a_replica_outlives_its_original():
    original = jnp.arange(3)
    replica = replicate({"x": original}, make_mesh())["x"]
    original.delete()
    assert replica.tolist() == [0, 1, 2] and len(replica.sharding.device_set) == 8


def test_packs_that_do_not_divide_are_refused_with_the_nearest_that_do():
    batch = make_batch(PAIRS[:24], packs=12, rows=6, tokens=16)
    with pytest.raises(ValueError, match=r"batch_size 24 is 12 packs of 2 pairs.* 8 devices.*: 16 or 32$"):
        shard_batch(batch, make_mesh())
    with pytest.raises(ValueError, match=r"that divide: 16$"):
        shard_batch(make_batch(PAIRS[:6], packs=3, rows=6, tokens=16), make_mesh())


@pytest.mark.parametrize(
    ("packs", "micro_packs", "nearest"),
    [(20, 1, "64 or 96"), (24, 2, "64 or 128"), (8 * 5, 3, "96 or 192"), (36, 3, "96 or 192"), (3, None, "32")],
)
def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do(packs, micro_packs, nearest):
    with pytest.raises(ValueError, match=f"batch_size {4 * packs} is {packs} packs of 4 pairs.*: {nearest}$"):
        check_divides(packs, 4, make_mesh(), micro_packs)


@pytest.mark.parametrize(
    ("packs", "pairs", "rows", "micro_packs", "said"),
    [
        (1, 64, 48, None, "--set pack.pairs=8 --set pack.rows=6"),
        (12, 2, 3, None, "--set pack.pairs=1 --set pack.rows=2"),
        (8, 6, 6, 3, None),  # divides as it is
        (40, 6, 6, 3, "--set pack.pairs=5 --set pack.rows=5"),
        (3, 3, 3, None, ""),  # nine pairs do not lie on eight devices
    ],
)
def test_a_batch_that_does_not_divide_is_told_the_packs_that_do(packs, pairs, rows, micro_packs, said):
    if said is None:
        return check_divides(packs, pairs, make_mesh(), micro_packs, rows)
    with pytest.raises(ValueError, match=f"--set batch_size=.*{said}$") as refused:
        check_divides(packs, pairs, make_mesh(), micro_packs, rows)
    if not said:
        assert "pack.pairs" not in str(refused.value)
        return
    changed = dict(word.split("=") for word in said.split() if "=" in word)
    smaller, of_each = int(changed["pack.pairs"]), int(changed["pack.rows"])
    assert packs * pairs % smaller == 0 and of_each * pairs >= rows * smaller
    check_divides(packs * pairs // smaller, smaller, make_mesh(), micro_packs)


@pytest.mark.parametrize(("packs", "micro_packs"), [(8, None), (8, 1), (16, 1), (16, 2), (16, 5), (48, 3)])
def test_a_batch_of_whole_micro_batches_is_taken(packs, micro_packs):
    check_divides(packs, 4, make_mesh(), micro_packs)


def test_without_a_coordinator_there_is_one_host(monkeypatch):
    monkeypatch.delenv(COORDINATOR, raising=False)
    join_hosts()
    assert jax.process_count() == 1
    assert any_host(True) is True and any_host(False) is False


@pytest.mark.parametrize(
    ("hosts", "host", "message"),
    [
        ("two", "0", f"{HOSTS} is 'two'; expected a whole number"),
        ("2", None, f"{HOSTS} is 2 and {HOST} is None; expected both"),
        ("2", "2", f"{HOSTS} is 2 and {HOST} is 2; expected both, the second below the first"),
    ],
)
def test_hosts_that_cannot_be_counted_are_refused(monkeypatch, hosts, host, message):
    monkeypatch.setenv(COORDINATOR, "127.0.0.1:1")
    for name, value in ((HOSTS, hosts), (HOST, host)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        join_hosts()
