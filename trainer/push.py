"""What of a folder goes to the Hub: an encoder, or a dataset with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from schemas.dataset_card import dataset_card
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.shards import fingerprints_name, index_name
from trainer.encoders.fetch import refuse_other_folder

CARD = "README.md"


@dataclass(frozen=True)
class Upload:
    """Files of a repository, by their path in it."""

    kind: Literal["model", "dataset"]
    files: dict[str, Path | bytes]
    metadata: dict[str, Any]
    """Of the card."""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in self.files.items()
        }


def plan_upload(folder: str | Path) -> Upload:
    """The files of an encoder folder or of a dataset; nothing is sent.

    Raises FileNotFoundError for a folder that is not there or lacks a file that it lists, ValueError for one that is
    neither, or whose card has no metadata.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected an encoder folder or a dataset")
    if (folder / MANIFEST_NAME).is_file():
        files, kind = _dataset_files(folder), "dataset"
    elif (folder / "modules.json").is_file() and (folder / "config.json").is_file():
        files, kind = _encoder_files(folder), "model"
    else:
        refuse_other_folder(folder)
        raise ValueError(
            f"{folder} is neither an encoder folder (modules.json, config.json) nor a dataset ({MANIFEST_NAME}); "
            "expected what `pairstream export` or `pairstream preprocess` wrote"
        )
    card = files[CARD]
    return Upload(kind, files, _metadata(card.decode() if isinstance(card, bytes) else card.read_text(), folder))


def push(upload: Upload, repo_id: str, *, private: bool = False, message: str = "") -> str:
    """Make the repository where there is none and commit all files at once; returns the commit's address.

    Raises RuntimeError, in one line, for what the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=file if isinstance(file, bytes) else str(file))
        for name, file in upload.files.items()
    ]
    api = HfApi()
    try:
        api.create_repo(repo_id, repo_type=upload.kind, private=private, exist_ok=True)
        done = api.create_commit(
            repo_id, operations, commit_message=message or "Upload by pairstream", repo_type=upload.kind
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RuntimeError(f"{repo_id}: the Hub did not take it ({reason}); log in with `hf auth login`") from None
    return done.commit_url


def _encoder_files(folder: Path) -> dict[str, Path | bytes]:
    if not (folder / CARD).is_file():
        raise FileNotFoundError(f"{folder / CARD} not found; expected a model card; `pairstream export` writes one")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path for path in files}


def _dataset_files(folder: Path) -> dict[str, Path | bytes]:
    """The manifest, what it lists, and the card made of it."""
    manifest = Manifest.load(folder)
    files: dict[str, Path | bytes] = {CARD: dataset_card(manifest).encode(), MANIFEST_NAME: folder / MANIFEST_NAME}
    for split in sorted({name for part in manifest.parts for name in part.splits}):
        for located, _ in manifest.shards(split):
            path = Path(located)
            for name in (path.name, index_name(path.name), fingerprints_name(path.name)):
                file = path.with_name(name)
                if not file.is_file():
                    raise FileNotFoundError(f"{file}: missing, though the manifest lists it; make the dataset again")
                files[file.relative_to(folder).as_posix()] = file
    return files


def _metadata(card: str, folder: Path) -> dict[str, Any]:
    from huggingface_hub import ModelCard

    found = ModelCard(card).data.to_dict()
    if not found:
        raise ValueError(f"{folder / CARD}: no metadata between lines of ---; expected a card as we write it")
    return found
