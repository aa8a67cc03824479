"""What a `config.json` and a file of weights call the parts of an encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.encoders.config import EncoderConfig

LEAVES = {"embedding": "weight", "kernel": "weight", "scale": "weight", "bias": "bias"}

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Family:
    """One family's names. Modules are paths below `Encoder`, or below one of its layers, with dots."""

    model_type: str
    """As `config.json` says it; with a dot it is the prefix of tensors in checkpoints with a head."""
    architecture: str
    """The class of `transformers` without a head."""
    modules: Mapping[str, str]
    """Module → tensor name without its last part."""
    layers: str
    """What the number of a layer follows in tensor names."""
    layer_modules: Mapping[str, str]
    """Module of a layer → tensor name after the layer's number, without its last part."""
    must_be: Mapping[str, Any]
    """Keys of `config.json` and the one value of each that the modules compute; absent is right too."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Field of `EncoderConfig` → key of `config.json`, where they differ."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `EncoderConfig` whose value, where the key is absent, is not the field's default."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `EncoderConfig` that no key states."""
    positions_follow_padding: bool = False
    """A text's first position is the padding id + 1 rather than 0."""

    def read_config(self, document: Mapping[str, Any]) -> EncoderConfig:
        """Keys that do not shape the model are ignored. Raises ValueError, naming the key."""
        for key, value in self.must_be.items():
            if document.get(key) not in (None, value):
                raise ValueError(
                    f"{key} is {document[key]!r}; expected {value!r} of a {self.model_type} encoder; choose one with it"
                )
        values: dict[str, Any] = {}
        for each in dataclasses.fields(EncoderConfig):
            if self._is_stated(each.name):
                found = document.get(self.key(each.name))
                found = self.defaults.get(each.name) if found is None else found
                if found is not None:
                    values[each.name] = found
                elif each.default is dataclasses.MISSING:
                    raise ValueError(
                        f"config.json has no {self.key(each.name)!r}; "
                        f"expected a Hugging Face {self.model_type} config; add the key"
                    )
        values.update(self.fixed, model_type=self.model_type)
        if self.positions_follow_padding:
            values["first_position"] = values["pad_token_id"] + 1
        return EncoderConfig(**values)

    def write_config(self, config: EncoderConfig) -> dict[str, Any]:
        """A `config.json` document that `read_config` and `transformers` read."""
        stated = {self.key(name): value for name, value in dataclasses.asdict(config).items() if self._is_stated(name)}
        return {"architectures": [self.architecture], "model_type": self.model_type, **self.must_be, **stated}

    def key(self, name: str) -> str:
        """What `config.json` calls a field of `EncoderConfig`."""
        return self.keys.get(name, name)

    def tensor_name(self, path: Path) -> str:
        """('layers', 0, 'up', 'kernel') → 'encoder.layer.0.intermediate.dense.weight', of BERT."""
        *module, leaf = path
        if module[0] == "layers":
            return f"{self.layers}.{module[1]}.{self.layer_modules['.'.join(module[2:])]}.{LEAVES[leaf]}"
        return f"{self.modules['.'.join(module)]}.{LEAVES[leaf]}"

    def plain_name(self, stored: str) -> str:
        """A stored tensor's name as `architecture` has it: without prefix, a norm's gamma and beta renamed."""
        name = stored.removeprefix(f"{self.model_type}.")
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if name.endswith(old):
                name = name.removesuffix(old) + new
        return name

    def layer_number(self, name: str) -> int | None:
        """The layer that a tensor of this (plain) name belongs to, from 0; None: to no layer."""
        number, dot, _ = name.removeprefix(f"{self.layers}.").partition(".")
        return int(number) if name.startswith(f"{self.layers}.") and dot and number.isdecimal() else None

    def _is_stated(self, name: str) -> bool:
        return name not in self.fixed and name not in ("model_type", "first_position")
