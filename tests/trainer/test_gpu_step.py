"""The accelerator's benchmark runs anywhere, and counts what it says it counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import gpu_step


def test_the_benchmark_of_accelerators_runs_on_a_cpu(tmp_path, capsys):
    path = str(tmp_path / "batches.npz")
    gpu_step.main(["make", path, "--pairs", "512"])
    options = ["--model", "tiny", "--batch-size", "512", "--micro-packs", "1", "--turns", "1"]
    gpu_step.main(["run", path, *options])
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[:4] == ["tiny", "512", "1", "none"]
    assert float(row[5].replace(",", "")) > 0


def test_useful_flops_are_those_of_the_formula_for_texts_of_one_length(tmp_path):
    lengths = tmp_path / "lengths.jsonl"
    lengths.write_text("\n".join(json.dumps([128, 128]) for _ in range(64)))
    batch = gpu_step.make(str(tmp_path / "batches.npz"), 64, str(lengths))
    shape = gpu_step.MODELS["mpnet-base"]
    h, f, layers, s = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"], 128
    a_pair = 6 * layers * s * (2 * (4 * h**2 + 2 * h * f) + 4 * s * h)
    assert gpu_step.useful_flops(batch, shape) == pytest.approx(64 * a_pair)
    assert a_pair == pytest.approx(134.1e9, rel=1e-3)


def test_batches_read_back_are_those_made(tmp_path):
    path = str(tmp_path / "batches.npz")
    made = gpu_step.make(path, 128, None)
    assert not made.shortened.any()
    for read, wrote in zip(gpu_step.load(path, 128), made, strict=True):
        np.testing.assert_array_equal(read, wrote)
    with pytest.raises(SystemExit, match="128 pairs; --batch-size 192"):
        gpu_step.load(path, 192)
