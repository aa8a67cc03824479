"""The output folder around a job: room is made, what an interrupted job left is cleared, nothing else is touched.

A job works in a `.staging-…` folder below its output, named after what the job is. One that is there at the
start was left by a job that was stopped: the same job takes up what it finished, any other clears it. Only
then are shards without a manifest ours to clear. A lock (`schemas.lock`) keeps two jobs from one output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.files import open_raw
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.shards import fingerprints_name, index_name

STAGING_PREFIX = ".staging-"
_SHARD_FILE = re.compile(r"(train|test|rejects)-\d{5}-of-\d{5}\.(tfrecord|idx|fp)")


class Target(NamedTuple):
    """Where a job writes one dataset."""

    folder: str
    """The manifest's."""
    part: str = ""
    """Folder of the job's shards below that one; '' for a dataset's first part."""

    @property
    def shards(self) -> str:
        return FileSystems.join(self.folder, self.part) if self.part else self.folder


def find_target(folder: str, dataset: str, *, append: bool) -> Target:
    """Where a dataset is written: beside its older parts, or as its first.

    Raises FileExistsError for a folder that holds another dataset.
    """
    if append and FileSystems.exists(_manifest_of(folder)):
        manifest = load_manifest(folder)
        if manifest.dataset != dataset:
            raise FileExistsError(
                f"{folder} holds {manifest.dataset!r}, this job writes {dataset!r}; choose another --output"
            )
        return Target(folder, f"part-{len(manifest.parts):03d}")
    return Target(folder)


def make_room(root: str, targets: Sequence[Target], identity: str, *, overwrite: bool, can_append: bool = True) -> str:
    """Make the output ready for `targets` and return the job's staging folder below `root`.

    `can_append` says whether the command has --append, for what is said to the user.

    Raises FileExistsError for a dataset that is complete, unless it is to be overwritten, and for a
    folder with shards that are not ours to remove; OSError for a root that cannot be written.
    """
    if root not in [target.folder for target in targets] and FileSystems.exists(_manifest_of(root)):
        raise FileExistsError(
            f"{root} is itself a dataset; this source writes folders below it: choose another --output"
        )
    is_new = root in [target.folder for target in targets] and not FileSystems.exists(_manifest_of(root))
    if is_new and (below := _list(f"{root}/*/{MANIFEST_NAME}")):
        raise FileExistsError(
            f"{root} holds datasets, such as {below[0].rsplit('/', 2)[-2]}; expected a folder of this one's own: "
            f"choose another --output, such as {root}/NAME"
        )
    replaced = set()  # as late as can be: see `delete_replaced`
    for folder in [target.folder for target in targets if not target.part]:
        if FileSystems.exists(_manifest_of(folder)):
            if not overwrite:
                raise FileExistsError(
                    f"{_manifest_of(folder)} exists: the dataset is complete; --overwrite replaces it"
                    f"{', --append adds a part' if can_append else ''}"
                )
            replaced.add(folder)
    staging = f"{root}/{STAGING_PREFIX}{identity}"
    left = _list(f"{root}/{STAGING_PREFIX}*/*")
    goes_on = f"{staging}/started" in left
    if left:
        if not goes_on:
            _delete_shards(
                [one for one in (*targets, *_stray_parts(targets)) if one.part or one.folder not in replaced]
            )
        if others := sorted({folder for path in left if (folder := path.rsplit("/", 1)[0]) != staging}):
            _delete_folders(others)
    for target in targets:
        ours = goes_on or (not target.part and target.folder in replaced)
        if not ours and (foreign := _shards_in(target.shards)):
            raise FileExistsError(
                f"{foreign[0]} belongs to no manifest; choose another --output or move such files away"
            )
        if not FileSystems.exists(target.shards):
            FileSystems.mkdirs(target.shards)
    if not FileSystems.exists(staging):
        FileSystems.mkdirs(staging)
    with FileSystems.create(f"{staging}/started", compression_type=CompressionTypes.UNCOMPRESSED):
        pass  # an object store has no empty folders: this file is what a later job finds
    return staging


def delete_replaced(targets: Iterable[Target]) -> None:
    """Delete the complete datasets that a job replaces: when their successors are about to get their names."""
    for target in targets:
        if not target.part and FileSystems.exists(_manifest_of(target.folder)):
            _delete_dataset(target.folder)


def clear_failed(root: str, targets: Sequence[Target], staging: str, *, goes_on: bool = False) -> None:
    """Remove all that a job wrote which did not come to its end, but, if it is to go on, for what it finished."""
    _delete_shards([target for target in targets if target.part or not FileSystems.exists(_manifest_of(target.folder))])
    if not goes_on:
        clear_staging(staging)
    for folder in dict.fromkeys([folder for target in targets for folder in (target.shards, target.folder)] + [root]):
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def clear_staging(staging: str) -> None:
    """Remove the staging folder: from here on the output is finished."""
    _delete_folders([staging])


def load_manifest(folder: str) -> Manifest:
    """The manifest in a folder of any Beam filesystem."""
    with open_raw(_manifest_of(folder)) as file:
        return Manifest.from_bytes(file.read(), folder=folder)


def _manifest_of(folder: str) -> str:
    return FileSystems.join(folder, MANIFEST_NAME)


def _delete_dataset(folder: str) -> None:
    manifest = load_manifest(folder)
    FileSystems.delete([_manifest_of(folder)])  # first of all: from here on the dataset is not whole
    splits = {split for part in manifest.parts for split in part.splits}
    shards = [path for split in sorted(splits) for path, _ in manifest.shards(split)]
    FileSystems.delete([file for path in shards for file in _with_sidecars(path) if FileSystems.exists(file)])


def _with_sidecars(shard: str) -> Iterable[str]:
    return shard, index_name(shard), fingerprints_name(shard)


def _stray_parts(targets: Iterable[Target]) -> Iterator[Target]:
    """Parts that an interrupted job was adding to what is now to be written anew."""
    for target in targets:
        if not target.part:
            for part in sorted({path.split("/")[-2] for path in _list(f"{target.folder}/part-*/*")}):
                yield Target(target.folder, part)


def _delete_shards(targets: Iterable[Target]) -> None:
    FileSystems.delete([path for target in targets for path in _shards_in(target.shards)])


def _shards_in(folder: str) -> list[str]:
    return sorted(path for path in _list(f"{folder}/*") if _SHARD_FILE.fullmatch(path.rsplit("/", 1)[-1]))


def _delete_folders(folders: Iterable[str]) -> None:
    """Folders and the files in them: an object store has files alone, and deleting a folder there deletes nothing."""
    paths = [path for folder in folders for path in _list(f"{folder}/*")]
    FileSystems.delete(paths)
    FileSystems.delete([folder for folder in folders if FileSystems.exists(folder)])


def _list(glob: str) -> list[str]:
    return [item.path for item in FileSystems.match([glob])[0].metadata_list]
