import gzip
import io
import json
import unicodedata
import zipfile
from typing import Any

import pytest

from pipelines.preprocess import JobError
from pipelines.sources.base import RecordOptions
from pipelines.sources.records import BadRecord
from pipelines.sources.shorter_texts import (
    ROWS,
    WikihowOptions,
    altlex_pairs,
    compression_pairs,
    goal_pairs,
    json_objects,
    simple_wiki_pairs,
    split_pairs,
    wikihow_pairs,
)
from schemas.pair import Pair
from tests.pipelines.source_rows import read_row, run_row

ROW = {row.info.name: row for row in ROWS}
OPTIONS = RecordOptions()


def only(outcomes) -> Any:
    (outcome,) = outcomes
    return outcome


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_gzip(path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


def google_file(*records) -> bytes:
    return b"\n".join(json.dumps(record, indent=2).encode() + b"\n" for record in records)


GOOGLE = [
    {
        "graph": {"id": "http://a", "sentence": f"Long sentence {number} said on Monday.", "node": [{"form": "ROOT"}]},
        "compression": {"text": f"Long sentence {number}.", "edge": []},
        "headline": "Not this",
        "compression_ratio": 0.5,
    }
    for number in range(3)
]


def test_google_s_objects_between_blank_lines_are_read(tmp_path):
    path = tmp_path / "sent-comp.train01.json.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + google_file(*GOOGLE)))
    manifest, pairs = run_row(ROW["sentence-compression"], tmp_path / "out", path)
    assert manifest.parts[0].read == 3
    assert sorted(pair.texts for pair in pairs) == [
        (f"Long sentence {number} said on Monday.", f"Long sentence {number}.") for number in range(3)
    ]


def test_a_broken_object_costs_only_itself():
    first, second, third = (google_file(record) for record in GOOGLE)
    broken = first + b"\n" + second.replace(b'"graph": {', b'"graph": ') + b"\n" + third
    assert list(json_objects(io.BytesIO(broken))) == [GOOGLE[0], BadRecord("not_json"), GOOGLE[2]]
    assert list(json_objects(io.BytesIO(first.replace(b"Monday", b"\xff") + third))) == [
        BadRecord("not_json"),
        GOOGLE[2],
    ]
    assert list(json_objects(io.BytesIO(b"no json at all\n"))) == [BadRecord("not_json")]
    assert list(json_objects(io.BytesIO(b""))) == []


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"text": "Long one. ", "summaries": ["One."]}, [("Long one.", "One.")]),
        ({"text": "Long one.", "summaries": ["One.", "Uno."]}, [("Long one.", "One."), ("Long one.", "Uno.")]),
        ({"text": "Long one.", "summaries": ["One.", None]}, [("Long one.", "One."), "no_summary"]),
        ({"text": "Long one.", "summaries": []}, ["no_summary"]),
        ({"text": "Long one.", "summaries": None}, ["missing_field"]),
        ({"text": None, "summaries": ["One."]}, ["missing_field"]),
        ({"graph": [], "compression": {"text": "One."}}, ["missing_field"]),
        ({"graph": {"sentence": "Long one."}, "compression": {"text": None}}, ["missing_field"]),
        ({}, ["missing_field"]),
        ([], ["not_an_object"]),
        (None, ["not_an_object"]),
    ],
)
def test_compressions_are_found_in_either_form_or_there_is_a_reason(record, expected):
    found = compression_pairs(record, "d", OPTIONS)
    assert [outcome.texts if isinstance(outcome, Pair) else outcome for outcome in found] == expected


@pytest.mark.parametrize(("name", "records"), [("google", 1_000), ("gigaword", 1_951)])
def test_each_real_summary_is_a_pair(name, records, shared_data):
    path = shared_data / f"sentence_compression/{name}.jsonl.gz"
    rows = [json.loads(line) for line in read_gzip(path)]
    pairs, reasons = read_row(ROW["sentence-compression"], path)
    assert (len(rows), reasons) == (records, {})
    assert [pair.texts for pair in pairs] == [
        (row["text"].strip(), summary.strip()) for row in rows for summary in row["summaries"]
    ]


WIKIHOW = (
    b"headline,title,text\r\n"
    b'"\nKeep it dry.,\nSay ""no"".",How to Keep a Fish1,"Buy a fish, feed it.\n\nDry it."\r\n'
    b'"\nFeed it.",How to Keep a Fish2,"Feed the fish."\r\n'
    b'"",How to Say Nothing,"Nothing."\r\n'
    b"lost,row\r\n"
    b'"\nBad \xff bytes.",How to Break,"Text"\r\n'
)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_wikihow_s_multi_line_fields_are_read(mark, tmp_path):
    path = tmp_path / "wikihowAll.csv"
    path.write_bytes(mark + WIKIHOW)
    manifest, pairs = run_row(ROW["wikihow"], tmp_path / "out", path)
    assert sorted(pair.texts for pair in pairs) == [
        ("Feed it.", "Feed the fish."),
        ('Keep it dry.,\nSay "no".', "Buy a fish, feed it.\n\nDry it."),
    ]
    assert {pair.group for pair in pairs} == {"wikihow/keep a fish"}
    read, _, filtered = manifest.parts[0].funnel[:3]
    assert manifest.parts[0].read == 5
    assert read.drops == {"wrong_number_of_columns": 1, "not_utf8": 1}
    assert filtered.drops == {"empty_text": 1}


def test_a_summary_may_be_paired_with_the_title():
    article = {"headline": "\nFeed it.", "title": "How to Keep a Fish2", "text": "Feed the fish."}
    pair = only(wikihow_pairs(article, "d", WikihowOptions(positive="title")))
    assert pair.texts == ("Feed it.", "How to Keep a Fish2")
    assert only(wikihow_pairs({"title": "a", "text": "b"}, "d", WikihowOptions())) == "missing_field"


def test_a_step_is_grouped_with_the_article_of_its_goal():
    pair = only(goal_pairs(("Feed it ", "Keep a Fish"), "d", OPTIONS))
    assert (pair.texts, pair.group) == (("Feed it", "Keep a Fish"), "wikihow/keep a fish")
    assert [only(goal_pairs(("Feed it", goal), "d", OPTIONS)) for goal in (None, 3, ["a"])] == ["no_goal"] * 3


def test_each_real_step_is_paired_with_its_goal(shared_data, tmp_path):
    path = shared_data / "wikihow/annotated_step_goal.json.gz"
    goals = json.loads(gzip.decompress(path.read_bytes()))
    manifest, pairs = run_row(ROW["wikihow_goals"], tmp_path / "out", path)
    assert len(goals) == manifest.parts[0].read == 15_946
    different = {(fold(step), fold(goal)) for step, goal in goals.items()}
    assert {(fold(pair.anchor), fold(pair.positive)) for pair in pairs} == {
        (step, goal) for step, goal in different if step != goal
    }
    assert {pair.texts for pair in pairs} <= {(step.strip(), goal.strip()) for step, goal in goals.items()}


def test_a_step_goal_file_cut_short_fails_and_names_itself(tmp_path):
    path = tmp_path / "annotated_step_goal.json"
    path.write_text('{"Feed it": "Keep a Fish", "Dry')
    with pytest.raises(JobError, match=r"annotated_step_goal\.json"):
        run_row(ROW["wikihow_goals"], tmp_path / "out", path)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["0", "He left ", "because", " it rained .", "It rained", "so", "he left ."],
         ("He left because it rained .", "It rained so he left .")),
        (["1", "", "Because", "it rained", "Rain", "", "fell"], ("Because it rained", "Rain fell")),
        (["He left .", "He went ."], ("He left .", "He went .")),
    ],
)  # fmt: skip
def test_altlex_s_pieces_are_joined_around_the_connective(row, expected):
    assert only(altlex_pairs(row, "d", OPTIONS)).texts == expected


@pytest.mark.parametrize("columns", [1, 3, 4, 6, 8])
def test_an_altlex_row_of_another_width_is_counted(columns):
    assert only(altlex_pairs(["x"] * columns, "d", OPTIONS)) == "wrong_number_of_columns"


def test_the_real_altlex_has_a_pair_for_each_line(shared_data, tmp_path):
    path = shared_data / "altlex/altlex_train.tsv.zip"
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("altlex_train.tsv").decode().removesuffix("\r\n").split("\r\n")
    rows = [line.split("\t") for line in lines]
    pairs, reasons = read_row(ROW["altlex"], path)
    assert (len(rows), reasons) == (43_448, {})
    assert [pair.texts for pair in pairs] == [
        (" ".join(" ".join(row[1:4]).split()), " ".join(" ".join(row[4:7]).split())) for row in rows
    ]
    manifest, written = run_row(ROW["altlex"], tmp_path / "out", path)
    folded = {(fold(pair.anchor), fold(pair.positive)) for pair in pairs}
    assert manifest.parts[0].read == 43_448
    assert len(written) == sum(sentence != simple for sentence, simple in folded)


def test_simple_wikipedia_is_read_with_and_without_titles(tmp_path):
    normal, simple = tmp_path / "normal.aligned", tmp_path / "simple.aligned"
    normal.write_bytes(b"Fish\t0\tFish are aquatic .\r\nFish\t0\ttwo\tmany\r\nA plain one .\r\nFish\t1\tDrop me .\r\n")
    simple.write_bytes(b"Fish\t0\tFish live in water .\r\nFish\t0\ttwo\r\nA simple one .\r\nno title\r\n")
    manifest, pairs = run_row(ROW["SimpleWiki"], tmp_path / "out", normal, simple)
    assert sorted((*pair.texts, pair.group) for pair in pairs) == [
        ("A plain one .", "A simple one .", ""),
        ("Fish are aquatic .", "Fish live in water .", "wikipedia/Fish"),
    ]
    assert manifest.parts[0].funnel[1].drops == {"wrong_number_of_columns": 2}


def test_lines_of_two_columns_are_no_simple_wikipedia():
    assert only(simple_wiki_pairs(("a\tb", "a\tb"), "d", OPTIONS)) == "wrong_number_of_columns"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["It rained , so he left .", "It rained . <::::> He left ."],
         ("It rained , so he left .", "It rained . He left .")),
        (["It rained .", "It rained ."], "not_split"),
        (["It rained ."], "wrong_number_of_columns"),
        (["a", "b <::::> c", "d"], "wrong_number_of_columns"),
    ],
)  # fmt: skip
def test_a_split_sentence_is_joined_without_its_mark(row, expected):
    found = only(split_pairs(row, "d", OPTIONS))
    assert (found if isinstance(found, str) else found.texts) == expected


def test_the_real_wikisplit_has_a_pair_for_each_line(shared_data):
    path = shared_data / "wikisplit/validation.tsv.gz"
    rows = [line.split("\t") for line in read_gzip(path)]
    pairs, reasons = read_row(ROW["wikisplit"], path)
    assert (len(rows), reasons) == (5_000, {})
    assert [pair.texts for pair in pairs] == [
        (row[0].strip(), " ".join(part.strip() for part in row[1].split("<::::>"))) for row in rows
    ]
