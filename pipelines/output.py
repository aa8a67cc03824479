"""The output folder around a job: room is made, what an interrupted job left is cleared, nothing else is touched.

A job works in a `.staging-…` folder below its output, which is there exactly as long as the job runs.
One that is there at the start was left by a job that was killed; only then are shards without a
manifest ours to clear.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Sequence

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.files import open_raw
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.shards import fingerprints_name, index_name

STAGING_PREFIX = ".staging-"
_SHARD_FILE = re.compile(r"(train|test)-\d{5}-of-\d{5}\.(tfrecord|idx|fp)")


def make_room(root: str, folders: Sequence[str], *, overwrite: bool) -> str:
    """Make the output ready for datasets in `folders` and return the job's staging folder below `root`.

    Raises FileExistsError for a dataset that is complete, unless it is to be overwritten, and for a
    folder with shards that are not ours to remove; OSError for a root that cannot be written.
    """
    if root not in folders and FileSystems.exists(_manifest_of(root)):
        raise FileExistsError(
            f"{root} is itself a dataset; this source writes folders below it: choose another --output"
        )
    for folder in folders:
        if FileSystems.exists(_manifest_of(folder)):
            if not overwrite:
                raise FileExistsError(
                    f"{_manifest_of(folder)} exists: the dataset is complete; --overwrite replaces it"
                )
            _delete_dataset(folder)
    if left := _list(f"{root}/{STAGING_PREFIX}*/*"):
        _delete_shards(folders)
        FileSystems.delete(sorted({path.rsplit("/", 1)[0] for path in left}))
    for folder in folders:
        if foreign := _shards_in(folder):
            raise FileExistsError(
                f"{foreign[0]} belongs to no manifest; choose another --output or move such files away"
            )
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
    staging = f"{root}/{STAGING_PREFIX}{uuid.uuid4().hex[:12]}"
    FileSystems.mkdirs(staging)
    with FileSystems.create(f"{staging}/started", compression_type=CompressionTypes.UNCOMPRESSED):
        pass  # an object store has no empty folders: this file is what a later job finds
    return staging


def clear_failed(root: str, folders: Sequence[str], staging: str) -> None:
    """Remove all that a job wrote which did not come to its end."""
    _delete_shards([folder for folder in folders if not FileSystems.exists(_manifest_of(folder))])
    clear_staging(staging)
    for folder in (*folders, root):
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def clear_staging(staging: str) -> None:
    """Remove the staging folder: from here on the output is finished."""
    FileSystems.delete([staging])


def load_manifest(folder: str) -> Manifest:
    """The manifest in a folder of any Beam filesystem."""
    with open_raw(_manifest_of(folder)) as file:
        return Manifest.from_bytes(file.read(), folder=folder)


def _manifest_of(folder: str) -> str:
    return FileSystems.join(folder, MANIFEST_NAME)


def _delete_dataset(folder: str) -> None:
    manifest = load_manifest(folder)
    FileSystems.delete([_manifest_of(folder)])  # first of all: from here on the dataset is not whole
    shards = [path for split in ("train", "test") for path, _ in manifest.shards(split)]
    FileSystems.delete([file for path in shards for file in _with_sidecars(path) if FileSystems.exists(file)])


def _with_sidecars(shard: str) -> Iterable[str]:
    return shard, index_name(shard), fingerprints_name(shard)


def _delete_shards(folders: Iterable[str]) -> None:
    FileSystems.delete([path for folder in folders for path in _shards_in(folder)])


def _shards_in(folder: str) -> list[str]:
    return sorted(path for path in _list(f"{folder}/*") if _SHARD_FILE.fullmatch(path.rsplit("/", 1)[-1]))


def _list(glob: str) -> list[str]:
    return [item.path for item in FileSystems.match([glob])[0].metadata_list]
