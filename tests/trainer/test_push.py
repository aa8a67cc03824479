"""What would go to the Hub; nothing here needs a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import topic_pairs, write_dataset

from pairstream.cli import main
from trainer.push import plan_upload, push


def write_folder(folder: Path, card: str | None = "---\nlicense: mit\ntags:\n- one\n---\n# Encoder\n") -> Path:
    (folder / "onnx").mkdir(parents=True)
    for name in ("modules.json", "config.json", "model.safetensors", "onnx/model.onnx", ".hidden"):
        (folder / name).write_text("{}")
    if card is not None:
        (folder / "README.md").write_text(card)
    return folder


def test_an_encoder_goes_with_all_its_files_and_the_cards_metadata(tmp_path: Path) -> None:
    upload = plan_upload(write_folder(tmp_path / "encoder"))
    assert upload.kind == "model" and upload.metadata == {"license": "mit", "tags": ["one"]}
    assert sorted(upload.files) == ["README.md", "config.json", "model.safetensors", "modules.json", "onnx/model.onnx"]
    assert upload.sizes["config.json"] == 2


def test_a_dataset_goes_with_what_its_manifest_lists_and_a_card(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 30, 1)})
    (tmp_path / "a" / "notes.txt").write_text("mine")
    upload = plan_upload(tmp_path / "a")
    shard = "train-00000-of-00001"
    files = ["README.md", "manifest.json", f"{shard}.fp", f"{shard}.idx", f"{shard}.tfrecord"]
    assert upload.kind == "dataset" and sorted(upload.files) == files
    card = upload.files["README.md"]
    assert isinstance(card, bytes) and manifest.content_hash in card.decode()
    assert upload.metadata["pretty_name"] == "a" and upload.metadata["size_categories"] == ["n<1K"]


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither an encoder folder"):
        plan_upload(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        plan_upload(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a model card"):
        plan_upload(write_folder(tmp_path / "bare", card=None))
    with pytest.raises(ValueError, match="no metadata"):
        plan_upload(write_folder(tmp_path / "plain", card="# Encoder\n"))


def test_a_dataset_with_a_missing_file_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", "a", {"train": topic_pairs("a", 30, 1)})
    (tmp_path / "a" / "train-00000-of-00001.idx").unlink()
    with pytest.raises(FileNotFoundError, match="the manifest lists it"):
        plan_upload(tmp_path / "a")


def test_a_dry_run_lists_files_and_metadata_and_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.push.push", lambda *_, **__: pytest.fail("sent"))
    folder = str(write_folder(tmp_path / "encoder"))
    assert main(["push", "me/encoder", folder, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "onnx/model.onnx" in said and "license: mit" in said and "nothing was sent" in said
    assert main(["push", "me/encoder", folder, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["repo_type"] == "model" and document["commit"] is None and document["files"]["config.json"] == 2


def test_a_push_is_one_commit_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, object]] = []

    class Api:
        def create_repo(self, repo_id: str, **options: object) -> None:
            calls.append((repo_id, options))

        def create_commit(self, repo_id: str, operations: list, **options: object) -> object:
            calls.append((repo_id, sorted(operation.path_in_repo for operation in operations)))
            return type("Done", (), {"commit_url": "https://hub/commit"})

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    upload = plan_upload(write_folder(tmp_path / "encoder"))
    assert push(upload, "me/encoder", private=True) == "https://hub/commit"
    assert calls[0] == ("me/encoder", {"repo_type": "model", "private": True, "exist_ok": True})
    assert calls[1] == ("me/encoder", sorted(upload.files)) and len(calls) == 2


def test_what_the_hub_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Api:
        def create_repo(self, *_: object, **__: object) -> None:
            raise OSError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    with pytest.raises(RuntimeError, match=r"me/encoder: the Hub did not take it \(no route\); log in"):
        push(plan_upload(write_folder(tmp_path / "encoder")), "me/encoder")


@pytest.mark.parametrize("wrong", ["encoder", "a/b/c", "me/"])
def test_a_name_that_is_none_is_a_wrong_call(tmp_path: Path, wrong: str) -> None:
    assert main(["push", wrong, str(tmp_path), "--dry-run"]) == 2
