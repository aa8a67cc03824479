"""Docstrings: two datasets, and functions that lie in many packages."""

import json
from pathlib import Path

import pytest
from jobs import files_in, fold, read_pairs, split_of_thread

from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.docstrings import Docstrings
from schemas.manifest import verify


def module_in(split: str) -> str:
    return next(name for name in map("module{}".format, range(500)) if split_of_thread(name) == split)


def function(name: str, summary: str, value: str) -> str:
    docstring = f"{summary}\n\n    A longer rest about {value}, with some words more.\n    "
    return f'def {name}():\n    """{docstring}"""\n    return "{value * 5}"\n\n\n'


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A train module that shares one whole function and one summary with a test module."""
    folder = tmp_path_factory.mktemp("sources")
    shared = function("shared", "The very same function.", "shared value")
    in_test = shared + function("two", "A summary in both.", "value in test")
    in_train = (
        shared
        + function("two", "A  summary in BOTH.", "value in train")
        + function("own", "Only in train here.", "own value")
    )
    (folder / f"{module_in('test')}.py").write_text(in_test)
    (folder / f"{module_in('train')}.py").write_text(in_train)
    return folder


def test_a_train_pair_whose_text_stands_in_test_is_dropped_and_counted(sources, tmp_path):
    manifests = run(Job(Docstrings(), (str(sources),), str(tmp_path / "out")))
    assert [manifest.dataset for manifest in manifests] == ["docstring_code", "docstring_body"]
    for manifest in manifests:
        assert manifest.folder == str(tmp_path / "out" / manifest.dataset)
        assert [pair.anchor for pair in read_pairs(manifest, "train")] == ["Only in train here."]
        assert {pair.anchor for pair in read_pairs(manifest, "test")} == {
            "The very same function.",
            "A summary in both.",
        }
        drops = {reason: n for stage in manifest.parts[0].funnel for reason, n in stage.drops.items()}
        assert manifest.parts[0].read == 5 and drops == {"duplicate": 1, "train_text_in_test": 1}
        assert list(verify(manifest)) == []


def test_no_train_text_of_real_sources_stands_in_test(tmp_path):
    folder = Path(json.__file__).parent.parent / "asyncio"
    manifests = run(Job(Docstrings(test_fraction=0.3), (str(folder),), str(tmp_path / "out")))
    texts = {
        split: {fold(text) for manifest in manifests for pair in read_pairs(manifest, split) for text in pair.texts}
        for split in ("train", "test")
    }
    assert min(map(len, texts.values())) > 20
    assert not texts["train"] & texts["test"]


def test_one_complete_dataset_of_two_refuses_the_job(sources, tmp_path):
    job = Job(Docstrings(), (str(sources),), str(tmp_path / "out"))
    run(job)
    (tmp_path / "out/docstring_code/manifest.json").unlink()
    with pytest.raises(FileExistsError, match="docstring_body"):
        run(job)


def test_a_failure_leaves_no_folder_of_either_dataset(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/empty.py").write_text("x = 1\n")
    with pytest.raises(JobError, match=r"no pair is left to write \(no record was read\)"):
        run(Job(Docstrings(), (str(tmp_path / "src"),), str(tmp_path / "out")))
    assert files_in(tmp_path) == ["src", "src/empty.py"]
