"""Guards: updates that are not finite, data that does not come, a disk that is full."""

from __future__ import annotations

import dataclasses
import errno
import functools
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import make_batch, random_pairs, tiny_encoder
from corpora import topic_pairs, write_dataset, write_run
from flax import nnx

from pairstream.cli import main
from trainer import guards
from trainer.config import OptimizerConfig, PackConfig, TrainConfig
from trainer.encoders.weights import load_encoder, save_encoder
from trainer.step import init_state, jit_train_step, make_optimizer
from trainer.train import train

CONFIG = TrainConfig(
    name="t",
    encoder="",
    mixture="m.json",
    data="d",
    batch_size=8,
    steps=100,
    pack=PackConfig(pairs=4),
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=2),
    stop_after_skipped=3,
)


def one(skipped: int = 0, row: int = 0, loss: float = 1.0) -> dict[str, float]:
    return {"loss": loss, "gradient_norm": loss, "skipped": skipped, "skipped_in_row": row}


def leaves(tree: object) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@functools.cache
def compiled_step() -> Any:
    graphdef, _ = init_state(tiny_encoder(layers=1), CONFIG)
    return jit_train_step(graphdef, make_optimizer(CONFIG), CONFIG)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_changes_nothing_but_the_counts(bad: float) -> None:
    _, state = init_state(tiny_encoder(layers=1), CONFIG)
    batch = make_batch(random_pairs(8), packs=2, rows=8, tokens=16, packed=True)
    step = compiled_step()
    state, metrics = step(state, batch)
    assert (metrics["skipped"], metrics["skipped_in_row"]) == (0, 0)
    whole = jax.tree.map(jnp.copy, state.params)
    optimizer = leaves(state.opt_state)
    broken = jax.tree.map(jnp.copy, whole)
    path, _ = jax.tree_util.tree_leaves_with_path(broken)[0]
    broken = jax.tree_util.tree_map_with_path(lambda p, x: x.at[...].set(bad) if p == path else x, broken)
    before = leaves(broken)
    state, metrics = step(dataclasses.replace(state, params=broken), batch)
    assert (metrics["skipped"], metrics["skipped_in_row"]) == (1, 1)
    for ours, theirs in zip(leaves(state.params) + leaves(state.opt_state), before + optimizer, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (int(state.step), state.skipped.tolist()) == (2, [1, 1])
    state, metrics = step(dataclasses.replace(state, params=whole), batch)
    assert (int(state.step), state.skipped.tolist()) == (3, [1, 0])
    assert metrics["learning_rate"] == pytest.approx(0.5e-2)  # of the second update, which is the third step
    assert all(np.isfinite(leaf).all() for leaf in leaves(state))


def test_skipped_steps_are_named_with_the_command_that_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    guards.report_skipped(CONFIG, 40, [one(), one(1, 1, np.nan), one(1, 2, np.inf), one(), one(1, 1, np.nan)])
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "steps 41 to 42: loss nan, gradient norm nan: no update; see "
        "pairstream batches m.json --data d --batch-size 8 --seed 0 --start 41 --show 3 --count 2"
    )
    assert second.startswith("step 44: ")


def test_so_many_in_a_row_end_the_run_though_they_began_before_the_last_log_line() -> None:
    with pytest.raises(RuntimeError, match=r"^steps 9 to 11: .* 3 times in a row .*--start 9 .*--count 3$"):
        guards.report_skipped(CONFIG, 10, [one(1, 2, np.nan), one(1, 3, np.nan)])


def test_a_run_passes_over_a_batch_of_a_broken_word_and_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_run(tmp_path, log_every=7, steps=14)
    shutil.rmtree(tmp_path / "data" / "a")
    pairs = topic_pairs("a", 200, 1)
    pairs[:2] = [dataclasses.replace(pair, positive=f"zzz {pair.positive}") for pair in pairs[:2]]
    write_dataset(tmp_path / "data" / "a", "a", {"train": pairs})
    poison(config, rows=slice(3, 4))  # of words that the tokenizer does not know
    done = train(config, tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if "no update" in line]
    assert done.step == 14 and 0 < len(said) <= 2
    command = said[0].partition("; see pairstream ")[2].replace("--show 3", "--show 16")
    assert main(shlex.split(command)) == 0
    assert "zzz" in capsys.readouterr().out


def test_a_run_whose_every_update_fails_stops_with_one_line(tmp_path: Path) -> None:
    config = write_run(tmp_path, log_every=2, stop_after_skipped=3)
    poison(config, rows=slice(None))
    with pytest.raises(RuntimeError, match=r"steps 0 to 2: loss or gradient was not finite 3 times in a row"):
        train(config, tmp_path / "run")


def poison(config: TrainConfig, rows: slice) -> None:
    """Make rows of the base encoder's table of words not a number."""
    folder = Path(config.encoder)
    encoder = load_encoder(folder)
    for path, variable in nnx.to_flat_state(nnx.state(encoder, nnx.Param)):
        if variable.get_value().shape[0] == encoder.config.vocab_size:
            variable.set_value(variable.get_value().at[rows].set(jnp.nan))
            nnx.update(encoder, nnx.from_flat_state([(path, variable)]))
    save_encoder(encoder, folder)


def test_a_stall_is_said_once_while_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    def items() -> Iterator[str]:
        yield "a"
        until = time.monotonic() + 600
        while not (said := capsys.readouterr().err):
            assert time.monotonic() < until, "nobody says anything"
            time.sleep(0.01)
        yield said

    first, said = guards.watch_stalls(items(), 0.2, 7)
    assert first == "a"
    assert said.startswith("step 8: no batch for 0.2 seconds; still waiting") and said.count("\n") == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "x"), ValueError("write: No space left on device [os 28]")])
def test_a_full_disk_names_the_last_whole_checkpoint(error: Exception, tmp_path: Path) -> None:
    for name in ("10", "5", "15.orbax-checkpoint-tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    message = r"no space left on the disk; the checkpoint of step 10 is whole; free some"
    with pytest.raises(OSError, match=message), guards.clear_when_full(tmp_path):
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("saving failed") from cause


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^something else$"), guards.clear_when_full(tmp_path):
        raise ValueError("something else")
