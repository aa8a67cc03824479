"""The ONNX form of an encoder folder, checked against the vectors that we compute."""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.shards import open_local
from trainer.encode import TextEncoder
from trainer.encoders.head import read_head
from trainer.encoders.weights import load_encoder

FLOAT, INT8 = "onnx/model.onnx", "onnx/model_int8.onnx"
"""Where the Hub's libraries look."""
TOLERANCE = 1e-4
"""Of a number of a vector, relative to the longest vector: float32 sums taken in another order."""
INT8_COSINE = 0.9
"""Least cosine between a vector and ours after dynamic quantisation: below it the encoder bears none."""
SAMPLE = (
    "",
    "A man is eating food.",
    "def read_lines(path):\n    return open(path).read().splitlines()",
    "Texts of different lengths lie in one batch, and padding must not show. " * 8,
)


def write_onnx(folder: str | Path, *, int8: bool = False) -> dict[str, float]:
    """Write `onnx/model.onnx` into an encoder folder and, with `int8`, `onnx/model_int8.onnx`.

    Each is run by onnxruntime on a few texts first. Returns for each file how far its vectors are from ours: the
    largest difference, relative to the longest vector, of float32, and the least cosine of int8. Raises
    RuntimeError when the packages are not installed or the vectors differ.
    """
    for name in ("onnx", "onnxruntime"):
        _import(name)
    from trainer.onnx_graph import encoder_graph

    folder = Path(folder)
    head = read_head(folder)
    if not head.pools_prompt:
        raise ValueError(f"{folder} leaves prompts out of its vectors, which an ONNX form cannot: export it without")
    model = encoder_graph(load_encoder(folder), head.pooling, unit_length=head.unit_length)
    ours = TextEncoder.open(folder)
    expected = ours.encode(SAMPLE)
    (folder / FLOAT).parent.mkdir(exist_ok=True)
    data = model.SerializeToString()
    measured = {FLOAT: _difference(run_onnx(data, ours, SAMPLE), expected)}
    if measured[FLOAT] > TOLERANCE:
        raise RuntimeError(f"{folder}: its ONNX form is {measured[FLOAT]:.2g} away; expected at most {TOLERANCE:g}")
    with open_local(str(folder / FLOAT)) as file:
        file.write(data)
    if int8:
        quantised = _quantise(folder / FLOAT)
        measured[INT8] = _least_cosine(run_onnx(quantised, ours, SAMPLE), expected)
        if measured[INT8] < INT8_COSINE:
            raise RuntimeError(
                f"{folder}: in int8 a vector has cosine {measured[INT8]:.3f} with ours; expected at least "
                f"{INT8_COSINE}; export it without --int8"
            )
        with open_local(str(folder / INT8)) as file:
            file.write(quantised)
    return measured


def run_onnx(model: bytes | str, encoder: TextEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """float32[n, D]: the vectors a model gives to texts as the encoder tokenises them."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ids = encoder.token_ids(texts)
    width = max(map(len, ids))
    tokens, mask = np.zeros((2, len(ids), width), np.int64)
    for row, each in enumerate(ids):
        tokens[row, : len(each)], mask[row, : len(each)] = each, 1
    (vectors,) = session.run(["sentence_embedding"], {"input_ids": tokens, "attention_mask": mask})
    return np.asarray(vectors)


def _quantise(path: Path) -> bytes:
    """The model with matrices in int8, one scale a column, and activations quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # pyright: ignore[reportMissingImports]

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends preprocessing, which a graph without shapes to infer does not need
    try:
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch, "model.onnx")
            quantize_dynamic(
                path, made, op_types_to_quantize=["MatMul", "Gather"], per_channel=True, weight_type=QuantType.QInt8
            )
            return made.read_bytes()
    finally:
        root.setLevel(level)


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(found - expected).max() / np.linalg.norm(expected, axis=1).max())


def _least_cosine(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / lengths).min())


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RuntimeError(f"{name} is not installed; the ONNX form needs it: pip install 'pairstream[onnx]'") from None
