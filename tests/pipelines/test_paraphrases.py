import csv
import gzip
import io
import tarfile
from typing import Any

import pytest

from pipelines.sources.base import RecordOptions
from pipelines.sources.paraphrases import (
    ROWS,
    gender_pairs,
    occupation_member,
    paws_pairs,
)
from schemas.pair import Pair
from tests.pipelines.source_rows import run_row

ROW = {row.info.name: row for row in ROWS}
OPTIONS = RecordOptions()


def only(outcomes) -> Any:
    (outcome,) = outcomes
    return outcome


def read_gzip(path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


PAWS = b"id\tsentence1\tsentence2\tlabel\n"


def test_paws_keeps_paraphrases_alone_in_one_cluster_a_sentence(tmp_path):
    content = (
        PAWS + b'1\tA to "B" .\tTo "B" , A .\t1\n2\tA to B .\tB to A .\t0\n3\tA to "b" .\tAt B .\t1\n4\ta\tb\t2\n5\ta\n'
    )
    with tarfile.open(tmp_path / "paws_wiki_labeled_final.tar.gz", "w:gz") as archive:
        header = tarfile.TarInfo("final/train.tsv")
        header.size = len(content)
        archive.addfile(header, io.BytesIO(content))
    manifest, pairs = run_row(ROW["paws"], tmp_path / "out", tmp_path / "*.tar.gz")
    assert sorted(pair.positive for pair in pairs) == ["At B .", 'To "B" , A .']
    assert len({pair.cluster for pair in pairs}) == 1
    read, pair = manifest.parts[0].funnel[:2]
    assert read.drops == {"wrong_number_of_columns": 1}
    assert pair.drops == {"not_a_paraphrase": 1, "unknown_label": 1}


def test_a_paws_file_without_its_header_has_no_pair():
    assert only(paws_pairs({"1": "2", "a": "b"}, "d", OPTIONS)) == "missing_field"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("b'caf\\xc3\\xa9 au lait'", "café au lait"),
        ('b"it\'s"', "it's"),
        ("b'broken", "b'broken"),
        (" plain ", "plain"),
    ],
)
def test_paws_sentences_written_as_bytes_are_read_as_text(written, meant):
    row = {"id": "1", "sentence1": written, "sentence2": "another", "label": "1"}
    (pair,) = paws_pairs(row, "paws", RecordOptions())
    assert isinstance(pair, Pair) and pair.anchor == meant


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"sentid": "nurse.someone.0.male.txt", "sentence": " He left. "}, ("nurse.someone.0", ("male", "He left."))),
        ({"sentid": "nurse.someone.0.other.txt", "sentence": "They left."}, "unknown_name"),
        ({"sentid": "nurse", "sentence": "They left."}, "unknown_name"),
        ({"sentid": "nurse.someone.0.male.txt"}, "missing_field"),
        ({"sentence": "They left."}, "missing_field"),
    ],
)
def test_an_occupation_sentence_is_known_by_its_name(row, expected):
    assert occupation_member(row) == expected


def test_a_template_without_its_neutral_or_gendered_sentence_is_counted():
    assert only(gender_pairs(("nurse.a.0", [("male", "He.")]), "d", OPTIONS)) == "no_neutral_sentence"
    assert only(gender_pairs(("nurse.a.0", [("neutral", "They.")]), "d", OPTIONS)) == "no_gendered_sentence"


def test_the_real_occupations_pair_each_neutral_sentence_with_both_genders(shared_data, tmp_path):
    path = shared_data / "eval/winogender/all_sentences.tsv.gz"
    sentences = {row["sentid"]: row["sentence"] for row in csv.DictReader(read_gzip(path), delimiter="\t")}
    manifest, pairs = run_row(ROW["Gender_Bias_Evaluation_Set"], tmp_path / "out", path)
    assert (len(sentences), manifest.parts[0].read, len(pairs)) == (720, 480, 480)
    assert {(*pair.texts, pair.group) for pair in pairs} == {
        (sentences[name.replace(f".{gender}.", ".neutral.")], sentence, f"winogender/{name.split('.')[0]}")
        for name, sentence in sentences.items()
        for gender in ("male", "female")
        if f".{gender}." in name
    }


def test_the_real_translations_are_paired_line_by_line(shared_data, tmp_path):
    paths = [shared_data / f"multi30k/val.{language}.gz" for language in ("en", "de")]
    expected = {(one.strip(), other.strip()) for one, other in zip(*map(read_gzip, paths), strict=True)}
    manifest, pairs = run_row(ROW["parallel_text"], tmp_path / "out", *paths)
    assert manifest.parts[0].read == len(pairs) == 1_014
    assert {pair.texts for pair in pairs} == expected
