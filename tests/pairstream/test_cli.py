"""The command line as a user meets it: what it prints, and its exit status."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pairstream.cli import COMMANDS, main

COMMENTS = [
    {"id": "a", "link_id": "t3_x", "parent_id": "t3_x", "body": "How long should one boil an egg?"},
    {"id": "b", "link_id": "t3_x", "parent_id": "t1_a", "body": "About seven minutes for a soft one."},
    {"id": "c", "link_id": "t3_x", "parent_id": "t1_b", "body": "And how long for a hard one then?"},
]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "RC_2020-01.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(comment) for comment in COMMENTS).encode()))
    return path


@pytest.fixture
def corpus(dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    output = tmp_path / "data" / "reddit"
    assert main(["preprocess", "reddit", "--input", str(dump), "--output", str(output), "--test-fraction", "0"]) == 0
    capsys.readouterr()
    return output


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "--help")
    assert status == 0
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main([command, "--help"])
    except SystemExit as exit_:
        status = exit_.code
    assert not status
    assert f"pairstream {command}" in capsys.readouterr().out


def test_no_help_imports_what_takes_seconds() -> None:
    calls = [[name, "--help"] for name in COMMANDS] + [["preprocess", "reddit", "--help"], ["sources", "--json"]]
    code = f"""
import contextlib, io, sys
from pairstream.cli import main
for call in {calls}:
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.suppress(SystemExit):
        main(call)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"apache_beam", "jax", "flax", "tensorflow", "torch", "pandas", "sklearn", "scipy", "tensorboardX"}
    assert not heavy & set(done.stdout.split())


def test_the_help_appears_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pairstream", "--help"], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "jax", "tensorflow", "rich", "tyro"} & {
        line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()
    }


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nonsense"], "unknown command 'nonsense'"),
        (["preprocess"], "no source was named"),
        (["preprocess", "facebook"], "unknown source 'facebook'"),
        (["preprocess", "reddit", "--input", "x"], "--output"),
        (["preprocess", "reddit", "--input", "x", "--output", "y", "--eval-text", "z"], "unknown option --eval-text"),
        (["preprocess", "reddit", "--input", "x", "--output", "y", "--depth", "many"], "--depth"),
        (["train", "nosuchrun"], "no such run; expected a preset (distilbert, "),
        (["train", "quickstart", "--set", "steps"], "expected field=value"),
        (["train", "quickstart", "--set", "stepz=1"], "no such field"),
        (["train", "quickstart", "--set", "steps=many"], "--set steps is 'many'; expected a whole number"),
        (["train", "quickstart", "--set", "batch_size=100"], "the nearest that is: 128"),
        (["train", "minilm_l6", "--set", "optimizer.name=adamz"], "--set optimizer.name is 'adamz'; expected adamw, "),
        (["train", "minilm_l6", "--set", "optimizer.decay_steps=5"], "set optimizer.schedule=wsd"),
        (["tpu-check"], "expected one run"),
        (["evaluate", "bm25"], "--retrieval"),
        (["batches", "x.json"], "--data"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, *argv)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert said in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["preprocess", "reddit", "--input", "nowhere*.zst", "--output", "OUT"], "no file matches nowhere*.zst"),
        (["preprocess", "docstrings", "--input", "nowhere", "--output", "OUT"], "no such folder: nowhere"),
        (["inspect", "nowhere"], "no manifest here or below"),
        (["verify", "nowhere"], "no manifest here or below"),
        (["plan", "nowhere.json"], "no such mixture"),
        (["train", "quickstart", "--set", "data=nowhere", "--output", "OUT"], "docstring_code, docstring_body"),
        (["train", "minilm_l6", "--output", "OUT"], "data_config.json: no such mixture"),
        (["export", "nowhere", "OUT"], "expected the folder of a run"),
        (["evaluate", "nowhere", "--retrieval", "nowhere"], "no manifest here or below"),
        (["search", "all-MiniLM-L6-v2", "query", "--corpus", "nowhere"], "no such file; expected a dataset folder"),
        (["encode", "/no/such/encoder", "--input", "nowhere"], "no such file"),
    ],
)
def test_a_failure_is_one_line_and_status_1(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = call(capsys, *[str(tmp_path / "out") if part == "OUT" else part for part in argv])
    assert (status, len(err.strip().splitlines())) == (1, 1), err
    assert said in err


def test_preprocess_prints_the_funnel_and_refuses_to_overwrite(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["preprocess", "reddit", "--input", str(dump), "--output", str(tmp_path / "out"), "--test-fraction", "0"]
    status, out, _ = call(capsys, *argv)
    assert status == 0
    assert "top_level" in out and "next: pairstream inspect" in out
    status, _, err = call(capsys, *argv)
    assert status == 1 and "--overwrite" in err
    assert call(capsys, *argv, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    "call",
    [
        "sources reddit",
        "preprocess reddit --input DUMP --output OUT --test-fraction 0",
        "inspect CORPUS -n 1",
        "report CORPUS",
        "verify CORPUS",
        "plan MIXTURE --data DATA --batch-size 2 --steps 1",
        "batches MIXTURE --data DATA --batch-size 2 --show 1",
        "evaluate tfidf bm25 --retrieval HELD_OUT",
        "push me/reddit CORPUS --dry-run",
    ],
)
def test_json_is_all_that_stands_on_stdout(call: str, dump: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mixture.json").write_text('[{"name": "reddit", "weight": 1}]')
    if "HELD_OUT" in call:
        held_out = ["--output", str(tmp_path / "held"), "--test-fraction", "0.999"]
        assert main(["preprocess", "reddit", "--input", str(dump), *held_out]) == 0
    places = {"DUMP": dump, "CORPUS": corpus, "DATA": corpus.parent, "MIXTURE": tmp_path / "mixture.json"}
    places |= {"OUT": tmp_path / "made", "HELD_OUT": tmp_path / "held"}
    argv = [str(places.get(word, word)) for word in call.split()]
    done = subprocess.run(
        [sys.executable, "-m", "pairstream", *argv, "--json"], capture_output=True, check=False, text=True
    )
    assert (done.returncode, type(json.loads(done.stdout))) in [(0, list), (0, dict)]
    assert all(line.startswith("note: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_prints_a_table_or_figures_has_json(command: str) -> None:
    source = Path(importlib.import_module(f"pairstream.{command.replace('-', '_')}").__file__ or "").read_text()
    if "Table(" in source or "print_scores(" in source:
        assert "json: bool = False" in source


def test_every_bad_input_is_named_and_nothing_is_left(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.gz").write_bytes(dump.read_bytes()[:-20])
    (tmp_path / "fake.bz2").write_bytes(dump.read_bytes())
    output = tmp_path / "out"
    bad = [str(tmp_path / "cut.gz"), str(tmp_path / "fake.bz2")]
    status, _, err = call(capsys, "preprocess", "reddit", "--input", str(dump), *bad, "--output", str(output))
    assert status == 1
    assert all(path in err for path in bad) and str(dump) not in err
    assert not output.exists()


def test_an_output_that_cannot_be_written_is_one_line(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    status, _, err = call(
        capsys, "preprocess", "reddit", "--input", str(dump), "--output", str(tmp_path / "file" / "out")
    )
    assert (status, len(err.strip().splitlines())) == (1, 1), err


def test_inspect_and_verify_show_a_whole_dataset(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "inspect", str(corpus))
    assert status == 0 and "About seven minutes" in out
    status, out, _ = call(capsys, "verify", str(corpus))
    assert status == 0 and "whole, 2 train" in out


def test_verify_names_the_shard_with_a_flipped_byte(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = corpus / "train-00000-of-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    status, _, err = call(capsys, "verify", str(corpus))
    assert status == 1 and str(shard) in err and "damaged" in err


def test_plan_computes_the_published_mixture_by_hand(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = shared_data / "mixtures" / "all_datasets_v4.data_config.json.gz"
    status, out, _ = call(capsys, "plan", str(config), "--json", "--batch-size", "1024", "--steps", "100000")
    document = json.loads(out)
    assert status == 0
    assert (document["total_lines"], document["total_weight"], document["draws"]) == (1_170_060_424, 4737, 102_400_000)
    reddit = next(row for row in document["datasets"] if row["lines"] == 240_726_659)
    assert reddit["share"] == pytest.approx(82 / 4737)
    assert reddit["epochs"] == pytest.approx(102_400_000 * 82 / 4737 / 240_726_659)
    assert reddit["coverage"] == pytest.approx(0.00736, abs=1e-4)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ([{"name": "a.jsonl.gz", "weight": -1}], "dataset 0 ('a.jsonl.gz'): weight is -1"),
        ([{"name": "../a", "weight": 1}], "dataset 0 ('../a'): the name must stay below"),
        ([{"name": "a", "weight": 1, "wait": 1}], "unknown key 'wait'"),
    ],
)
def test_a_bad_mixture_names_its_entry(
    config: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(config))
    status, _, err = call(capsys, "plan", str(path))
    assert status == 1 and said in err and str(path) in err


def test_a_mixture_with_an_unknown_dataset_names_it(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps([{"name": "reddit", "weight": 1}, {"name": "usenet", "weight": 1}]))
    status, _, err = call(capsys, "batches", str(path), "--data", str(corpus.parent))
    assert status == 1 and "usenet" in err and "no finished dataset reddit" not in err


def test_batches_have_one_digest_on_any_number_of_hosts(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps([{"name": "reddit", "weight": 1}]))
    argv = ["batches", str(path), "--data", str(corpus.parent), "--batch-size", "8", "--count", "3", "--json"]
    one, four = (json.loads(call(capsys, *argv, "--hosts", hosts)[1]) for hosts in ("1", "4"))
    assert one == four
    assert [batch["step"] for batch in one] == [0, 1, 2]
    assert one[0]["datasets"] == {"reddit": 8}
    later = json.loads(call(capsys, *argv, "--start", "1")[1])
    assert later[:2] == one[1:]


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import pairstream.sources

    def broken(_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(pairstream.sources, "main", broken)
    with pytest.raises(KeyError):
        main(["sources"])


def test_a_reader_that_leaves_early_is_no_error(corpus: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m pairstream inspect {corpus} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert "Traceback" not in done.stderr
