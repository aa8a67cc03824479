"""The whole road on a tiny corpus and encoder: what it leaves, what it reuses, what Ctrl-C does to it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpora import write_run

from pairstream.cli import main
from pairstream.run import overlap
from schemas.manifest import Manifest
from trainer.config import TrainConfig


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path, Path]:
    """(config, its file, the run's folder) after the road was walked once."""
    root = tmp_path_factory.mktemp("road")
    config = write_run(root, steps=6)
    path = root / "run.json"
    path.write_text(json.dumps(config.to_json()))
    assert main(["run", str(path), "--output", str(root / "out")]) == 0
    return config, path, root / "out"


@pytest.mark.slow
def test_the_road_ends_with_an_encoder_and_its_figures(road: tuple[TrainConfig, Path, Path]) -> None:
    config, _, folder = road
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["pairs"], metrics["steps"]) == (300, 6)
    assert set(metrics["stages"]) == {"base scores", "train", "export", "scores"}
    for contender in ("base", "trained", "bm25"):
        assert set(metrics[contender]) == {"a", "b"}
        assert all(0 <= row["mrr@10"] <= 1 and row["queries"] > 0 for row in metrics[contender].values())
    assert metrics["base"] != metrics["trained"]
    card = (folder / "encoder" / "README.md").read_text()
    assert "| this encoder |" in card and "| BM25 |" in card and f"| {config.encoder} |" in card


@pytest.mark.slow
def test_a_second_call_runs_no_stage_again(
    road: tuple[TrainConfig, Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    _, path, folder = road
    before = json.loads((folder / "metrics.json").read_text())
    assert main(["run", str(path), "--output", str(folder)]) == 0
    assert capfd.readouterr().out.count("done before") == 4
    assert main(["run", str(path), "--output", str(folder), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == before and err.count("done before") == 4
    assert json.loads((folder / "metrics.json").read_text()) == before


@pytest.mark.slow
def test_the_road_from_random_weights_has_no_base_to_fetch_or_score(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=2, initial="random")
    (Path(config.encoder) / "model.safetensors").unlink()
    path = tmp_path / "run.json"
    path.write_text(json.dumps(config.to_json()))
    assert main(["run", str(path), "--output", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "base" not in metrics and set(metrics["trained"]) == set(metrics["bm25"]) == {"a", "b"}
    card = (tmp_path / "out" / "encoder" / "README.md").read_text()
    assert "| this encoder |" in card and "| BM25 |" in card and f"| {config.encoder} |" not in card


@pytest.mark.slow
def test_ctrl_c_during_training_saves_and_the_same_command_goes_on(
    road: tuple[TrainConfig, Path, Path], tmp_path: Path
) -> None:
    config, _, _ = road
    path, folder = tmp_path / "long.json", tmp_path / "out"
    path.write_text(json.dumps(dataclasses.replace(config, steps=400, checkpoint_every=1000).to_json()))
    process = subprocess.Popen(
        [sys.executable, "-m", "pairstream", "run", str(path), "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    log = folder / "metrics.jsonl"
    until = time.monotonic() + 600
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130 and b"Traceback" not in err, err
    saved = [int(entry.name) for entry in (folder / "checkpoints").iterdir()]
    assert len(saved) == 1 and 0 < saved[0] < 400
    assert json.loads(log.read_text().splitlines()[-1])["step"] == saved[0]


def test_overlap_counts_train_pairs_with_a_text_of_test(tmp_path: Path) -> None:
    from corpora import write_dataset

    from schemas.pair import Pair

    train = [Pair("d", "One question", "its answer"), Pair("d", "shared  TEXT", "other"), Pair("d", "x y", "z w")]
    test = [Pair("d", "held out", "Shared text"), Pair("d", "more", "Z W")]
    write_dataset(tmp_path / "d", "d", {"train": train, "test": test})
    assert overlap([Manifest.load(tmp_path / "d")]) == {"d": 2}
