"""`pairstream tokenize` as a user meets it: from a dump to ids, and what other commands say of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pairstream.cli import main
from reader.pack_rows import propose_rows
from schemas.manifest import Manifest

WORDS = ("egg", "water", "boil", "minutes", "seven", "soft", "hard", "spoon", "salt", "again")
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of texts, `talk/reddit`."""
    folder, chance = tmp_path_factory.mktemp("texts"), random.Random(0)
    rows = [
        {
            "id": f"c{n}",
            "link_id": "t3_x",
            "parent_id": f"t1_c{n - 1}" if n else "t3_x",
            "body": " ".join(chance.choices(WORDS, k=chance.randint(4, 20))),
        }
        for n in range(300)
    ]
    dump = folder / "RC_2020-01.jsonl"
    dump.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = folder / "data"
    argv = ["preprocess", "reddit", "--input", str(dump), "--output", str(output / "talk/reddit")]
    assert main([*argv, "--dataset", "talk/reddit", "--test-fraction", "0"]) == 0
    return output


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer.json that pads and cuts, as files in the wild do."""
    folder = tmp_path_factory.mktemp("encoder")
    made = Tokenizer(models.WordLevel({token: n for n, token in enumerate((*SPECIAL, *WORDS))}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    made.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_padding(length=64)
    made.enable_truncation(max_length=8)
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def ids(data: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("ids") / "data"
    assert main(["tokenize", str(data), "--tokenizer", str(encoder), "--output", str(output)]) == 0
    return output


@pytest.fixture
def mixture(tmp_path: Path) -> str:
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps([{"name": "talk/reddit", "weight": 1}]))
    return str(path)


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_folder_of_datasets_becomes_the_same_folders_of_ids(
    data: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "ids"
    argv = ("tokenize", str(data), "--tokenizer", f"{encoder}/tokenizer.json", "--output", f"{output}/")
    status, out, _ = call(capsys, *argv, "--anchor-prefix", "egg ")
    assert status == 0
    pairs = Manifest.load(data / "talk/reddit").records("train")
    assert f"{output}/talk/reddit: {pairs} pairs as token ids\n" in out
    assert f"next: pairstream verify {output}\n" in out
    manifest = Manifest.load(output / "talk/reddit")
    assert manifest.kind == "tokens" and manifest.parts[0].options["prefixes"] == ["egg ", ""]
    assert manifest.parts[0].command == ("pairstream", *argv, "--anchor-prefix", "egg ")
    assert call(capsys, "verify", str(output))[0] == 0
    status, _, err = call(capsys, *argv)
    assert (status, len(err.strip().splitlines())) == (1, 1) and "--overwrite" in err
    assert call(capsys, *argv, "--overwrite")[0] == 0


def test_texts_and_ids_have_the_same_digests(
    data: Path, ids: Path, mixture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("batches", mixture, "--batch-size", "16", "--count", "5", "--hosts", "2", "--json", "--data")
    status, of_texts, _ = call(capsys, *argv, str(data))
    assert status == 0 and len(json.loads(of_texts)) == 5
    assert call(capsys, *argv, str(ids))[:2] == (0, of_texts)


def test_plan_proposes_rows_from_the_tokens_that_were_counted(
    data: Path, ids: Path, mixture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    packs = [json.loads(call(capsys, "plan", mixture, "--data", str(d), "--json")[1])["pack"] for d in (data, ids)]
    assert [pack["estimated"] for pack in packs] == [True, False]
    # 4 to 20 words and two special tokens: middles of bins 0-8, 8-16, 16-32 as they were counted.
    tokens = Manifest.load(ids / "talk/reddit").parts[0].statistics["tokens"]["train"]
    means = [sum(n * count for n, count in zip((4, 12, 24), tokens[side], strict=False)) for side in tokens]
    pairs = Manifest.load(ids / "talk/reddit").records("train")
    assert [sum(tokens[side][:3]) for side in tokens] == [pairs, pairs]
    assert packs[1]["filled"] == pytest.approx(64 * sum(means) / pairs / (128 * packs[1]["rows"]))
    status, out, _ = call(capsys, "plan", mixture, "--data", str(ids))
    assert status == 0 and f"packs of 64 pairs: {packs[1]['rows']} rows of 128 tokens (without hard" in out


def test_a_grown_dataset_has_its_rows_from_all_of_its_parts(ids: Path) -> None:
    manifest = Manifest.load(ids / "talk/reddit")
    (part,) = manifest.parts
    alone, twice = (
        propose_rows([Manifest(manifest.dataset, "", "", "", "", (part,) * n, "tokens")], [1.0]) for n in (1, 2)
    )
    assert alone is not None and alone == twice and not alone.estimated


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["search", "ENCODER", "egg", "--corpus", "IDS"], "holds token ids; expected texts"),
        (["evaluate", "bm25", "--retrieval", "IDS"], "no test split to evaluate on"),
        (
            ["batches", "MIXTURE", "--data", "IDS", "--batch-size", "8", "--show", "1"],
            "holds token ids; expected texts",
        ),
        (["tokenize", "IDS", "--tokenizer", "ENCODER", "--output", "OUT"], "holds tokens; expected a dataset of texts"),
        (["tokenize", "DATA", "--tokenizer", "OUT/tokenizer.json", "--output", "OUT"], "tokenizer.json not found"),
        (["tokenize", "DATA", "--tokenizer", "/no/such/encoder", "--output", "OUT"], "no such encoder folder"),
        (["tokenize", "DATA", "--tokenizer", "MIXTURE/tokenizer.json", "--output", "OUT"], "not found"),
        (["tokenize", "OUT", "--tokenizer", "ENCODER", "--output", "IDS"], "no manifest here or below"),
    ],
)
def test_what_ids_or_a_call_cannot_give_is_one_line_and_status_1(
    argv: list[str],
    said: str,
    data: Path,
    ids: Path,
    encoder: Path,
    mixture: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"DATA": data, "IDS": ids, "ENCODER": encoder, "OUT": tmp_path / "out", "MIXTURE": mixture}
    for name, place in places.items():
        argv = [part.replace(name, str(place)) for part in argv]
    status, _, err = call(capsys, *argv)
    assert (status, len(err.strip().splitlines())) == (1, 1), err
    assert said in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--output", "OUT"], "--tokenizer"),
        (["--tokenizer", "ENCODER", "--output", "OUT", "--workers", "0"], "--workers is 0; expected at least 1"),
        (["--tokenizer", "ENCODER", "--output", "OUT", "--shard-size", "9"], "unknown option --shard-size"),
        (["--tokenizer", "MIXTURE", "--output", "OUT"], "expected a tokenizer.json or a folder that holds one"),
        (["--tokenizer", "ENCODER", "--output", "DATA"], "is a dataset that would be tokenised; choose another"),
        (["--tokenizer", "ENCODER", "--output", "DATA", "--overwrite"], "is a dataset that would be tokenised"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(
    argv: list[str],
    said: str,
    data: Path,
    encoder: Path,
    mixture: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"DATA": data, "ENCODER": encoder, "OUT": tmp_path / "out", "MIXTURE": mixture}
    status, _, err = call(capsys, "tokenize", str(data), *[str(places.get(part, part)) for part in argv])
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert said in err
    assert Manifest.load(data / "talk/reddit").kind == "text" and not (tmp_path / "out").exists()


def test_held_out_ids_are_no_retrieval_task(
    data: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["preprocess", "reddit", "--input", str(data.parent / "RC_2020-01.jsonl"), "--output", str(tmp_path / "t")]
    assert main([*argv, "--test-fraction", "0.9999"]) == 0
    ids = tmp_path / "ids"
    assert main(["tokenize", str(tmp_path / "t"), "--tokenizer", str(encoder), "--output", str(ids)]) == 0
    status, _, err = call(capsys, "evaluate", "bm25", "--retrieval", str(ids))
    assert (status, len(err.strip().splitlines())) == (1, 1), err
    assert "holds token ids; expected texts" in err


def test_a_report_on_ids_says_that_it_read_no_texts(
    ids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = call(capsys, "report", str(ids), "--output", str(tmp_path / "page.html"))
    assert status == 0 and "one dataset" in out
    page = (tmp_path / "page.html").read_text()
    assert "No texts were read: the dataset holds none." in page
    assert "299 pairs" in out
