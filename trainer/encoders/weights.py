"""An encoder folder's `config.json` and `model.safetensors`, in Hugging Face's names, and our modules."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from trainer.encoders.attention import Method
from trainer.encoders.families import FAMILIES, read_encoder_config
from trainer.encoders.tensors import WEIGHTS, StoredTensors, has_tensors
from trainer.encoders.transformer import Encoder, Remat

CONFIG = "config.json"
POOLER = "pooler."

Keys = tuple[Any, ...]
Stored = Literal["float32", "bfloat16"]


def load_encoder(
    folder: str | Path,
    *,
    dtype: Any = jnp.float32,
    dropout: float | None = None,
    remat: Remat = "none",
    method: Method | None = None,
) -> Encoder:
    """Reads an encoder of any family with float32 parameters; the options are those of `Encoder`.

    Tensors may be named with or without the family's prefix, and layer norms' by `gamma` and
    `beta`. What the encoder has no use for (heads, pooler, position ids) is left unread.

    Raises FileNotFoundError when a file is not there, ValueError when the model is unsupported, or
    the tensors are not those that `config.json` describes.
    """
    folder = Path(folder)
    config = read_encoder_config(read_config(folder))
    family = FAMILIES[config.model_type]
    options: dict[str, Any] = {"dtype": dtype, "dropout": dropout, "remat": remat, "method": method}
    abstract = nnx.eval_shape(lambda: Encoder(config, **options, rngs=nnx.Rngs(0)))
    graphdef, variables = nnx.split(abstract)
    stored = StoredTensors(folder, family.plain_name)

    def read(path: Keys, wanted: jax.ShapeDtypeStruct) -> jax.Array:
        name = family.tensor_name(path)
        if name not in stored:
            raise ValueError(
                f"{stored.path}: no tensor {name}; expected those of a {family.model_type} encoder; "
                f"check that {CONFIG} and the weights belong together"
            )
        tensor = stored.read(name)
        expected = wanted.shape[::-1] if path[-1] == "kernel" else wanted.shape
        if tensor.shape != expected:
            raise ValueError(
                f"{stored.path}: tensor {name} has shape {tensor.shape}; expected {expected} "
                f"from {CONFIG}; use the config.json these weights came with"
            )
        return jnp.asarray(tensor.T if path[-1] == "kernel" else tensor)

    encoder = nnx.merge(graphdef, _map_with_path(read, nnx.to_pure_dict(variables)))
    layers = 1 + max((family.layer_number(name) or 0 for name in stored), default=0)
    if layers > config.num_hidden_layers:
        raise ValueError(
            f"{stored.path} has {layers} layers; expected {config.num_hidden_layers} "
            f"from {CONFIG}; use the config.json these weights came with"
        )
    return encoder


def init_encoder(
    folder: str | Path,
    *,
    seed: int,
    dtype: Any = jnp.float32,
    dropout: float | None = None,
    remat: Remat = "none",
    method: Method | None = None,
) -> Encoder:
    """A random encoder of the shape that the folder's `config.json` says; no weights are read.

    Raises FileNotFoundError or ValueError when there is no such config.
    """
    config = read_encoder_config(read_config(Path(folder)))
    return Encoder(config, dtype=dtype, dropout=dropout, remat=remat, method=method, rngs=nnx.Rngs(seed))


def save_encoder(
    encoder: Encoder,
    folder: str | Path,
    *,
    base: str | Path | None = None,
    pooler: bool = True,
    dtype: Stored = "float32",
) -> None:
    """Writes `config.json` and `model.safetensors` of that type, readable by `transformers` and by us.

    From `base`, the folder the encoder was made from, come what training does not touch: the config's other
    keys and, unless `pooler` is false, the pooler's tensors, if there. Each file is whole or not there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    family = FAMILIES[encoder.config.model_type]
    tensors: dict[str, np.ndarray] = {}
    document = _config_of(family.write_config(encoder.config), dtype)
    if base is not None:
        document = _config_of(read_config(Path(base)), dtype) | {"architectures": [family.architecture]}
        if pooler and has_tensors(Path(base)):
            stored = StoredTensors(Path(base), family.plain_name)
            tensors |= {name: stored.read(name) for name in stored if name.startswith(POOLER)}

    def collect(path: Keys, array: jax.Array) -> None:
        values = np.asarray(array, np.float32)
        # Copied into row order: safetensors writes the buffer and would not see the transpose.
        tensors[family.tensor_name(path)] = np.ascontiguousarray(values.T if path[-1] == "kernel" else values)

    _map_with_path(collect, nnx.to_pure_dict(nnx.state(encoder)))
    partial = folder / f"{WEIGHTS}.partial-{os.getpid()}"
    save_file(
        {name: tensor.astype(jnp.dtype(dtype)) for name, tensor in tensors.items()}, partial, metadata={"format": "pt"}
    )
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


def _config_of(document: dict[str, Any], dtype: Stored) -> dict[str, Any]:
    """The document for weights of that type: `transformers` computes in the type that is stated."""
    stated = [key for key in ("dtype", "torch_dtype") if key in document]
    return document | dict.fromkeys(stated or (["dtype"] if dtype != "float32" else []), dtype)


def _map_with_path(function: Any, tree: dict[str, Any]) -> Any:
    """`function(path, leaf)` over nested dicts, path being the tuple of their keys."""
    return jax.tree.map_with_path(lambda keys, leaf: function(tuple(k.key for k in keys), leaf), tree)
