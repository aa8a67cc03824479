import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.base import Source
from pipelines.sources.joins import Grouped, Text, Wanted
from pipelines.sources.msmarco import (
    ROWS,
    NegativesOptions,
    _negative_object,
    _passage_object,
    choose_negatives,
)
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair
from schemas.shards import read_shard

ROW, TEXT_ROW = ROWS
NAME = "msmarco-query_passage_negative"


def run_row(folder, row: Source = ROW) -> tuple[Manifest, set[Pair]]:
    (manifest,) = run(Job(row, (f"{folder}/*",), str(folder.parent / "out")))
    records = (record for located in manifest.shards("train") for record in read_shard(located.path))
    return manifest, {decode_pair(record)[0] for record in records}


def drops(manifest: Manifest) -> dict[str, int]:
    return {reason: count for stage in manifest.parts[0].funnel for reason, count in stage.drops.items()}


COLLECTION = b'\xef\xbb\xbf0\tpassage "zero\r\n1\tpassage\rone\r\n2\tpassage two\r\n3\tcaf\xe9\r\n4\r\n5\t \r\n'
QUERIES = b"0\twhat is zero\n1\twhat is one \n7\t what is seven\n"


@pytest.fixture
def folder(tmp_path):
    """Collection and queries; ids of queries and passages overlap, as they do in the real files."""
    made = tmp_path / "raw"
    made.mkdir()
    (made / "collection.tsv").write_bytes(COLLECTION)
    (made / "queries.train.tsv.gz").write_bytes(gzip.compress(QUERIES))
    return made


def test_triples_of_ids_become_texts(folder):
    (folder / "qidpidtriples.train.full.tsv").write_bytes(
        b"0\t1\t0\n1\t2\t0\n0\t2\t98\n7\t2\t99\n7\t99\t2\n8\t0\t1\n1\t2\n\n"
    )
    manifest, pairs = run_row(folder)
    assert pairs == {
        Pair(NAME, "what is zero", "passage\rone", ('passage "zero',), group="msmarco/0"),
        Pair(NAME, "what is one", "passage two", ('passage "zero',), group="msmarco/1"),
    }
    assert drops(manifest) == {
        "not_utf8": 1,
        "wrong_number_of_columns": 2,
        "no_negative": 1,  # of 7 → 2 the negative 99 is a positive elsewhere
        "negative_missing": 1,
        "passage_missing": 1,
        "query_missing": 1,
    }
    assert manifest.parts[0].read == 2 + sum(drops(manifest).values())


def test_judgements_and_lists_of_hard_negatives_work_together(folder):
    (folder / "collection.tsv").unlink()
    passages = [{"put": f"id:msmarco:passage::{n}", "fields": {"text": f"p{n}", "id": str(n)}} for n in range(6)]
    (folder / "passages.jsonl").write_text("\n".join(map(json.dumps, [*passages, {"fields": []}, {"id": 7}])))
    (folder / "qrels.train.tsv").write_text("0\t0\t1\t1\n0\t0\t2\t0\n1 0 3 1\n7\t0\t4\t1\n7\t0\t4\n")
    (folder / "hard-negatives.jsonl").write_text(
        json.dumps({"qid": 0, "pos": [1], "neg": {"bm25": [1, 5, 5], "dense": [{"pid": 1, "ce-score": 0.1}]}})
        + '\n{"qid": 3, "neg": [1]}\n{"qid": null}\n[]\n'
    )
    (folder / "bm25-negatives.tsv").write_text("1\t2,3\n7\n")
    manifest, pairs = run_row(folder)
    assert {pair.texts for pair in pairs} == {("what is zero", "p1", "p5"), ("what is one", "p3", "p2")}
    assert drops(manifest) == {
        "not_an_object": 1,
        "missing_field": 3,
        "not_relevant": 1,
        "wrong_number_of_columns": 1,
        "no_positive": 1,
        "no_negative": 2,  # the line without passages; query 7
    }


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_of_many_negatives_the_asked_number_is_kept(folder, most):
    (folder / "collection.tsv").write_text("".join(f"{n}\tpassage {n}\n" for n in range(9)))
    (folder / "qidpidtriples.tsv").write_text("".join(f"{q}\t{q}\t{n}\n" for q in (0, 1) for n in (2, 3, 4, 2)))
    row = ROW.with_options(NegativesOptions(negatives=most))
    _, pairs = run_row(folder, row)
    assert len(pairs) == 2
    for pair in pairs:
        assert len(pair.negatives) == len(set(pair.negatives)) == min(most, 3)
        assert set(pair.negatives) <= {"passage 2", "passage 3", "passage 4"}


def test_negatives_below_zero_are_refused():
    with pytest.raises(ValueError, match="expected 0 or more"):
        NegativesOptions(negatives=-1)


IDS = st.sampled_from("abcd")


@given(st.lists(st.tuples(IDS, IDS | st.just("")) | st.tuples(st.just(""), IDS), max_size=12), st.integers(0, 3))
def test_a_choice_of_negatives_depends_on_no_order_and_takes_no_positive(known, most):
    options = NegativesOptions(negatives=most)
    chosen = list(choose_negatives("q", known, options))
    assert chosen == list(choose_negatives("q", [*reversed(known), *known], options))
    positives = {positive for positive, _ in known if positive}
    assert len(chosen) == max(len(positives), 1)
    for wanted in chosen:
        if isinstance(wanted, str):
            assert not positives
            continue
        _, positive, *negatives = (id_.partition("/")[2] for id_ in wanted.ids)
        allowed = {bad for of, bad in known if bad and of in ("", positive)} - positives
        assert set(negatives) <= allowed
        assert len(negatives) == min(most, len(allowed))


def test_the_publisher_s_archive_is_read_by_its_members_names(folder):
    (folder / "qidpidtriples.tsv").write_text("0\t1\t2\n")
    (folder / "collection.tsv").unlink()
    (folder / "queries.train.tsv.gz").unlink()
    with tarfile.open(folder / "collectionandqueries.tar.gz", "w:gz") as archive:
        members = {"collection.tsv": COLLECTION, "queries.train.tsv": QUERIES, "qrels.train.tsv": b"1\t0\t2\t1\n"}
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    manifest, pairs = run_row(folder)
    assert {pair.texts for pair in pairs} == {("what is zero", "passage\rone", "passage two")}
    assert drops(manifest)["no_negative"] == 1


def test_a_damaged_archive_is_named_once(folder):
    (folder / "collectionandqueries.tar.gz").write_bytes(gzip.compress(b"no archive at all" * 99)[:-9])
    (folder / "qidpidtriples.tsv").write_text("0\t1\t2\n")
    with pytest.raises(JobError) as error:
        run_row(folder)
    assert str(error.value).count("collectionandqueries.tar.gz") == 1


@pytest.mark.parametrize("name", ["collection.tsv", "queries.train.tsv.gz"])
def test_a_part_that_is_not_given_is_asked_for(folder, name):
    (folder / "qrels.tsv").write_text("0\t0\t1\t1\n")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"also needs its (passages|queries);"):
        ROW.find_inputs((f"{folder}/*",))


def test_the_real_judgements_are_all_counted_as_missing_in_the_real_passages(shared_data, tmp_path):
    with gzip.open(shared_data / "msmarco/qrels.dev.small.tsv.gz", "rt") as file:
        judged = {(query, passage) for query, _, passage, _ in map(str.split, file)}
    with gzip.open(shared_data / "msmarco/passages-1000.jsonl.gz", "rt") as file:
        passages = {json.loads(line)["fields"]["id"] for line in file}
    assert not passages & {passage for _, passage in judged}
    with pytest.raises(JobError, match=f"passage_missing {len(judged):,}\\)") as error:
        run(Job(ROW, (str(shared_data / "msmarco/*"),), str(tmp_path / "out")))
    assert "query_missing" not in str(error.value)
    assert len(judged) == 7437


def test_the_real_queries_meet_the_real_passages_through_judgements_of_ours(shared_data, folder):
    with gzip.open(shared_data / "msmarco/queries.dev.small.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        queries = dict(line.rstrip("\n").split("\t") for line in file)
    with gzip.open(shared_data / "msmarco/passages-1000.jsonl.gz", "rt") as file:
        passages = {row["fields"]["id"]: row["fields"]["text"].strip() for row in map(json.loads, file)}
    for path in folder.iterdir():
        path.unlink()
    for name in ("queries.dev.small.tsv.gz", "passages-1000.jsonl.gz"):
        (folder / name).symlink_to(shared_data / "msmarco" / name)
    ids = [*passages]
    triples = [(query, ids[n % 1000], ids[(n + 501) % 1000]) for n, query in enumerate(queries)]
    (folder / "qidpidtriples.tsv").write_text("".join("\t".join(triple) + "\n" for triple in triples))
    manifest, pairs = run_row(folder)
    assert {pair.texts for pair in pairs} == {(queries[q].strip(), passages[p], passages[n]) for q, p, n in triples}
    assert manifest.parts[0].read == len(queries) == 6980


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["pid", "a"]), inner, max_size=2),
    max_leaves=5,
)


@given(
    JSON | st.fixed_dictionaries({}, optional={name: JSON for name in ("fields", "id", "text", "qid", "pos", "neg")})
)
def test_no_record_makes_a_parser_fail(record):
    for parse in (_passage_object, _negative_object):
        assert all(isinstance(found, Text | Wanted | Grouped | str) for found in parse(record, "d", None))


def test_triples_published_as_text_need_no_join(tmp_path):
    lines = ["what is a quern\ta hand mill\ta kind of bird", "two\tcolumns", "", "why so\tbecause\tnobody knows\r"]
    (tmp_path / "triples.train.small.tsv").write_bytes("\n".join(lines).encode())
    (manifest,) = run(Job(TEXT_ROW, (str(tmp_path / "triples*.tsv"),), str(tmp_path / "out")))
    records = [record for path, _ in manifest.shards("train") for record in read_shard(path)]
    pairs = {(pair.anchor, pair.positive, pair.negatives) for pair, _ in map(decode_pair, records)}
    assert pairs == {
        ("what is a quern", "a hand mill", ("a kind of bird",)),
        ("why so", "because", ("nobody knows",)),
    }
    assert manifest.parts[0].funnel[1].drops == {"wrong_number_of_columns": 1}
