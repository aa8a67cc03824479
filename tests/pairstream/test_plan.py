"""`pairstream plan` as a user meets it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pairstream.cli import main
from schemas.manifest import HISTOGRAM_EDGES, MANIFEST_NAME, Manifest, Part, Split
from schemas.shards import Shard, shard_name


def write_manifest(data: Path, name: str, records: int) -> None:
    """A dataset on paper, whose texts all have 64 to 127 characters."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    shard = Shard(shard_name("train", 0, 1), records, 100 * records, digest, digest, digest)
    side = [records if edge == 64 else 0 for edge in HISTOGRAM_EDGES]
    counts = {"edges": list(HISTOGRAM_EDGES), "train": {"anchor": side, "positive": side}}
    split = Split(records, shard.bytes, 16, (shard,))
    part = Part("", (), {}, {}, records, (), {"train": split}, {"characters": counts})
    (data / name).mkdir(parents=True)
    (data / name / MANIFEST_NAME).write_bytes(Manifest(name, "a → b", "", "", "", (part,)).to_bytes())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, records in (("a", 3000), ("b", 1000)):
        write_manifest(tmp_path / "data", name, records)
    return tmp_path / "data"


def write_mixture(tmp_path: Path, **more: Any) -> str:
    path = tmp_path / "mixture.json"
    datasets = [{"name": "a", "weight": 1, "lines": 3000}, {"name": "b", "weight": 1, "lines": 1200}]
    path.write_text(json.dumps({"batch": {"size": 100}, "datasets": datasets, **more}))
    return str(path)


def plan(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["plan", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fail(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    status = main(["plan", *argv])
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    return status, error


def test_the_document_has_its_fixed_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = plan(capsys, write_mixture(tmp_path), "--steps", "30")
    fixed = ("total_lines", "total_weight", "steps", "batch_size", "draws")
    assert [document[key] for key in fixed] == [4200, 2, 30, 100, 3000]
    expected = {"name": "b", "lines": 1200, "weight": 1, "share": 0.5, "draws": 1500, "epochs": 1.25, "coverage": 1}
    assert document["datasets"][1].items() >= expected.items()
    assert document["lines_from"] == "config" and document["pack"] is None


def test_the_real_mixture_s_figures_are_those_of_a_hand_computation(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(shared_data / "mixtures" / "all_datasets_v4.data_config.json.gz")
    document = plan(capsys, config, "--batch-size", "1024", "--steps", "100000")
    original = {row["name"]: row for row in document["datasets"]}
    assert document["draws"] == 102_400_000 and document["largest_error"] == 0
    reddit = original["reddit/reddit_2018"]
    assert (reddit["lines"], reddit["weight"], reddit["share"]) == (240_726_659, 82, pytest.approx(82 / 4737))
    assert reddit["draws"] == round(102_400_000 * 82 / 4737) == 1_772_599
    assert reddit["coverage"] == pytest.approx(0.00736, abs=1e-5)
    assert abs(reddit["realised_draws"] - reddit["draws"]) <= 512
    every = sum(row["realised_draws"] for row in document["datasets"])
    assert every == 102_400_000
    assert sum(row["coverage"] * row["lines"] for row in document["datasets"]) < 0.0875 * 1_170_060_424


def test_manifests_give_the_counts_and_the_difference_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = plan(capsys, write_mixture(tmp_path), "--data", str(data), "--steps", "30")
    assert document["lines_from"] == "manifests" and document["total_lines"] == 4000
    told = [(row["lines"], row["config_lines"], row["difference"]) for row in document["datasets"]]
    assert told == [(3000, 3000, 0), (1000, 1200, -200)]
    assert document["datasets"][1]["epochs"] == 1.5
    assert document["pack"]["rows"] == 25 and document["pack"]["estimated"]
    assert main(["plan", write_mixture(tmp_path), "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert "1,200 (-200)" in out and "packs of 64 pairs: 25 rows of 128 tokens (estimated from characters" in out


def test_rules_and_limits_are_planned_with_the_lines_of_the_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_mixture(tmp_path, weights={"rule": "proportional", "cap": 1200}, max_epochs=1)
    document = plan(capsys, path, "--steps", "1000")
    assert [row["weight"] for row in document["datasets"]] == [1200, 1200]
    # Both are drawn alike until b was read once, then a alone until it was.
    assert document["segments"] == [0, 24] and document["end"] == 42
    assert [row["draws"] for row in document["datasets"]] == [3000, 1200]
    assert document["warnings"][0].startswith("the plan ends after 42 steps")


def test_segments_are_planned_each_with_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = [{"from_step": 0, "weights": {"a": 1}}, {"from_step": 10, "weights": {"a": 1, "b": 3}}]
    document = plan(capsys, write_mixture(tmp_path, weights=weights), "--steps", "30")
    assert [row["draws"] for row in document["datasets"]] == [1500, 1500]
    assert [row["share"] for row in document["datasets"]] == [0.5, 0.5]
    assert [row["weight"] for row in document["datasets"]] == [1, 0]


def test_the_report_shows_realised_beside_planned_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", write_mixture(tmp_path, weights={"a": 3, "b": 1}), "--steps", "30", "--report"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.split()[0] in ("a", "b")]
    assert [row[-4:] for row in rows] == [["75.000%", "75.000%", "2,250", "+0"], ["25.000%", "25.000%", "750", "+0"]]
    assert len(rows[0][1]) == pytest.approx(3 * len(rows[1][1]), abs=3)  # the bars


def test_advice_is_for_people_and_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mixture(tmp_path, batch={"size": 4000})
    document = plan(capsys, path)
    assert document["warnings"] == [
        "b has fewer pairs than its slot has rows: pairs come twice in a batch, which the loss masks"
    ]
    main(["plan", path])
    assert f"note: {document['warnings'][0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"batch": {"size": 33}}, "batch size 33 does not divide into 2 slots; the nearest that does: 32"),
        ({"batch": {"size": 33, "policy": "v1-half"}}, "batch size 33 has no two halves"),
        (
            {"datasets": [{"name": "a"}], "weights": {"rule": "proportional"}},
            "the rule proportional needs the lines of 'a'",
        ),
        ({"datasets": [{"name": "a", "weight": 1}], "max_epochs": 1}, "max_epochs of 'a' needs its lines"),
        ({"weights": {"rule": "temperature", "temperature": -1}}, "temperature is -1; expected a number above 0"),
    ],
)
def test_a_mixture_that_cannot_be_planned_says_why(
    more: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, error = fail(capsys, write_mixture(tmp_path, **more))
    assert status == 1 and said in error


def test_no_steps_are_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, error = fail(capsys, write_mixture(tmp_path), "--steps", "0")
    assert status == 2 and "--steps is 0; expected at least 1" in error
