import csv
import gzip
from collections import defaultdict

import pytest

from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.duplicates import ROWS, TripletOptions, choose_other, paraphrases
from pipelines.sources.sets import SetOptions
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair, normalise
from schemas.shards import read_shard

BY_NAME = {row.info.name: row for row in ROWS}
WIKI, QUORA = BY_NAME["WikiAnswers_pairs"], BY_NAME["quora_duplicates_triplets"]
HEADER = ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]


def run_row(row, folder) -> tuple[Manifest, set[Pair]]:
    (manifest,) = run(Job(row, (f"{folder}/*",), str(folder.parent / "out")))
    records = (record for located in manifest.shards("train") for record in read_shard(located.path))
    return manifest, {decode_pair(record)[0] for record in records}


def drops(manifest: Manifest) -> dict[str, int]:
    return {reason: count for stage in manifest.parts[0].funnel for reason, count in stage.drops.items()}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "raw"
    made.mkdir()
    return made


def write_quora(path, *rows, delimiter="\t") -> None:
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(HEADER)
        for number, row in enumerate(rows):
            writer.writerow([number, 2 * number, 2 * number + 1, *row])


QUESTIONS = (
    ("How?", "In what\nway?", 1),
    ("how? ", "Why?", 0),  # the same question in other letters
    ('Who is "he"?', "Who's he?", 1),
    ("Who's he?", "Who is she?", 0),  # only the second has a negative
    ("Where?", "At what place?", 1),
    ("Up?", "Upwards?", 1),
    ("Upwards?", "Up?", 0),  # two labels at odds
    ("", "Nothing?", 1),
    ("Maybe?", "Perhaps?", "?"),
)


@pytest.mark.parametrize(("name", "delimiter"), [("quora_duplicate_questions.tsv", "\t"), ("train.csv", ",")])
def test_a_duplicate_goes_with_a_question_labelled_no_duplicate(folder, name, delimiter):
    write_quora(folder / name, *QUESTIONS, delimiter=delimiter)
    manifest, pairs = run_row(QUORA, folder)
    assert {pair.texts for pair in pairs} == {
        ("How?", "In what\nway?", "Why?"),
        ("Who's he?", 'Who is "he"?', "Who is she?"),
        ("Where?", "At what place?"),
        ("Up?", "Upwards?"),
    }
    assert drops(manifest) == {"not_a_duplicate": 3, "empty_question": 1, "unknown_label": 1}
    assert manifest.parts[0].read == len(QUESTIONS)


def test_only_triplets_leaves_out_what_has_no_negative(folder):
    write_quora(folder / "quora_duplicate_questions.tsv", *QUESTIONS)
    manifest, pairs = run_row(QUORA.with_options(TripletOptions(only_triplets=True)), folder)
    assert {len(pair.negatives) for pair in pairs} == {1}
    assert drops(manifest)["no_negative"] == 2


def test_the_same_two_questions_share_a_cluster_whichever_comes_first(folder):
    (folder / "train.tsv").write_text("1\tup\tupwards\t0\n1\tUpwards\tUP\t1\n1\ta\tb\t2\n")
    _, pairs = run_row(QUORA, folder)
    assert len(pairs) == 3
    assert len({pair.cluster for pair in pairs}) == 2
    assert {pair.group for pair in pairs} == {f"quora/{pair.cluster}" for pair in pairs}


def test_questions_of_the_four_column_form_may_hold_lone_quotes_and_bad_bytes(folder):
    (folder / "dev.tsv").write_bytes(
        b'1\t"Is it?\tIs "it"?\t7\n0\tIs "it"?\tcaf\xe9\t8\r\n1\tone\n\n0\tIs "it"?\tNo\t9'
    )
    manifest, pairs = run_row(QUORA, folder)
    assert {pair.texts for pair in pairs} == {('Is "it"?', '"Is it?', "No")}
    assert drops(manifest) == {"not_utf8": 1, "wrong_number_of_columns": 1, "not_a_duplicate": 1}


def test_the_choice_of_a_negative_depends_on_no_order():
    related = [("other", f"question {n}") for n in range(9)] + [("duplicate", "Question 3")]
    (chosen,) = choose_other("q", related, None)
    assert list(choose_other("q", [*reversed(related), *related], None)) == [chosen]
    assert list(choose_other("q", [("other", "QUESTION 3"), ("duplicate", "Question 3")], None)) == []


def test_the_real_quora_pairs_are_counted_as_an_independent_reading_counts_them(shared_data, tmp_path):
    rows, bad = [], 0
    with gzip.GzipFile(shared_data / "quora/dev.tsv.gz") as file:
        for line in file:
            try:
                rows.append(line.decode().rstrip("\n").split("\t"))
            except UnicodeDecodeError:
                bad += 1
    negatives, duplicates = defaultdict(set), defaultdict(set)
    for label, one, other, _ in rows:
        of = duplicates if label == "1" else negatives
        of[normalise(one)].add(normalise(other))
        of[normalise(other)].add(normalise(one))
    labelled = [(one.strip(), other.strip()) for label, one, other, _ in rows if label == "1"]
    same = sum(normalise(one) == normalise(other) for one, other in labelled)

    (manifest,) = run(Job(QUORA, (str(shared_data / "quora/*"),), str(tmp_path / "out")))
    records = (record for located in manifest.shards("train") for record in read_shard(located.path))
    pairs = [decode_pair(record)[0] for record in records]
    assert (manifest.parts[0].read, bad) == (10_000, 83)
    assert drops(manifest) == {
        "not_utf8": bad,
        "not_a_duplicate": len(rows) - len(labelled),
        "anchor_is_positive": same,
    }
    assert {frozenset((pair.anchor, pair.positive)) for pair in pairs} == {
        frozenset(pair) for pair in labelled if normalise(pair[0]) != normalise(pair[1])
    }
    for pair in pairs:
        allowed = [negatives[normalise(text)] - duplicates[normalise(text)] for text in (pair.anchor, pair.positive)]
        if pair.negatives:
            assert normalise(pair.negatives[0]) in allowed[0]
        else:
            assert allowed == [set(), set()]
    assert any(pair.negatives for pair in pairs)


# WikiAnswers


def test_clusters_become_pairs_of_their_questions(folder):
    with gzip.GzipFile(folder / "FULL.oneline-part-00.gz", "wb") as file:
        file.write(
            b"\xef\xbb\xbfq:how many muslims ?\tq:number of muslims\tq: number of muslims\ta:about 75%\r\n"
            b"q:alone ?\ta:yes\n\nq:caf\xe9\tq:x\na:only an answer\nq:\tq:\n"
        )
    manifest, pairs = run_row(WIKI, folder)
    assert [{pair.anchor, pair.positive} for pair in pairs] == [{"how many muslims ?", "number of muslims"}]
    assert {pair.cluster == pair.group != "" for pair in pairs} == {True}
    assert drops(manifest) == {"not_utf8": 1, "set_of_one": 3}


def test_word_alignments_give_their_two_questions(folder):
    (folder / "word_alignments.txt").write_text("what be zero\thow much be zero\t0-0 1-2\nlonely\n")
    manifest, pairs = run_row(WIKI, folder)
    assert [{pair.anchor, pair.positive} for pair in pairs] == [{"what be zero", "how much be zero"}]
    assert drops(manifest) == {"set_of_one": 1}


def test_a_large_cluster_gives_as_many_pairs_as_asked_all_of_one_cluster():
    line = "\t".join(f"q:question {n}" for n in range(9))
    found = list(paraphrases(line, "w", SetOptions(set_pairs=4)))
    assert len(found) == 4
    assert len({pair.cluster for pair in found if isinstance(pair, Pair)}) == 1
    backwards = "\t".join(reversed(line.split("\t")))
    assert list(paraphrases(backwards, "w", SetOptions(set_pairs=4))) == found
    assert len(list(paraphrases(line, "w", SetOptions(set_pairs=None)))) == 36


def test_a_cluster_file_cut_short_fails_the_job_by_its_name(folder):
    (folder / "part-00.gz").write_bytes(gzip.compress(b"q:one\tq:another\n" * 50)[:-6])
    with pytest.raises(JobError, match=r"part-00.gz.*too early"):
        run_row(WIKI, folder)
