"""What a job says of itself at its end, and the rejects that it keeps aside."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pipelines.decontaminate import EvalOptions
from pipelines.filters.options import FilterOptions
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit
from schemas.example import decode_pair, reason_of
from schemas.manifest import Manifest, verify
from schemas.shards import read_shard

KEPT_STAGES = ("filter", "decontaminate", "dedup", "cap", "split")


def records_of(manifest: Manifest, *splits: str) -> list[bytes]:
    return [record for split in splits for located in manifest.shards(split) for record in read_shard(located.path)]


@pytest.fixture(scope="module")
def dumps(make_dump, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dumps")
    for month in (1, 2):
        make_dump(folder / f"RC_{month}", 1500, seed=month, month=month)
    lines = (folder / "RC_1").read_bytes().splitlines(keepends=True)
    (folder / "RC_3").write_bytes(b"".join(lines[:800]).replace(b'"t3_1', b'"t3_9'))  # the same texts in other threads
    bodies = [json.loads(line)["body"] for line in lines if line.startswith(b"{")]
    (folder / "eval.txt").write_text("\n".join(sorted(body for body in bodies if 60 < len(body) < 127)[::30]))
    return folder


def preprocess(dumps: Path, output: Path, **changes) -> list[Manifest]:
    options = {
        "shard_size": 30_000,
        "dedup": "near",
        "max_per_text": 3,
        "keep_rejects": str(output / "rejects"),
        "evaluation": EvalOptions(eval_texts=(str(dumps / "eval.txt"),)),
        "filters": FilterOptions(filters="clean"),
        **changes,
    }
    return run(Job(Reddit(), (f"{dumps}/RC_*",), str(output / "kept"), **options))


@pytest.fixture(scope="module")
def kept_and_rejects(dumps, tmp_path_factory):
    return preprocess(dumps, tmp_path_factory.mktemp("out"))


def test_every_drop_that_has_texts_is_kept_aside_with_its_reason(kept_and_rejects):
    kept, rejects = kept_and_rejects
    (part,) = kept.parts
    expected = {
        f"{stage.name}/{reason}": records
        for stage in part.funnel
        for reason, records in stage.drops.items()
        if stage.name in KEPT_STAGES or stage.name == "read"
    }
    found = Counter(map(reason_of, records_of(rejects, "rejects")))
    assert found == expected
    assert {name.partition("/")[0] for name in found} >= {"read", "filter", "decontaminate", "dedup", "cap"}
    assert rejects.records("rejects") == sum(expected.values())


def test_rejects_are_a_dataset_that_loads_and_verifies(kept_and_rejects):
    _, rejects = kept_and_rejects
    assert Manifest.load(rejects.folder) == rejects and list(verify(rejects)) == []
    assert (rejects.dataset, rejects.tuple) == ("reddit/rejects", "dropped: comment → reply")
    assert set(rejects.parts[0].splits) == {"rejects"} and len(list(rejects.shards("rejects"))) > 3
    for record in records_of(rejects, "rejects"):
        pair, _ = decode_pair(record)
        assert pair.dataset == "reddit"


def test_no_reject_stands_in_a_split(kept_and_rejects):
    kept, rejects = kept_and_rejects
    assert set(kept.parts[0].splits) == {"train", "test"}
    assert not any(map(reason_of, records_of(kept, "train", "test")))
    standing: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for record in records_of(kept, "train", "test"):
        standing[decode_pair(record)[0].texts] += 1
    assert max(standing.values()) == 1
    for record in records_of(rejects, "rejects"):
        reason, texts = reason_of(record), decode_pair(record)[0].texts
        assert (texts in standing) <= (reason == "dedup/duplicate")  # of copies one stands


def test_keeping_rejects_changes_nothing_else(kept_and_rejects, dumps, tmp_path):
    (alone,) = preprocess(dumps, tmp_path, keep_rejects=None)
    assert alone.content_hash == kept_and_rejects[0].content_hash
    assert alone.parts[0].funnel == kept_and_rejects[0].parts[0].funnel


@pytest.mark.parametrize("changes", [{"passes": 64}, {"spill": False}], ids=str)
def test_rejects_are_the_same_bytes_however_they_were_made(kept_and_rejects, dumps, tmp_path, changes):
    found = preprocess(dumps, tmp_path, **changes)
    for one, other in zip(found, kept_and_rejects, strict=True):
        assert one.content_hash == other.content_hash
        assert records_of(one, "rejects") == records_of(other, "rejects")


def test_rejects_grow_by_parts_too(make_dump, tmp_path):
    for month in (1, 2):
        make_dump(tmp_path / f"RC_{month}", 400, seed=month, month=month)
        job = Job(
            Reddit(),
            (str(tmp_path / f"RC_{month}"),),
            str(tmp_path / "out"),
            append=True,
            keep_rejects=str(tmp_path / "rejects"),
        )
        kept, rejects = run(job)
    for manifest in (kept, rejects):
        assert [part.path for part in manifest.parts] == ["", "part-001"] and list(verify(manifest)) == []


def test_docstrings_that_stand_in_test_are_set_aside(tmp_path):
    folder = Path(json.__file__).parent.parent / "asyncio"
    manifests = run(
        Job(Docstrings(test_fraction=0.3), (str(folder),), str(tmp_path / "o"), keep_rejects=str(tmp_path / "r"))
    )
    assert [manifest.dataset for manifest in manifests] == [
        "docstring_code",
        "docstring_body",
        "docstring_code/rejects",
        "docstring_body/rejects",
    ]
    for kept, rejects in zip(manifests[:2], manifests[2:], strict=True):
        reasons = Counter(map(reason_of, records_of(rejects, "rejects")))
        stages = {stage.name: stage.drops for stage in kept.parts[0].funnel}
        assert reasons["split/train_text_in_test"] == stages["split"].get("train_text_in_test", 0)
        assert reasons["dedup/duplicate"] == stages["dedup"].get("duplicate", 0)


def test_a_manifest_shows_some_of_what_was_dropped_and_where_pairs_come_from(kept_and_rejects):
    kept, rejects = kept_and_rejects
    statistics = kept.parts[0].statistics
    texts: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for record in records_of(rejects, "rejects"):
        texts[reason_of(record)].add(decode_pair(record)[0].texts)
    shown = 0
    for stage, reasons in statistics["samples"].items():
        if stage != "pair":  # those have no record aside
            for reason, samples in reasons.items():
                assert 0 < len(samples) <= 3
                for sample in samples:
                    texts_shown = (sample["anchor"], sample.get("positive", ""))
                    assert any(one[:2] == texts_shown for one in texts[f"{stage}/{reason}"])
                    shown += 1
    assert shown > 10
    pairs = sum(statistics["origins"]["subreddit"].values())
    funnel = {stage.name: stage.kept for stage in kept.parts[0].funnel}
    own = Counter(kept.parts[0].funnel[2].drops)
    by_source = sum(n for reason, n in own.items() if reason.startswith(("reply_", "parent_")))
    assert pairs == funnel["pair"] - by_source


def test_a_job_whose_pairs_all_go_keeps_nothing_aside_and_says_where_they_went(tmp_path):
    (tmp_path / "dump").write_text('{"id": "a", "link_id": "t3_x", "parent_id": "t3_x", "body": "alone"}\nnonsense\n')
    job = Job(Reddit(), (str(tmp_path / "dump"),), str(tmp_path / "out"), keep_rejects=str(tmp_path / "rejects"))
    with pytest.raises(JobError, match=r"no pair is left to write \(not_json 1, top_level 1\)"):
        run(job)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["dump"]


def test_bad_files_are_left_out_and_listed_where_that_is_asked_for(make_dump, tmp_path):
    good = make_dump(tmp_path / "RC_good.zst", 400)
    (tmp_path / "RC_bad.zst").write_bytes(good.read_bytes()[:-9])
    (tmp_path / "RC_none.zst").write_bytes(b"nothing")
    job = Job(Reddit(), (f"{tmp_path}/RC_*",), str(tmp_path / "out"), skip_bad_files=True)
    (manifest,) = run(job)
    (part,) = manifest.parts
    assert [line.split(": ")[0] for line in part.inputs["bad"]] == [
        str(tmp_path / f"RC_{name}.zst") for name in ("bad", "none")
    ]
    assert part.inputs["files"] == 3 and list(verify(manifest)) == []
    with pytest.raises(JobError):
        run(Job(Reddit(), (f"{tmp_path}/RC_*",), str(tmp_path / "other")))
