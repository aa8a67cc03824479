import gzip
import io
import unicodedata
import zipfile
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipelines.sources.nli import (
    ROWS,
    NliOptions,
    nli_member,
    nli_records,
    nli_triplets,
)
from pipelines.sources.records import BadRecord
from tests.pipelines.source_rows import run_row

ROW = {row.info.name: row for row in ROWS}


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_gzip(path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


SNLI_COLUMNS = (
    "gold_label",
    "sentence1_binary_parse",
    "sentence1",
    "sentence2",
    "captionID",
    "pairID",
    "label1",
    "label2",
)


def nli_row(premise, label, hypothesis) -> dict:
    return {"annotator_labels": [label], "gold_label": label, "sentence1": premise, "sentence2": hypothesis}


def nli_json(*rows) -> bytes:
    return b"".join(orjson.dumps(nli_row(*row)) + b"\n" for row in rows)


def nli_table(*rows, end="\n") -> bytes:
    lines = ["\t".join(SNLI_COLUMNS)]
    # MultiNLI's rows end before the last annotators' columns.
    lines += ["\t".join((label, "( a b )", premise, hypothesis, "1.jpg#0")) for premise, label, hypothesis in rows]
    return end.join([*lines, ""]).encode()


NLI = [
    ("A man sleeps.", "entailment", "Someone sleeps."),
    ("A man sleeps.", "neutral", "A tall man sleeps."),
    ("A man sleeps.", "contradiction", "A man runs."),
    ("A man sleeps.", "-", "Nobody knows."),
    ("A dog barks.", "entailment", "There is noise."),
    ("A cat purrs.", "contradiction", 'The "cat" barks.'),
]


@pytest.mark.parametrize("content", [nli_json(*NLI), nli_table(*NLI), nli_table(*NLI, end="\r\n")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_both_forms_of_snli_give_the_same_members(content, mark):
    members = [nli_member(record) for record in nli_records(io.BytesIO(mark + content))]
    assert members == [
        ("A man sleeps.", ("entailment", "Someone sleeps.")),
        "neutral",
        ("A man sleeps.", ("contradiction", "A man runs.")),
        "no_gold_label",
        ("A dog barks.", ("entailment", "There is noise.")),
        ("A cat purrs.", ("contradiction", 'The "cat" barks.')),
    ]


def test_bad_lines_of_nli_are_records_of_their_own():
    lines = nli_json(NLI[0]) + b"{\n\xff\n\n" + nli_json(NLI[2])
    found = list(nli_records(io.BytesIO(lines)))
    assert found[1:3] == [BadRecord("not_json"), BadRecord("not_utf8")]
    assert [nli_member(found[0])[0], nli_member(found[3])[0]] == ["A man sleeps."] * 2


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (nli_row("a", "entailed", "b"), "unknown_label"),
        (nli_row("a", None, "b"), "missing_field"),
        (nli_row(None, "entailment", "b"), "missing_field"),
        (nli_row("a", "entailment", 3), "missing_field"),
        ({}, "missing_field"),
        ([], "not_an_object"),
        (None, "not_an_object"),
        (7, "not_an_object"),
        ("entailment", "not_an_object"),
    ],
)
def test_a_malformed_nli_record_has_a_reason(record, reason):
    assert nli_member(record) == reason


def triplets(entailed, contradicted, most=None) -> list[Any]:
    values = [("entailment", text) for text in entailed] + [("contradiction", text) for text in contradicted]
    return list(nli_triplets(("premise", values), "nli", NliOptions(premise_triplets=most)))


def test_each_entailed_hypothesis_gets_a_contradiction_of_its_premise():
    found = triplets(["e1", "e2", "e3"], ["c1", "c2"])
    assert {(pair.anchor, pair.positive) for pair in found} == {("premise", f"e{n}") for n in (1, 2, 3)}
    assert sorted(Counter(pair.negatives for pair in found).items()) in (
        [(("c1",), 1), (("c2",), 2)],
        [(("c1",), 2), (("c2",), 1)],
    )
    assert found[:1] == triplets(["e3", "e2", "e1"], ["c2", "c1"], most=1)


def test_a_premise_without_one_of_the_two_is_counted():
    assert triplets([], ["c"]) == ["no_entailment"]
    assert triplets(["e"], []) == ["no_contradiction"]
    assert triplets(["The same."], ["the  same."]) == ["no_contradiction"]


def test_a_limit_of_triplets_below_one_is_refused():
    with pytest.raises(ValueError, match="expected at least 1"):
        NliOptions(premise_triplets=0)


def test_snli_and_multinli_are_joined_by_premise_over_files_and_forms(tmp_path):
    (tmp_path / "multinli_1.0_train.txt").write_bytes(
        nli_table(*NLI[1:], ("A dog barks.", "contradiction", "Silence."))
    )
    with zipfile.ZipFile(tmp_path / "snli_1.0.zip", "w") as archive:
        archive.writestr("snli_1.0/snli_1.0_train.jsonl", nli_json(NLI[0]))
        archive.writestr("snli_1.0/snli_1.0_train.txt", nli_table(NLI[0]))
        archive.writestr("snli_1.0/snli_1.0_dev.jsonl", nli_json(("dev", "entailment", "dev")))
        archive.writestr("snli_1.0/README.txt", b"Natural language inference")
        archive.writestr("__MACOSX/snli_1.0/._snli_1.0_train.jsonl", b"\0\5\x16\7")
    manifest, pairs = run_row(ROW["AllNLI"], tmp_path / "out", tmp_path / "*.txt", tmp_path / "*.zip")
    assert sorted(pair.texts for pair in pairs) == [
        ("A dog barks.", "There is noise.", "Silence."),
        ("A man sleeps.", "Someone sleeps.", "A man runs."),
    ]
    assert manifest.parts[0].read == 5
    assert manifest.parts[0].funnel[1].drops == {"neutral": 1, "no_gold_label": 1, "no_entailment": 1}


def test_the_real_snli_gives_a_triplet_for_each_entailment_that_has_a_contradiction(shared_data, tmp_path):
    paths = [shared_data / f"snli/{side}.dev.gz" for side in ("s1", "s2", "labels")]
    by_premise = defaultdict(lambda: defaultdict(set))
    for premise, hypothesis, label in zip(*map(read_gzip, paths), strict=True):
        by_premise[premise.strip()][label].add(hypothesis.strip())
    labels = Counter(read_gzip(paths[2]))
    manifest, pairs = run_row(ROW["AllNLI_aligned"], tmp_path / "out", *paths)
    both = {premise: of for premise, of in by_premise.items() if of["entailment"] and of["contradiction"]}
    assert labels.total() == 9_842
    drops = manifest.parts[0].funnel[1].drops
    assert drops["neutral"] == labels["neutral"]
    assert drops.get("no_contradiction", 0) == sum(
        bool(of["entailment"]) and not of["contradiction"] for of in by_premise.values()
    )
    found = defaultdict(list)
    for pair in pairs:
        found[pair.anchor].append(pair)
    expected = {premise: {fold(text) for text in of["entailment"]} - {fold(premise)} for premise, of in both.items()}
    assert {premise: {fold(pair.positive) for pair in group} for premise, group in found.items()} == {
        premise: texts for premise, texts in expected.items() if texts
    }
    assert len(pairs) == sum(map(len, expected.values()))
    assert all(pair.negatives[0] in by_premise[pair.anchor]["contradiction"] for pair in pairs)
    one_each = replace(ROW["AllNLI_aligned"], settings=NliOptions(premise_triplets=1))
    assert run_row(one_each, tmp_path / "one", *paths)[0].parts[0].funnel[1].kept == len(both)
