"""An encoder folder's weights: `config.json` and one `model.safetensors`, in Hugging Face's names.

Only safetensors are read and written: a pickled checkpoint can run code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trainer.encoders.bert import BertConfig, BertEncoder

CONFIG, WEIGHTS = "config.json", "model.safetensors"

MODULES = {
    ("embeddings", "word"): "embeddings.word_embeddings",
    ("embeddings", "position"): "embeddings.position_embeddings",
    ("embeddings", "token_type"): "embeddings.token_type_embeddings",
    ("embeddings", "norm"): "embeddings.LayerNorm",
}
LAYER_MODULES = {
    ("attention", "query"): "attention.self.query",
    ("attention", "key"): "attention.self.key",
    ("attention", "value"): "attention.self.value",
    ("attention", "output"): "attention.output.dense",
    ("attention_norm",): "attention.output.LayerNorm",
    ("up",): "intermediate.dense",
    ("down",): "output.dense",
    ("norm",): "output.LayerNorm",
}
LEAVES = {"embedding": "weight", "kernel": "weight", "scale": "weight", "bias": "bias"}

Keys = tuple[Any, ...]


def load_encoder(folder: str | Path, *, dtype: Any = jnp.float32, dropout: float | None = None) -> BertEncoder:
    """Reads an encoder with float32 parameters; `dtype` and `dropout` as for `BertEncoder`.

    Tensors may be named with or without the prefix `bert.`, and layer norms' by `gamma` and
    `beta`. What the encoder has no use for (heads, pooler, position ids) is left unread.

    Raises FileNotFoundError when a file is not there, ValueError when the model is unsupported, or
    a tensor is missing or has another shape than `config.json` says.
    """
    folder = Path(folder)
    config = BertConfig.from_dict(read_config(folder))
    abstract = nnx.eval_shape(lambda: BertEncoder(config, dtype=dtype, dropout=dropout, rngs=nnx.Rngs(0)))
    graphdef, variables = nnx.split(abstract)
    stored = _open_weights(folder)

    def read(path: Keys, wanted: jax.ShapeDtypeStruct) -> jax.Array:
        tensor = stored.read(_tensor_name(path))
        expected = wanted.shape[::-1] if path[-1] == "kernel" else wanted.shape
        if tensor.shape != expected:
            raise ValueError(
                f"{stored.path}: tensor {_tensor_name(path)} has shape {tensor.shape}; expected {expected} "
                f"from {CONFIG}; use the config.json these weights came with"
            )
        return jnp.asarray(tensor.T if path[-1] == "kernel" else tensor, jnp.float32)

    return nnx.merge(graphdef, _map_with_path(read, nnx.to_pure_dict(variables)))


def save_encoder(encoder: BertEncoder, folder: str | Path, *, base: str | Path | None = None) -> None:
    """Writes `config.json` and float32 `model.safetensors`, readable by `transformers` and by us.

    From `base`, the folder the encoder was loaded from, come what training does not touch: the
    pooler's tensors, if there, and the config's other keys. Each file is whole or not there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, np.ndarray] = {}
    document = encoder.config.to_dict()
    if base is not None:
        tensors |= _open_weights(Path(base)).pooler()
        document = read_config(Path(base)) | {"architectures": ["BertModel"]}

    def collect(path: Keys, array: jax.Array) -> None:
        values = np.asarray(array, np.float32)
        # Copied into row order: safetensors writes the buffer and would not see the transpose.
        tensors[_tensor_name(path)] = np.ascontiguousarray(values.T if path[-1] == "kernel" else values)

    _map_with_path(collect, nnx.to_pure_dict(nnx.state(encoder)))
    partial = folder / f"{WEIGHTS}.partial-{os.getpid()}"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / WEIGHTS)
    partial = folder / f"{CONFIG}.partial-{os.getpid()}"
    partial.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    os.replace(partial, folder / CONFIG)


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed `config.json`; FileNotFoundError or ValueError when there is none to read."""
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; expected an encoder folder with {CONFIG}; check the path")
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); expected a Hugging Face config; fetch it again") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds a {type(document).__name__}; expected a JSON object; fetch it again")
    return document


class _Weights:
    """A safetensors file whose tensors are looked up by their plain BERT names."""

    def __init__(self, path: Path, tensors: Any):
        self.path = path
        self.tensors = tensors
        self.stored_names = {_plain_name(name): name for name in tensors.keys()}  # noqa: SIM118

    def read(self, name: str) -> np.ndarray:
        if name not in self.stored_names:
            raise ValueError(
                f"{self.path}: no tensor {name}; expected one of a BERT encoder; "
                f"check that {CONFIG} and the weights belong together"
            )
        # Read through JAX: NumPy has no bfloat16, in which some encoders are stored.
        return np.asarray(self.tensors.get_tensor(self.stored_names[name]).astype(jnp.float32))

    def pooler(self) -> dict[str, np.ndarray]:
        return {name: self.read(name) for name in self.stored_names if name.startswith("pooler.")}


def _open_weights(folder: Path) -> _Weights:
    path = folder / WEIGHTS
    if not path.is_file():
        others = sorted(p.name for pattern in ("*.bin", "*.safetensors*") for p in folder.glob(pattern))
        raise FileNotFoundError(
            f"{path} not found (found: {', '.join(others) or 'no weights'}); expected a single {WEIGHTS}; "
            "save the model with transformers' save_pretrained(folder, max_shard_size='100GB')"
        )
    try:
        return _Weights(path, safe_open(path, framework="flax"))
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); fetch it again") from None


def _plain_name(stored: str) -> str:
    """A stored tensor's name as `transformers.BertModel` has it today."""
    name = stored.removeprefix("bert.")
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name


def _tensor_name(path: Keys) -> str:
    """('layers', 0, 'attention', 'query', 'kernel') → 'encoder.layer.0.attention.self.query.weight'."""
    *module, leaf = path
    if module[0] == "layers":
        return f"encoder.layer.{module[1]}.{LAYER_MODULES[tuple(module[2:])]}.{LEAVES[leaf]}"
    return f"{MODULES[tuple(module)]}.{LEAVES[leaf]}"


def _map_with_path(function: Any, tree: dict[str, Any]) -> Any:
    """`function(path, leaf)` over nested dicts, path being the tuple of their keys."""
    return jax.tree.map_with_path(lambda keys, leaf: function(tuple(k.key for k in keys), leaf), tree)
