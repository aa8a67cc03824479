"""What is read from the compiler's report, the search for the largest batch, and one real compilation."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from pairstream.cli import main
from pairstream.tpu_check import _NO_TPU_HERE
from trainer import tpu_check
from trainer.config import PackConfig, TrainConfig
from trainer.tpu_check import StepReport, _out_of_memory, check_step, collectives_of, count_collectives, largest_batch

ROOT = Path(__file__).parents[2]
RUN = TrainConfig(name="t", encoder="e", mixture="m", data="d", batch_size=64, pack=PackConfig(pairs=8, rows=4))


def test_collectives_are_counted_once_each_started_or_not() -> None:
    program = """
      %a = f32[8] all-gather(%x), dimensions={0}
      %b = f32[8] all-reduce-start(%x)
      %c = f32[8] all-reduce-done(%b)
      %d = f32[8] all-reduce(%x), metadata={op_name="all-reduce"}
      %e = f32[8] fusion(%all-reduce.3)
    """
    assert count_collectives(program) == {"all-gather": 1, "all-reduce": 2}


def test_a_program_that_cannot_be_read_costs_the_collectives_alone() -> None:
    class Compiled:
        def as_text(self) -> str:
            raise jax.errors.JaxRuntimeError("INTERNAL: RET_CHECK failure: async-update instruction")

    assert collectives_of(Compiled()) is None


@pytest.mark.parametrize("most", [64, 192, 1000, 5000])
def test_the_largest_batch_is_the_last_that_fits(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpu_check, "_devices", lambda _: [None] * 8)
    tried = []

    def check(config: TrainConfig, topology: str) -> StepReport:
        tried.append(config.batch_size)
        nothing = dict.fromkeys(("arguments_gib", "temporaries_gib", "flops", "seconds", "collectives"))
        fits = config.batch_size <= most
        return StepReport(topology, 8, config.batch_size, fits, "", 16, **nothing, compile_seconds=0)

    assert largest_batch(RUN, "v3:2x2", check) == most // 64 * 64
    assert len(set(tried)) == len(tried)


def test_no_batch_fits_where_one_pack_a_device_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpu_check, "_devices", lambda _: [None] * 8)
    report = StepReport("v3:2x2", 8, 64, False, "needs 20G of 15.75G", 16, None, None, None, None, None, 0)
    assert largest_batch(RUN, "v3:2x2", lambda config, topology: report) is None


@pytest.mark.parametrize("topology", ["v9:2x2", "v3", "v3:big", ""])
def test_a_topology_that_is_none_is_named(topology: str) -> None:
    with pytest.raises(ValueError, match=r"no such topology; expected one of v2:2x2, v3:2x2"):
        check_step(RUN, topology)


def test_a_machine_without_libtpu_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match=r"^no libtpu to compile with; expected the extra \[tpu\]"):
        check_step(RUN, "v3:2x2")


@pytest.mark.parametrize(
    "said",
    [
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 62.39G of 15.48G hbm. Exceeded by 46.91G.",
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (62.39G) exceeds available HBM (15.48G). HLO module: jit_train_step.",
    ],
)
def test_what_does_not_fit_is_told_by_its_size(said: str) -> None:
    assert _out_of_memory(said) == "needs 62.39G of 15.48G"
    assert _out_of_memory("INTERNAL: something else") is None


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets variables for its own process; afterwards they are as before."""
    for name in _NO_TPU_HERE:
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("topology", ["v9:2x2", "8 chips"])
def test_a_call_for_a_topology_that_is_none_is_wrong_and_told_the_known(
    topology: str, capfd: pytest.CaptureFixture[str], own_environment: None
) -> None:
    assert main(["tpu-check", "minilm_l6", "--topology", topology]) == 2
    said = capfd.readouterr().err.strip()
    assert said.startswith(f"pairstream tpu-check: {topology}: no such topology; expected one of v2:2x2, v3:2x2, v4")
    assert "\n" not in said


def test_a_call_that_names_no_topology_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tpu-check", "minilm_l6", "--topology"]) == 2
    assert "--topology names none; expected one or more, such as v3:2x2" in capfd.readouterr().err


def test_a_batch_that_a_topology_does_not_divide_is_a_wrong_call(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_environment: None
) -> None:
    monkeypatch.setattr(tpu_check, "_devices", lambda _: jax.devices())
    assert main(["tpu-check", "quickstart"]) == 2
    said = capfd.readouterr().err.strip()
    assert said.startswith("pairstream tpu-check: v3:2x2: batch_size 64 is 1 pack of 64 pairs; expected a multiple of")
    assert said.endswith("--set pack.pairs=8 --set pack.rows=6") and "\n" not in said


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not here: the extra [tpu]")
def test_the_real_step_of_a_small_run_compiles_for_a_v3(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    shape = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    (base / "config.json").write_text(json.dumps(shape | {"intermediate_size": 32, "max_position_embeddings": 32}))
    pack = PackConfig(pairs=4, rows=8, tokens=16)
    run = dataclasses.replace(RUN, encoder=str(base), batch_size=32, pack=pack, dropout=0.0)
    (tmp_path / "config.json").write_text(json.dumps(run.to_json()))
    command = [sys.executable, "-m", "pairstream", "tpu-check", str(tmp_path / "config.json"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["topologies"]
    assert report["devices"] == 8 and report["fits"]
    assert report["collectives"] and report["flops"] > 0
    assert 0 < report["temporaries_gib"] + report["arguments_gib"] < 1
