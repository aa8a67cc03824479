"""Evaluation sets as their publishers give them: which files or folders make a set, and what it is called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipelines.eval_files import (
    COMPRESSED_ENDINGS,
    decoded_lines,
    form_ending,
    json_lines,
    read_texts,
    uncompressed_name,
)
from pipelines.files import InputFile, match_files

_QUERIES = "queries.jsonl"


class EvalSet(NamedTuple):
    """One evaluation set."""

    name: str
    path: str
    """Of a file, or of a folder in BEIR's layout; that one ends in '/'."""

    def texts(self, *, corpus: bool = False) -> Iterator[str]:
        """The texts of a file, or the queries of a folder, with `corpus` its documents too."""
        if not self.path.endswith("/"):
            yield from read_texts(self.path)
            return
        yield from _beir_queries(self.path)
        if corpus:
            yield from _beir_documents(self.path)


def find_eval_sets(paths: Sequence[str]) -> list[EvalSet]:
    """The sets that paths mean, sorted by name: each a folder in BEIR's layout, or a file or glob, on any filesystem.

    A set is named after its folder, or its file without endings; by more of their paths where sets would
    share a name. Raises FileNotFoundError for a path that matches nothing; ValueError for another folder.
    """
    found = sorted({found for path in paths for found in _expand(path)})
    return sorted(map(EvalSet, _set_names(found), found))


def _expand(path: str) -> Iterator[str]:
    """The BEIR folders, which end in '/', and the files that a path or glob means."""
    if "://" in path:
        folders, files = ([path], []) if _find(f"{path.rstrip('/')}/{_QUERIES}") else ([], [path])
    else:
        names = [path] if os.path.exists(path) else sorted(glob.glob(path))
        folders = [name for name in names if os.path.isdir(name)]
        files = [name for name in names if name not in folders] if names else [path]
    for folder in folders:
        if not _find(f"{folder.rstrip('/')}/{_QUERIES}"):
            raise ValueError(f"{folder}: a folder without {_QUERIES}; expected BEIR's layout, or files: '{folder}/*'")
        yield folder.rstrip("/") + "/"
    if files:
        yield from (file.path for file in match_files(tuple(files)))


def _find(path: str) -> list[InputFile]:
    """The file, compressed or not, if it exists; path may be a glob."""
    for name in (path, *(path + ending for ending in COMPRESSED_ENDINGS)):
        try:
            return match_files((name,))
        except FileNotFoundError:
            continue
    return []


def _set_names(paths: Sequence[str]) -> list[str]:
    """A name for each path: of the folder, or of the file without endings; longer where that is not enough."""
    names = [_stem(path).replace("+", "_") for path in paths]  # a reason joins the names of several sets by "+"
    for depth in range(1, max((path.count("/") for path in paths), default=0) + 2):
        twice = {name for name, times in Counter(names).items() if times > 1}
        tails = ["/".join(path.rstrip("/").split("/")[-depth:]) for path in paths]
        names = [tail if name in twice else name for name, tail in zip(names, tails, strict=True)]
    return names


def _stem(path: str) -> str:
    if path.endswith("/"):
        return path.rstrip("/").rsplit("/", 1)[-1]
    name = uncompressed_name(path)
    return name[: -len(form_ending(name))] if form_ending(name) else name


def _beir_queries(folder: str) -> Iterator[str]:
    """The queries of a BEIR folder, but for those that train judgements name and no others do."""
    judged = _find(f"{folder}qrels/*.tsv")
    train, held_out = (
        {line.split("\t", 1)[0] for file in judged if _is_train(file) == wanted for line in decoded_lines(file.path)}
        for wanted in (True, False)
    )
    if held_out:
        train -= held_out
    else:
        train = set()  # judged for training alone: then these are what is evaluated
    for file in _find(folder + _QUERIES):
        for where, row in json_lines(file.path, decoded_lines(file.path)):
            if str(row.get("_id")) not in train:
                yield _field(row, "text", where)


def _is_train(file: InputFile) -> bool:
    return file.path.rsplit("/", 1)[-1].startswith("train.")


def _beir_documents(folder: str) -> Iterator[str]:
    """The texts of the documents; the title of those that have nothing else."""
    found = _find(f"{folder}corpus.jsonl")
    if not found:
        raise ValueError(f"{folder}: no corpus.jsonl in it; expected the documents that --eval-corpus asks for")
    for file in found:
        for where, row in json_lines(file.path, decoded_lines(file.path)):
            yield _field(row, "text", where) or str(row.get("title") or "")


def _field(row: dict[str, Any], name: str, where: str) -> str:
    if isinstance(value := row.get(name), str):
        return value
    raise ValueError(f"{where} has no text in {name!r}; expected BEIR's layout: fetch it again")
