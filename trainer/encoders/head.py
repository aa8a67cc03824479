"""`modules.json` and its folders: what is done with an encoder's hidden states until they are a vector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from trainer.config import POOLINGS, Pooling


class Head(NamedTuple):
    """From the hidden states of a text to its vector."""

    pooling: Pooling = "mean"
    unit_length: bool = True
    pools_prompt: bool = True
    """Whether the tokens of a prompt are pooled with the text's, as with nearly all encoders."""


def read_head(folder: Path) -> Head:
    """What stands on the encoder by `modules.json`; without one, means of unit length.

    Raises ValueError for a module or a pooling that would change the vectors in a way not
    supported here; leaving it out would give other vectors without a word.
    """
    if not (folder / "modules.json").is_file():
        return Head()
    modules = _read_modules(folder / "modules.json")
    head = Head(unit_length=False)
    for module in modules:
        kind = module["type"].rpartition(".")[2]
        if kind == "Pooling":
            head = _read_pooling(folder / module["path"] / "config.json", head)
        elif kind == "Normalize":
            head = head._replace(unit_length=True)
        elif kind != "Transformer":
            raise ValueError(
                f"{folder / 'modules.json'} lists {kind}; expected Transformer, Pooling and Normalize alone; "
                "choose an encoder without it"
            )
    return head


def _read_modules(path: Path) -> list[dict[str, str]]:
    try:
        modules = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch it again") from None
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and {"type", "path"} <= module.keys() for module in modules
    ):
        raise ValueError(f"{path}: expected a list of modules, each with type and path; fetch it again")
    return modules


def _read_pooling(path: Path, head: Head) -> Head:
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; expected the pooling that modules.json lists; fetch it again")
    document = json.loads(path.read_text())
    switches = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    # Newer sentence-transformers name the mode; older ones have a switch for each.
    on = [switches.get(k, k) for k, value in document.items() if k.startswith("pooling_mode_") and value is True]
    found = document.get("pooling_mode") or (on[0] if len(on) == 1 else on)
    for known in POOLINGS:
        if found == known:
            return head._replace(pooling=known, pools_prompt=document.get("include_prompt") is not False)
    raise ValueError(f"{path}: pooling is {found!r}; expected mean or cls alone; choose another encoder")
