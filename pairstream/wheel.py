"""The wheel that the workers of a cluster install: `pipelines`, `schemas`, and the libraries that these import.

`python -m pairstream.wheel DIR` writes it and prints its path, for Beam's `--extra_package`. The whole
project's wheel would bring JAX and TensorFlow to every worker. Beam, and what Beam itself requires, come
with the worker's image; every other library is asked for in the very version that stands here.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PACKAGES = ("pipelines", "schemas")
_ROOT = Path(__file__).resolve().parent.parent
_DATE = (1980, 1, 1, 0, 0, 0)  # the same sources give the same bytes


def write_wheel(folder: Path) -> Path:
    """Write the wheel into `folder` and return its path. It needs no network and no build tool."""
    stem = f"pairstream_worker-{metadata.version('pairstream')}"
    path = folder / f"{stem}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        record = []
        for name, content in [*_modules(), *_metadata(f"{stem}.dist-info")]:
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            record.append(f"{name},sha256={digest},{len(content)}\n")
        name = f"{stem}.dist-info/RECORD"
        archive.writestr(zipfile.ZipInfo(name, _DATE), "".join([*record, f"{name},,\n"]), zipfile.ZIP_DEFLATED)
    return path


def requirements() -> list[str]:
    """What workers need beside Beam's image, as `name==version`; a library of an extra only where it is installed."""
    known = metadata.packages_distributions()
    imported = {distribution for name in _imported() for distribution in known.get(name, ())}
    ours, beams = _required_by("pairstream"), {"apache-beam"} | _required_by("apache-beam", extras=False)
    chosen = {_normal(name): name for name in imported}
    return [f"{name}=={metadata.version(chosen[name])}" for name in sorted(chosen) if name in ours - beams]


def _modules() -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            yield path.relative_to(_ROOT).as_posix(), path.read_bytes()


def _imported() -> set[str]:
    """Top-level names that the modules import anywhere in them."""
    names: set[str] = set()
    for _, content in _modules():
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


def _required_by(distribution: str, *, extras: bool = True) -> set[str]:
    lines = metadata.requires(distribution) or []
    return {_normal(re.split(r"[^\w.-]", line)[0]) for line in lines if extras or "extra ==" not in line}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _metadata(folder: str) -> Iterator[tuple[str, bytes]]:
    about = [
        "Metadata-Version: 2.1",
        "Name: pairstream-worker",
        f"Version: {metadata.version('pairstream')}",
        "Summary: What the workers of pairstream's Beam job run",
        f"Requires-Python: =={sys.version_info.major}.{sys.version_info.minor}.*",  # Beam wants the submitter's
        *(f"Requires-Dist: {line}" for line in requirements()),
    ]
    yield f"{folder}/METADATA", "\n".join([*about, ""]).encode()
    tags = "Wheel-Version: 1.0\nGenerator: pairstream\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    yield f"{folder}/WHEEL", tags.encode()


if __name__ == "__main__":
    print(write_wheel(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
