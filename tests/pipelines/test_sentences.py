import csv
import gzip
import io
import json
import tarfile
import unicodedata
import zipfile
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipelines.funnel import BadFile, Drop, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources import sentences
from pipelines.sources.base import RecordOptions
from pipelines.sources.records import BadRecord, read_records
from pipelines.sources.sentences import (
    ROWS,
    NliOptions,
    WikihowOptions,
    altlex_pairs,
    compression_pairs,
    gender_pairs,
    goal_pairs,
    json_objects,
    nli_member,
    nli_records,
    nli_triplets,
    occupation_member,
    paws_pairs,
    simple_wiki_pairs,
    split_pairs,
    wikihow_pairs,
)
from schemas.example import decode_pair
from schemas.pair import Pair
from schemas.shards import read_shard

ROW = {row.info.name: row for row in ROWS}
OPTIONS = RecordOptions()


def read(name: str, *paths) -> tuple[list[Pair], dict[str, int]]:
    """(pairs, reason → records) of one input, without Beam; every record is in one of the two."""
    found = list(read_records("\0".join(map(str, paths)), ROW[name], name))
    pairs = [item for item in found if isinstance(item, Pair)]
    reasons = Counter(item.reason for item in found if isinstance(item, Drop))
    assert found.count(Read(name)) == len(pairs) + reasons.total()
    assert not [item for item in found if isinstance(item, BadFile)]
    return pairs, dict(reasons)


def run_row(row, output, *inputs):
    """(manifest, pairs) of a whole job."""
    (manifest,) = run(Job(row, tuple(map(str, inputs)), str(output)))
    pairs = [decode_pair(record)[0] for located in manifest.shards("train") for record in read_shard(located.path)]
    return manifest, pairs


def only(outcomes) -> Any:
    (outcome,) = outcomes
    return outcome


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_gzip(path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


# AllNLI

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


# Sentence compression


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
    pairs, reasons = read("sentence-compression", path)
    assert (len(rows), reasons) == (records, {})
    assert [pair.texts for pair in pairs] == [
        (row["text"].strip(), summary.strip()) for row in rows for summary in row["summaries"]
    ]


# WikiHow

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


# Simplification


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
    pairs, reasons = read("altlex", path)
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
    pairs, reasons = read("wikisplit", path)
    assert (len(rows), reasons) == (5_000, {})
    assert [pair.texts for pair in pairs] == [
        (row[0].strip(), " ".join(part.strip() for part in row[1].split("<::::>"))) for row in rows
    ]


# Paraphrases, occupations, translations

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


# What holds for every row


@pytest.mark.parametrize("name", ROW)
def test_an_empty_or_cut_file_never_becomes_a_dataset(name, tmp_path):
    row = ROW[name]
    whole = gzip.compress("".join(f"{letter} line {n}\n" for n in range(99) for letter in "ab").encode())
    for content, message in (
        (gzip.compress(b""), "no record was read|premature EOF"),
        (whole[:-9], "fetch it again"),
    ):
        paths = [tmp_path / f"{len(content)}-{side}.gz" for side in range(row.aligned)]
        for path in paths:
            path.write_bytes(content)
        with pytest.raises(JobError, match=message):
            run_row(row, tmp_path / "out", *paths)


@pytest.mark.parametrize("name", ROW)
def test_a_row_says_what_it_is(name):
    info = ROW[name].info
    assert all((info.tuple, info.licence, info.citation, info.url, info.raw))
    assert "→" in info.tuple


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
    (pair,) = sentences.paws_pairs(row, "paws", RecordOptions())
    assert isinstance(pair, Pair) and pair.anchor == meant
