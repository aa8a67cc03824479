"""An encoder as an ONNX graph: the modules of `trainer.encoders.transformer` written again in ONNX's operators.

Inputs are int64[texts, tokens] `input_ids` and `attention_mask` (1 for a token, 0 for padding, which comes after
the text); outputs are float32 `last_hidden_state` [texts, tokens, H], for those who pool themselves,
and `sentence_embedding` [texts, H], pooled and, where the encoder says so, of unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx  # pyright: ignore[reportMissingImports]
from flax import nnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper  # pyright: ignore[reportMissingImports]

from trainer.encoders.relative import relative_buckets
from trainer.encoders.transformer import Encoder
from trainer.pooling import Pooling

OPSET, IR_VERSION = 17, 8  # the first with LayerNormalization, and of its time: older runtimes read them
LEAST = float(np.finfo(np.float32).min)


def encoder_graph(encoder: Encoder, pooling: Pooling, *, unit_length: bool) -> onnx.ModelProto:
    """The model, checked by `onnx.checker`."""
    graph = _Graph(nnx.to_pure_dict(nnx.state(encoder)))
    hidden = _hidden_states(graph, encoder)
    graph.rename(hidden, "last_hidden_state")
    vectors = _pooled(graph, "last_hidden_state", pooling)
    if unit_length:
        length = graph.add("ReduceL2", vectors, axes=[1], keepdims=1)
        # Only a text without tokens has length 0; its vector stays 0.
        vectors = graph.add("Div", vectors, graph.add("Max", length, graph.constant(np.float32(1e-30))))
    graph.rename(vectors, "sentence_embedding")
    width = encoder.config.hidden_size
    made = helper.make_graph(
        graph.nodes,
        "encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["texts", "tokens", width]),
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["texts", width]),
        ],
        initializer=graph.initializers,
    )
    model = helper.make_model(
        made, producer_name="pairstream", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes in order, with names for what they give."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._named: set[str] = set()

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output, whose name is returned."""
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def rename(self, output: str, name: str) -> None:
        """Give the last node's output a name of its own."""
        assert list(self.nodes[-1].output) == [output]
        self.nodes[-1].output[0] = name

    def constant(self, value: Any) -> str:
        return self._initializer(f"constant_{len(self.initializers)}", np.asarray(value))

    def parameter(self, *path: Any) -> str:
        """An array of the encoder under its own path; stored once."""
        name = ".".join(map(str, path))
        if name not in self._named:
            value: Any = self.parameters
            for key in path:
                value = value[key]
            self._initializer(name, np.asarray(value, np.float32))
            self._named.add(name)
        return name

    def linear(self, hidden: str, *module: Any) -> str:
        product = self.add("MatMul", hidden, self.parameter(*module, "kernel"))
        return self.add("Add", product, self.parameter(*module, "bias"))

    def norm(self, hidden: str, epsilon: float, *module: Any) -> str:
        names = (self.parameter(*module, "scale"), self.parameter(*module, "bias"))
        return self.add("LayerNormalization", hidden, *names, axis=-1, epsilon=epsilon)

    def _initializer(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name


def _hidden_states(graph: _Graph, encoder: Encoder) -> str:
    config = encoder.config
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    length = graph.add("Gather", graph.add("Shape", "input_ids"), one)
    places = graph.add("Range", zero, length, one)
    positions = graph.add("Add", places, graph.constant(np.int64(config.first_position)))
    words = graph.add("Gather", graph.parameter("embeddings", "word", "embedding"), "input_ids")
    total = graph.add(
        "Add", words, graph.add("Gather", graph.parameter("embeddings", "position", "embedding"), positions)
    )
    if config.type_vocab_size:
        types = graph.parameter("embeddings", "token_type", "embedding")
        total = graph.add("Add", total, graph.add("Gather", types, zero))
    hidden = graph.norm(total, config.layer_norm_eps, "embeddings", "norm")
    masked = _mask(graph)
    if config.relative_attention_num_buckets:
        masked = graph.add("Add", masked, _relative_bias(graph, encoder, places))
    for number in range(config.num_hidden_layers):
        hidden = _layer(graph, encoder, hidden, masked, ("layers", number))
    return hidden


def _mask(graph: _Graph) -> str:
    """float32[texts, 1, 1, tokens]: nothing where there is a token, so little under padding that it never counts."""
    absent = graph.add("Sub", graph.constant(np.float32(1)), graph.add("Cast", "attention_mask", to=TensorProto.FLOAT))
    least = graph.add("Mul", absent, graph.constant(np.float32(LEAST / 2)))
    return graph.add("Unsqueeze", least, graph.constant(np.array([1, 2], np.int64)))


def _relative_bias(graph: _Graph, encoder: Encoder, places: str) -> str:
    """float32[1, heads, tokens, tokens], from a table of all distances two tokens can have."""
    config = encoder.config
    far = config.max_tokens - 1
    buckets = relative_buckets(np.arange(-far, far + 1), config.relative_attention_num_buckets)
    table = np.asarray(graph.parameters["relative_bias"]["table"]["embedding"], np.float32)[buckets]
    keys, queries = (graph.add("Unsqueeze", places, graph.constant(np.array([axis], np.int64))) for axis in (0, 1))
    distances = graph.add("Add", graph.add("Sub", keys, queries), graph.constant(np.int64(far)))
    chosen = graph.add("Gather", graph.constant(np.ascontiguousarray(table.T)), distances, axis=1)
    return graph.add("Unsqueeze", chosen, graph.constant(np.array([0], np.int64)))


def _layer(graph: _Graph, encoder: Encoder, hidden: str, masked: str, path: Sequence[Any]) -> str:
    config = encoder.config
    heads = config.num_attention_heads
    width = config.hidden_size // heads
    into = graph.constant(np.array([0, 0, heads, width], np.int64))

    def split(name: str, order: list[int]) -> str:
        projected = graph.linear(hidden, *path, "attention", name)
        return graph.add("Transpose", graph.add("Reshape", projected, into), perm=order)

    query, value = split("query", [0, 2, 1, 3]), split("value", [0, 2, 1, 3])
    scaled = graph.add("Mul", query, graph.constant(np.float32(width**-0.5)))
    logits = graph.add("Add", graph.add("MatMul", scaled, split("key", [0, 2, 3, 1])), masked)
    attended = graph.add("MatMul", graph.add("Softmax", logits, axis=-1), value)
    joined = graph.add("Transpose", attended, perm=[0, 2, 1, 3])
    flat = graph.add("Reshape", joined, graph.constant(np.array([0, 0, config.hidden_size], np.int64)))
    added = graph.add("Add", hidden, graph.linear(flat, *path, "attention", "output"))
    hidden = graph.norm(added, config.layer_norm_eps, *path, "attention_norm")
    up = graph.linear(hidden, *path, "up")
    half = graph.add("Erf", graph.add("Mul", up, graph.constant(np.float32(0.5**0.5))))
    normal = graph.add("Mul", graph.add("Add", half, graph.constant(np.float32(1))), graph.constant(np.float32(0.5)))
    down = graph.linear(graph.add("Mul", up, normal), *path, "down")
    return graph.norm(graph.add("Add", hidden, down), config.layer_norm_eps, *path, "norm")


def _pooled(graph: _Graph, hidden: str, pooling: Pooling) -> str:
    if pooling == "cls":
        return graph.add("Gather", hidden, graph.constant(np.int64(0)), axis=1)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    axis = graph.constant(np.array([1], np.int64))
    counted = graph.add("Unsqueeze", mask, graph.constant(np.array([2], np.int64)))
    sums = graph.add("ReduceSum", graph.add("Mul", hidden, counted), axis, keepdims=0)
    counts = graph.add("Max", graph.add("ReduceSum", mask, axis, keepdims=1), graph.constant(np.float32(1)))
    return graph.add("Div", sums, counts)
