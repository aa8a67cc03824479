"""The safetensors of a folder: one file, or shards and their index.

Only safetensors are read: a pickled checkpoint can run code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


class StoredTensors:
    """Tensors by name, read from disk one at a time."""

    def __init__(self, folder: Path, plain_name: Callable[[str], str]):
        """Opens what the folder has; `plain_name` gives the name by which a stored tensor is looked up.

        Raises FileNotFoundError or ValueError, in one line, when there are no tensors to read.
        """
        self.path, files = _find(folder)
        self._stored = {plain_name(name): (name, file) for file in files for name in file.keys()}  # noqa: SIM118

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def read(self, name: str) -> np.ndarray:
        """The tensor in float32, whatever type it is stored in. Raises KeyError when there is none."""
        stored_name, file = self._stored[name]
        # Read through JAX: NumPy has no bfloat16, in which some encoders are stored.
        return np.asarray(file.get_tensor(stored_name).astype(jnp.float32))


def has_tensors(folder: Path) -> bool:
    """Whether there are safetensors in the folder, whole or sharded."""
    return (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()


def _find(folder: Path) -> tuple[Path, list[Any]]:
    """The file that names the weights, and the opened files that hold them."""
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS, [_open(folder / WEIGHTS)]
    if (folder / INDEX).is_file():
        return folder / INDEX, [_open(folder / name) for name in _shard_names(folder / INDEX)]
    found = sorted(path.name for pattern in ("*.bin", "*.safetensors*") for path in folder.glob(pattern))
    raise FileNotFoundError(
        f"{folder / WEIGHTS} not found (found: {', '.join(found) or 'no weights'}); expected safetensors; convert with "
        f"transformers: AutoModel.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
    )


def _shard_names(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{index} is no index; expected JSON with a weight_map; fetch it again") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{index} names the shard {name!r}; expected files of its own folder; fetch it again")
        if not (index.parent / name).is_file():
            raise FileNotFoundError(f"{index.parent / name} not found; expected all shards of {INDEX}; fetch it")
    return names


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="flax")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); fetch it again") from None
