"""Published files of pairs: every form of a line, and whole folders by their mixture."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pairstream.cli import main
from pipelines.catalog import CATALOGUE
from pipelines.job import Job
from pipelines.preprocess import run
from pipelines.sources.pair_lines import FolderOptions, MixtureFolder, pairs_of_line
from pipelines.sources.sets import SetOptions
from schemas.manifest import Manifest
from schemas.mixture import Mixture
from schemas.pair import Pair

REDDIT_ROW = {"context": "parent", "response": "reply", "context/0": "older", "context/1": "oldest", "thread_id": "t"}


@pytest.mark.parametrize(
    ("line", "outcomes"),
    [
        (["a", "b"], [Pair("d", "a", "b")]),
        (["a", "b", "c"], [Pair("d", "a", "b", ("c",))]),
        ({"texts": ["a", "b"], "guid": "x"}, [Pair("d", "a", "b")]),
        ({"texts": ["a", "b", "c"]}, [Pair("d", "a", "b", ("c",))]),
        ({"query": "q", "pos": ["p", "r"], "neg": ["n"]}, [Pair("d", "q", "p", ("n",)), Pair("d", "q", "r", ("n",))]),
        ({"query": "q", "pos": ["p"]}, [Pair("d", "q", "p")]),
        (REDDIT_ROW, [Pair("d", "parent", "reply", group="t", contexts=("older", "oldest"))]),
        ({"set": ["same"]}, ["not_a_pair"]),
        (["alone"], ["not_a_pair"]),
        (["a", 5], ["not_a_pair"]),
        ({"texts": "ab"}, ["not_a_pair"]),
        ({"query": "q", "pos": []}, ["not_a_pair"]),
        ({"query": "q", "pos": ["p"], "neg": "n"}, ["not_a_pair"]),
        ("ab", ["not_a_pair"]),
        (None, ["not_a_pair"]),
    ],
)
def test_a_line_of_any_published_form_gives_its_pairs_or_a_reason(line, outcomes):
    assert list(pairs_of_line(line, "d", SetOptions())) == outcomes


def test_a_set_gives_all_its_pairs_of_one_group():
    found = pairs_of_line({"set": ["a", "b", "c"]}, "d", SetOptions())
    pairs = [pair for pair in found if isinstance(pair, Pair)]
    assert {frozenset((pair.anchor, pair.positive)) for pair in pairs} == {
        frozenset(both) for both in ("ab", "bc", "ac")
    }
    assert len({pair.group for pair in pairs}) == 1


def write_folder(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps([f"question {n} of {name}", f"answer {n}"]) for n in range(20)] + ["{broken"]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))


CONFIG = [
    {"name": "squad_pairs.jsonl.gz", "lines": 21, "weight": 2},
    {"name": "stackexchange_title_body/beer.stackexchange.com.jsonl.gz", "lines": 21, "weight": 1},
    {"name": "my_own.jsonl.gz", "lines": 21, "weight": 1},
]
NAMES = [entry["name"].removesuffix(".jsonl.gz") for entry in CONFIG]


def test_a_folder_is_converted_in_one_job_with_a_manifest_for_each_dataset(tmp_path, capsys):
    write_folder(tmp_path / "in", NAMES)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    argv = ["preprocess", "--config", str(tmp_path / "config.json"), "--input", str(tmp_path / "in")]
    assert main([*argv, "--output", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    for name in NAMES:
        manifest = Manifest.load(tmp_path / "out" / name)
        assert (manifest.dataset, manifest.records("train")) == (name, 20)
        assert manifest.parts[0].funnel[0].drops == {"not_json": 1}
    assert Manifest.load(tmp_path / "out" / NAMES[1]).tuple == CATALOGUE["stackexchange_title_body"].tuple
    assert Manifest.load(tmp_path / "out" / "squad_pairs").licence == CATALOGUE["squad_pairs"].licence


def test_missing_files_are_all_named_before_anything_runs(tmp_path, capsys):
    write_folder(tmp_path / "in", NAMES[:1])
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    argv = ["preprocess", f"--config={tmp_path / 'config.json'}", "--input", str(tmp_path / "in")]
    argv += ["--output", str(tmp_path / "out")]
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert "2 of 3 files" in err and all(name in err for name in NAMES[1:]) and "squad_pairs" not in err
    assert not (tmp_path / "out").exists()
    assert main([*argv, "--allow-missing"]) == 0
    assert Manifest.load(tmp_path / "out" / "squad_pairs").records("train") == 20
    assert not (tmp_path / "out" / "my_own").exists()


def test_of_the_published_mixture_ten_files_are_enough_if_the_user_says_so(shared_data, tmp_path):
    mixture = Mixture.load(shared_data / "mixtures" / "all_datasets_v4.data_config.json.gz")
    names = [entry.name for entry in mixture.datasets][::29]
    assert len(names) == 10
    write_folder(tmp_path / "in", names)
    source = MixtureFolder(mixture, CATALOGUE, str(tmp_path / "in"))
    with pytest.raises(FileNotFoundError, match="280 of 290 files") as caught:
        run(Job(source, (str(tmp_path / "in"),), str(tmp_path / "out")))
    assert len(str(caught.value).splitlines()) == 281
    allowed = replace(source, settings=FolderOptions(allow_missing=True))
    manifests = run(Job(allowed, (str(tmp_path / "in"),), str(tmp_path / "out")))
    assert sorted(manifest.dataset for manifest in manifests) == sorted(names)
    assert all(manifest.records("train") == 20 for manifest in manifests)
