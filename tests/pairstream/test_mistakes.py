"""Plausible mistakes of a newcomer: a file for a folder, a run for an encoder, a folder for a mixture …

Each is one line that says what was found and what to do, and exit status 1 or 2.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pairstream.cli import main
from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, frame, open_local, shard_name, write_shard

RUN = {"name": "quickstart", "encoder": "all-MiniLM-L6-v2", "mixture": "mixture.json", "data": "data"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a dataset, a mixture, what a run leaves, and files that are none of these."""
    root = tmp_path_factory.mktemp("work")
    dataset = root / "data" / "faq"
    dataset.mkdir(parents=True)
    pair = Pair("faq", "a question", "an answer")
    frames = [frame(encode_pair(pair, fingerprint(pair)))]
    block = Block(frames[0], np.array([len(frames[0])], np.uint32), np.array([0], np.uint64))
    shard = write_shard(str(dataset), shard_name("train", 0, 1), [block], window=16, open_file=open_local)
    part = Part("", (), {}, {}, 1, (), {"train": Split(1, shard.bytes, 16, (shard,))}, {})
    (dataset / MANIFEST_NAME).write_bytes(Manifest("faq", "a → b", "none", "", "", (part,)).to_bytes())
    (root / "mixture.json").write_text('[{"name": "faq", "weight": 1}]')
    (root / "faq.csv").write_text("question,answer\nWhat is a list?,A sequence of values\n")
    (root / "texts.txt").write_text("a text\n")
    (root / "bad.json").write_text("{")
    (root / "empty").mkdir()
    (root / "runs" / "quickstart" / "checkpoints").mkdir(parents=True)
    (root / "runs" / "quickstart" / "config.json").write_text(json.dumps(RUN))
    (root / "folder" / "encoder").mkdir(parents=True)
    (root / "folder" / "encoder" / "modules.json").write_text("[]")
    return root


MISTAKES = [
    # a dataset's folder is expected
    ("inspect nosuch", 1, "no manifest here or below, for there is no such folder; expected what `pairstream prepro"),
    ("verify faq.csv", 1, "no manifest here or below, for it is a file"),
    ("report empty", 1, "empty: no manifest here or below; expected what `pairstream preprocess` wrote"),
    ("inspect faq.csv", 2, "expected a .tfrecord file or a folder with a manifest"),
    ("report data/faq --tokenizer faq.csv", 2, "expected a tokenizer.json or a folder that holds one"),
    ("report data/faq --sample 0", 2, "--sample is 0; expected at least 1"),
    (
        "tokenize data --tokenizer runs/quickstart --output ids",
        1,
        "runs/quickstart is the folder of a run, not of an encoder",
    ),
    ("tokenize data --tokenizer x --output ids --workers -1", 2, "--workers is -1; expected at least 1"),
    # raw files are expected
    (
        "preprocess csv --output o",
        2,
        "csv needs --input: CSV with a header line; for example: pairstream preprocess csv",
    ),
    ("preprocess csv --input empty --output o", 1, "empty is a folder; expected files, such as 'empty/*'"),
    ("preprocess csv --input nosuch --output o", 1, "no file matches nosuch"),
    ("preprocess csv --input faq.csv --output faq.csv", 1, "is a file; expected a folder to write into"),
    ("preprocess csv --input faq.csv --output o", 1, "check the columns' names: --anchor and --positive say them"),
    ("preprocess docstrings --output o --keep-rejects o", 2, "--keep-rejects and --output are both o"),
    ("preprocess redit --input x --output o", 2, "unknown source 'redit'; did you mean reddit"),
    # a mixture is expected
    ("plan data", 1, 'data: a folder, and no such mixture; expected a data_config.json, such as [{"name": "reddit"'),
    ("plan data/faq/manifest.json", 1, "this is a dataset's manifest; expected a list of datasets"),
    ("plan runs/quickstart/config.json", 1, "this is a run's config, whose mixture is mixture.json"),
    ("plan bad.json", 1, "bad.json: not JSON"),
    ("plan mixture.json --steps 0", 2, "--steps is 0; expected at least 1"),
    ("plan mixture.json --data data/faq", 1, "data/faq is itself a dataset: pass the folder above it"),
    ("plan mixture.json --data empty", 1, "empty: no finished dataset faq; make it with `pairstream preprocess`"),
    ("batches mixture.json --data data --batch-size 1", 2, "--batch-size is 1; expected at least 2"),
    # a run is expected
    ("train quikstart", 2, "no such run; did you mean quickstart? expected a preset (distilbert, "),
    (
        "train runs/quickstart",
        2,
        "a folder, and no such run; the config that a run saved there: runs/quickstart/config.json",
    ),
    ("train mixture.json", 2, "mixture.json: run: a JSON list; expected an object, as a run's config.json holds"),
    ("train data/faq/manifest.json", 2, "manifest.json: run: unknown field 'citation'"),
    ("train bad.json", 2, "bad.json: not JSON"),
    ("train runs/quickstart/config.json --set name=", 2, "name is ''; expected a plain name"),
    (
        "train runs/quickstart/config.json --set optimizer.learning_rate=fast",
        2,
        "--set optimizer.learning_rate is 'fast'",
    ),
    ("train runs/quickstart/config.json --set optimizer.learning_rate=-1", 2, "train: optimizer.learning_rate is -1.0"),
    ("train runs/quickstart/config.json --output faq.csv", 2, "--output faq.csv is a file; expected the run's folder"),
    ("run minilm_l6", 1, "--set mixture=PATH says where the run's lies"),
    ("tpu-check --topology v3:2x2 minilm_l6", 2, "expected one run, before the options"),
    ("export folder/encoder out", 2, "is an encoder's folder; expected that of a run"),
    ("export data/faq out", 1, "expected the folder of a run that `pairstream train` made"),
    # an encoder is expected
    (
        "encode runs/quickstart --input texts.txt",
        1,
        "make its encoder: pairstream export runs/quickstart runs/quickstart/encoder",
    ),
    ("encode data/faq --input texts.txt", 1, "data/faq is a dataset; expected the folder of an encoder"),
    ("search faq.csv q --corpus texts.txt", 1, "faq.csv is a file; expected the folder that holds an encoder's conf"),
    ("search runs/quickstart q --corpus texts.txt --hits 0", 2, "--hits is 0; expected at least 1"),
    ("mine runs/quickstart data/faq --output mined", 1, "runs/quickstart is the folder of a run, not of an encoder"),
    (
        "evaluate runs/quickstart --retrieval data/faq",
        1,
        "data/faq: no test split to evaluate on; preprocess with --test-frac",
    ),
    ("evaluate --sts a.csv bm25", 2, "no encoder; those stand before the options: pairstream evaluate "),
    ("evaluate bm25", 2, "nothing to evaluate on; expected --sts, --duplicates, --retrieval"),
    ("push me/x runs/quickstart --dry-run", 1, "runs/quickstart is the folder of a run, not of an encoder"),
    ("push x data/faq --dry-run", 2, "x: expected OWNER/NAME of a repository on the Hub"),
]


@pytest.mark.parametrize(("call", "status", "said"), MISTAKES, ids=[call for call, _, _ in MISTAKES])
def test_a_mistake_is_one_line_that_says_what_to_do(
    call: str, status: int, said: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    found = main(call.split())
    out, err = capsys.readouterr()
    assert (found, out, len(err.splitlines())) == (status, "", 1), err
    assert said in err


PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ROWS = re.findall(r"^\| `pairstream (.+?)` \| (.+?) \| .+ \|$", PAGE.read_text(), re.MULTILINE)


def test_the_page_on_trouble_has_rows() -> None:
    assert len(ROWS) > 15


@pytest.mark.parametrize(("call", "said"), ROWS, ids=[call for call, _ in ROWS])
def test_the_page_on_trouble_says_what_the_commands_say(
    call: str, said: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert main(call.split()) in (1, 2)
    assert said in capsys.readouterr().err
