"""What a job may write over, what it leaves where it fails, and what its manifest tells."""

import json

import pytest
from jobs import RULES, SMALL_SHARDS, contents, files_in, preprocess_reddit, read_pairs, write_dump

from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit
from schemas.manifest import Manifest, verify


def test_a_complete_output_is_refused_and_left_as_it_is(tmp_path):
    dump = write_dump(tmp_path / "dump")
    preprocess_reddit(tmp_path / "out", dump)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(FileExistsError, match=r"manifest\.json exists: the dataset is complete; --overwrite"):
        preprocess_reddit(tmp_path / "out", dump, seed=1)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_overwrite_replaces_a_dataset_and_leaves_other_files(tmp_path):
    output = tmp_path / "out"
    preprocess_reddit(output, write_dump(tmp_path / "many", 60), shard_size=500)
    (output / "notes.txt").write_text("mine")
    preprocess_reddit(output, write_dump(tmp_path / "few", 20), overwrite=True)
    preprocess_reddit(tmp_path / "clean", tmp_path / "few")
    assert (output / "notes.txt").read_text() == "mine"
    (output / "notes.txt").unlink()
    assert contents(output) == contents(tmp_path / "clean")
    assert list(verify(Manifest.load(output))) == []


@pytest.mark.parametrize("existed", [False, True])
def test_a_truncated_input_fails_by_name_and_leaves_nothing(dumps, tmp_path, existed):
    output = tmp_path / "out"
    if existed:
        output.mkdir()
    whole = (dumps / "RC_2006-01.zst").read_bytes()
    (tmp_path / "RC_cut.zst").write_bytes(whole[: len(whole) * 2 // 3])
    write_dump(tmp_path / "RC_good")
    with pytest.raises(JobError, match=r"RC_cut\.zst: the zstd data ends too early; fetch it again"):
        preprocess_reddit(output, tmp_path / "RC_*")
    assert files_in(tmp_path) == ["RC_cut.zst", "RC_good"]


def test_all_bad_inputs_are_named_at_once(tmp_path):
    for name in ("a.zst", "b.gz"):
        (tmp_path / name).write_bytes(b"not what it says")
    with pytest.raises(JobError) as error:
        preprocess_reddit(tmp_path / "out", tmp_path / "*")
    lines = str(error.value).splitlines()
    assert [("a.zst" in line, "b.gz" in line) for line in lines] == [(True, False), (False, True)]


def test_an_input_without_a_pair_fails_and_says_where_they_went(tmp_path):
    (tmp_path / "dump").write_text('{"id": "a", "link_id": "t3_x", "parent_id": "t3_x", "body": "alone"}\nnonsense\n')
    with pytest.raises(JobError, match=r"no pair is left to write \(not_json 1, top_level 1\)"):
        preprocess_reddit(tmp_path / "out", tmp_path / "dump")
    assert files_in(tmp_path) == ["dump"]


def test_an_output_that_cannot_be_written_is_an_os_error(tmp_path):
    dump = write_dump(tmp_path / "dump")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        preprocess_reddit(tmp_path / "file" / "out", dump)
    assert files_in(tmp_path) == ["dump", "file"]


def test_a_missing_input_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        preprocess_reddit(tmp_path / "out", tmp_path / "gone*")
    assert files_in(tmp_path) == []


def test_a_dataset_can_have_another_name(tmp_path):
    manifest = preprocess_reddit(tmp_path / "out", write_dump(tmp_path / "dump"), dataset="reddit/2006")
    assert manifest.dataset == "reddit/2006"
    assert {pair.dataset for pair in read_pairs(manifest, "train")} == {"reddit/2006"}


def test_nothing_is_held_out_where_nothing_is_asked_for(tmp_path):
    job = Job(Reddit(test_fraction=0), (str(write_dump(tmp_path / "dump")),), str(tmp_path / "out"))
    (manifest,) = run(job)
    assert set(manifest.parts[0].splits) == {"train"} and manifest.records("train") == 80


def test_the_manifest_tells_command_options_and_inputs(tmp_path):
    dump = write_dump(tmp_path / "dump")
    command = ("pairstream", "preprocess", "reddit")
    part = preprocess_reddit(tmp_path / "out", dump, seed=3, command=command).parts[0]
    assert part.command == command
    assert part.inputs == {"files": 1, "bytes": dump.stat().st_size, "bad": []}
    rules = {"min_characters": 9, "max_characters": 127, "depth": 10, "test_fraction": 0.1}
    own = {"seed": 3, "shard_size": SMALL_SHARDS, "dedup": "exact", "max_per_text": None, "filters": "published"}
    assert part.options.items() >= {**own, **rules}.items()
    job = Job(RULES, (str(dump),), str(tmp_path / "out"), seed=3, shard_size=SMALL_SHARDS)
    assert part.options == json.loads(json.dumps(job.options))  # nothing that decides the bytes is left out


def test_shards_that_no_job_of_ours_left_are_never_removed(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    precious = output / "train-00000-of-00001.tfrecord"  # the name that TensorFlow's own writers use
    precious.write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="belongs to no manifest"):
            preprocess_reddit(output, write_dump(tmp_path / "dump"), overwrite=overwrite)
    assert precious.read_bytes() == b"mine" and files_in(output) == [precious.name]


def test_a_folder_of_datasets_does_not_become_one_itself(tmp_path):
    dump = write_dump(tmp_path / "dump")
    preprocess_reddit(tmp_path / "data" / "reddit", dump)
    with pytest.raises(FileExistsError, match=r"data holds datasets, such as reddit; expected .* such as .*data/NAME"):
        preprocess_reddit(tmp_path / "data", dump, overwrite=True)
    assert files_in(tmp_path / "data") == ["reddit", *(f"reddit/{name}" for name in files_in(tmp_path / "data/reddit"))]


def test_a_dataset_is_not_overwritten_by_a_source_that_writes_folders_below_it(tmp_path):
    output = tmp_path / "out"
    kept = preprocess_reddit(output, write_dump(tmp_path / "dump"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "m.py").write_text("def f():\n    pass\n")
    with pytest.raises(FileExistsError, match="is itself a dataset"):
        run(Job(Docstrings(), (str(tmp_path / "src"),), str(output), overwrite=True))
    assert not list(verify(Manifest.load(output))) and Manifest.load(output) == kept
