"""Room for a job, and datasets that grow by parts."""

import itertools
from pathlib import Path

import pytest

from pipelines import write
from pipelines.decontaminate import EvalOptions
from pipelines.job import Job
from pipelines.output import Target, clear_failed, find_target, make_room
from pipelines.preprocess import JobError, run
from pipelines.sources.reddit import Reddit
from schemas.example import decode_pair
from schemas.manifest import Manifest, verify
from schemas.pair import Pair
from schemas.shards import read_shard


def preprocess(output: Path, *inputs: Path, **changes) -> Manifest:
    (manifest,) = run(Job(Reddit(), tuple(map(str, inputs)), str(output), **{"shard_size": 20_000, **changes}))
    return manifest


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and bytes, but for what a job that failed keeps to go on with."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".staging-" not in str(path)]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def pairs_of(manifest: Manifest) -> list[Pair]:
    return [
        decode_pair(record)[0]
        for split in ("train", "test")
        for located in manifest.shards(split)
        for record in read_shard(located.path)
    ]


@pytest.fixture(scope="module")
def months(make_dump, tmp_path_factory):
    """Three months; the second begins with the first's last lines."""
    folder = tmp_path_factory.mktemp("months")
    for month in (1, 2, 3):
        make_dump(folder / f"RC_{month}", 1000, seed=month, month=month)
    lines = (folder / "RC_1").read_bytes().splitlines(keepends=True)
    (folder / "RC_2").write_bytes(b"".join(lines[600:]) + (folder / "RC_2").read_bytes())
    return folder


@pytest.fixture(scope="module")
def grown(months, tmp_path_factory):
    """(manifests of one part and of two, the files before, output)."""
    output = tmp_path_factory.mktemp("grown") / "out"
    first = preprocess(output, months / "RC_1")
    before = state(output)
    return first, preprocess(output, months / "RC_2", append=True, seed=9), before, output


def test_a_second_month_is_a_part_of_its_own_and_the_older_files_stay(grown):
    first, second, before, output = grown
    after = state(output)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: kept for name, kept in before.items() if name != "manifest.json"
    }
    new = {name for name in after if name not in before}
    assert new and all(name.startswith("part-001/") for name in new)
    assert [part.path for part in second.parts] == ["", "part-001"] and second.parts[0] == first.parts[0]
    assert second.content_hash != first.content_hash
    assert list(verify(second)) == [] and Manifest.load(output) == second
    assert not list(output.glob(".staging-*"))


def test_pairs_of_an_older_part_are_dropped_and_the_funnel_adds_up(grown, months, tmp_path):
    first, second, _, _ = grown
    alone = preprocess(tmp_path / "alone", months / "RC_2", seed=9)
    held = {(pair.anchor, pair.positive) for pair in pairs_of(first)}
    of_second = [pair for pair in pairs_of(alone) if (pair.anchor, pair.positive) not in held]
    part = second.parts[1]
    drops = {reason: n for stage in part.funnel for reason, n in stage.drops.items()}
    assert drops["in_older_part"] == len(pairs_of(alone)) - len(of_second) > 20
    assert part.read == sum(drops.values()) + sum(split.records for split in part.splits.values())
    assert sorted(map(repr, pairs_of(second))) == sorted(map(repr, pairs_of(first) + of_second))
    assert second.records("train") == first.records("train") + part.splits["train"].records


@pytest.mark.parametrize("changes", [{"passes": 32}, {"spill": False}], ids=str)
def test_how_a_part_was_made_never_shows(grown, months, tmp_path, changes):
    preprocess(tmp_path / "out", months / "RC_1")
    again = preprocess(tmp_path / "out", months / "RC_2", append=True, seed=9, **changes)
    assert again.content_hash == grown[1].content_hash
    assert {name: kept for name, (_, kept) in state(tmp_path / "out").items() if name != "manifest.json"} == {
        name: kept for name, (_, kept) in state(grown[3]).items() if name != "manifest.json"
    }


def test_appending_twice_makes_three_parts_and_the_same_again_changes_nothing(months, tmp_path):
    output = tmp_path / "out"
    preprocess(output, months / "RC_1", append=True)  # nothing to add to: the first part
    preprocess(output, months / "RC_2", append=True)
    third = preprocess(output, months / "RC_3", append=True)
    assert [part.path for part in third.parts] == ["", "part-001", "part-002"]
    assert list(verify(third)) == []
    texts = [(pair.anchor, pair.positive) for pair in pairs_of(third)]
    assert len(set(texts)) == len(texts)
    before, folders = state(output), sorted(output.rglob("*"))
    for month in (1, 2, 3):
        with pytest.raises(JobError, match=r"no pair is left to write \(.*in_older_part"):
            preprocess(output, months / f"RC_{month}", append=True)
    assert state(output) == before and sorted(output.rglob("*")) == folders


def test_an_append_that_fails_leaves_the_dataset_as_it_was(months, tmp_path, monkeypatch):
    output = tmp_path / "out"
    preprocess(output, months / "RC_1")
    before, calls = state(output), itertools.count()
    real = write.write_shard

    def fail(*args, **kwargs):
        if next(calls) == 1:
            raise OSError("the disk is gone")
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(write, "write_shard", fail)
        with pytest.raises(OSError, match="the disk is gone"):
            preprocess(output, months / "RC_2", append=True)
    assert state(output) == before and not (output / "part-001").exists()


def test_an_append_that_was_killed_leaves_a_valid_dataset_and_can_be_done_again(months, tmp_path, monkeypatch):
    output, clean = tmp_path / "out", tmp_path / "clean"
    for folder in (output, clean):
        first = preprocess(folder, months / "RC_1")
    monkeypatch.setattr("pipelines.preprocess.clear_failed", lambda *_, **__: None)  # as after kill -9
    monkeypatch.setattr("pipelines.preprocess._clear_spills", lambda *_: None)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.preprocess.finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            preprocess(output, months / "RC_2", append=True)
    assert list((output / "part-001").glob("*.tfrecord")) and list(output.glob(".staging-*"))
    assert Manifest.load(output) == first and list(verify(Manifest.load(output))) == []
    assert preprocess(output, months / "RC_2", append=True) == preprocess(clean, months / "RC_2", append=True)
    files = [{name: kept for name, (_, kept) in state(folder).items()} for folder in (output, clean)]
    for kept in files:
        del kept["manifest.json"]  # names the command's folders
    assert files[0] == files[1]


def test_a_part_left_by_a_killed_append_goes_when_all_is_overwritten(months, tmp_path):
    output = tmp_path / "out"
    preprocess(output, months / "RC_1")
    (output / "part-001").mkdir()
    (output / "part-001" / "train-00000-of-00001.tfrecord").write_bytes(b"half")
    (output / ".staging-0123456789ab").mkdir()
    (output / ".staging-0123456789ab" / "started").touch()
    preprocess(output, months / "RC_2", overwrite=True)
    assert not list(output.glob("part-001/*"))
    assert len(preprocess(output, months / "RC_3", append=True).parts) == 2


def test_another_dataset_is_not_appended_to(months, tmp_path):
    output = tmp_path / "out"
    preprocess(output, months / "RC_1")
    before = state(output)
    with pytest.raises(FileExistsError, match="holds 'reddit', this job writes 'other'; choose another --output"):
        preprocess(output, months / "RC_2", append=True, dataset="other")
    assert state(output) == before


def test_overwriting_replaces_all_parts(months, tmp_path):
    output = tmp_path / "out"
    preprocess(output, months / "RC_1")
    preprocess(output, months / "RC_2", append=True)
    manifest = preprocess(output, months / "RC_3", overwrite=True)
    assert [part.path for part in manifest.parts] == [""] and list(verify(manifest)) == []
    listed = {Path(located.path).name for split in ("train", "test") for located in manifest.shards(split)}
    assert {path.name for path in output.rglob("*.tfrecord")} == listed


# By itself


def test_a_target_is_beside_its_older_parts_or_the_first(months, tmp_path):
    output = tmp_path / "out"
    assert find_target(str(output), "reddit", append=True) == Target(str(output))
    preprocess(output, months / "RC_1")
    target = find_target(str(output), "reddit", append=True)
    assert target == Target(str(output), "part-001") and target.shards == str(output / "part-001")
    assert find_target(str(output), "reddit", append=False).shards == str(output)


def test_what_another_job_left_is_cleared_and_what_the_same_job_left_is_kept(tmp_path):
    root, target = tmp_path / "out", Target(str(tmp_path / "out"))
    for name in ("mine", "other"):
        (root / f".staging-{name}").mkdir(parents=True)
        (root / f".staging-{name}" / "done").touch()
    (root / "train-00000-of-00002.tfrecord").touch()
    (root / "notes").touch()
    staging = make_room(str(root), [target], "mine", overwrite=False)
    assert staging == str(root / ".staging-mine")
    assert sorted(path.name for path in root.rglob("*")) == [".staging-mine", "done", "notes", "started"]
    clear_failed(str(root), [target], staging)
    assert [path.name for path in root.rglob("*")] == ["notes"]


@pytest.mark.parametrize("wrong", [{"memory": "100M"}, {"evaluation": EvalOptions(("nowhere.csv",))}])
def test_a_dataset_to_be_replaced_stays_until_its_successor_is_there(months, tmp_path, wrong):
    output = tmp_path / "out"
    first = preprocess(output, months / "RC_1")
    with pytest.raises((ValueError, FileNotFoundError)):
        preprocess(output, months / "RC_2", overwrite=True, **wrong)
    damaged = tmp_path / "RC_4.zst"
    damaged.write_bytes(b"\x28\xb5\x2f\xfd damaged")
    with pytest.raises(JobError, match="damaged"):
        preprocess(output, damaged, overwrite=True)
    assert Manifest.load(output) == first and list(verify(first)) == []
    assert preprocess(output, months / "RC_2", overwrite=True) != first
