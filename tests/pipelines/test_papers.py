import gzip
import json
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import Keyed
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.joins import (
    Grouped,
    JoinedSource,
    Text,
    Wanted,
    answer,
    ask,
    false_negative,
    make_pair,
    route,
    smallest_distinct,
)
from pipelines.sources.papers import ROWS, _Citations, _metadata, _neighbours, _triple, title_abstract
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair
from schemas.shards import read_shard

BY_NAME = {row.info.name: row for row in ROWS}
TITLES, ABSTRACTS = BY_NAME["S2ORC_citation_pairs"], BY_NAME["S2ORC_citation_pairs_abstract"]
SPECTER = BY_NAME["specter_train_triples"]


def run_row(row, folder, output="out") -> tuple[Manifest, set[Pair]]:
    (manifest,) = run(Job(row, (f"{folder}/*",), str(folder.parent / output)))
    records = (record for located in manifest.shards("train") for record in read_shard(located.path))
    return manifest, {decode_pair(record)[0] for record in records}


def drops(manifest: Manifest) -> dict[str, int]:
    return {reason: count for stage in manifest.parts[0].funnel for reason, count in stage.drops.items()}


def triples(pairs: set[Pair]) -> set[tuple[str, ...]]:
    return {pair.texts for pair in pairs}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "raw"
    made.mkdir()
    return made


def write_lines(path, *rows) -> None:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))


def paper(id_: str, title: str | None = "", abstract: str | None = "", cites: Sequence[str | None] = ()) -> dict:
    return {"paper_id": id_, "title": title, "abstract": abstract, "outbound_citations": list(cites)}


# Joins


def test_smallest_distinct_ignores_order_and_copies():
    items = [str(number) for number in range(50)]
    chosen = smallest_distinct(items, 3, "salt")
    assert len(set(chosen)) == 3
    assert smallest_distinct([*reversed(items), *items], 3, "salt") == chosen
    assert smallest_distinct(items, 0, "salt") == []
    assert sorted(smallest_distinct(items, 99, "salt")) == sorted(items)


def test_smallest_distinct_chooses_otherwise_for_another_salt():
    items = [str(number) for number in range(50)]
    assert len({smallest_distinct(items, 1, str(salt))[0] for salt in range(20)}) > 5


def test_an_answer_brings_both_sides_together_and_no_order_decides_between_texts():
    known, question = ask(Wanted(("a", "b"), ("known", None)))
    assert known == Keyed('["a", "b"]', (0, "known"), 3)
    assert (question.key, question.stage) == ("b", 2)
    offered = [found.value for text in ("later", "", "first") for found in route(Text("b", text))]
    for values in ([question.value, *offered], [*reversed(offered), question.value]):
        assert list(answer(("b", values))) == [Keyed('["a", "b"]', (1, "first"), 3)]
    assert list(answer(("b", [question.value]))) == [Keyed('["a", "b"]', (1, None), 3)]


def test_a_tuple_wanted_twice_is_one_pair_and_one_drop():
    assert isinstance(SPECTER, JoinedSource)
    texts = [(0, "x"), (1, "y"), (2, "z")]
    found = list(make_pair(('["a", "b", "c"]', [*texts, *reversed(texts)]), SPECTER, "d"))
    assert [(item.reason, item.records) for item in found if not isinstance(item, Pair)] == [("repeated_tuple", 1)]
    assert [item.texts for item in found if isinstance(item, Pair)] == [("x", "y", "z")]


@pytest.mark.parametrize(
    ("negative", "reason"), [("POSITIVE ", "negative_is_positive"), ("a", "negative_is_positive"), ("b", None)]
)
def test_a_negative_that_is_one_of_the_pair_is_none(negative, reason):
    assert false_negative(Pair("d", "A", "positive", (negative,))) == reason


def test_a_file_whose_part_its_name_does_not_tell_is_refused_with_the_names_expected(folder):
    write_lines(folder / "strange.txt", b"x")
    with pytest.raises(FileNotFoundError, match=r"strange.txt.*told by its name.*\*triple\*\.tsv") as error:
        SPECTER.find_inputs((f"{folder}/*",))
    assert "\n" not in str(error.value)


def test_a_missing_part_is_named(folder):
    write_lines(folder / "metadata.json", {})
    with pytest.raises(FileNotFoundError, match="also needs its triples"):
        SPECTER.find_inputs((f"{folder}/*",))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.info.name)
def test_no_row_has_a_default_input(row):
    with pytest.raises(FileNotFoundError, match="needs --input"):
        row.find_inputs(())


# S2ORC


def test_titles_go_with_titles_of_cited_papers_across_shards(folder):
    write_lines(
        folder / "metadata_0.jsonl",
        b"\xef\xbb\xbf" + json.dumps(paper("1", "One", None, ["2", "3", "9"])).encode() + b"\r",
        paper("2", " Two ", "Abstract two", ["1", "1"]),
        b'{"paper_id": "5", "title": "caf\xe9"}',
        b"[]",
        b"{",
        paper("6", "", "Abstract six", ["1"]),
    )
    with gzip.open(folder / "metadata_1.jsonl.gz", "wt") as file:
        file.write(json.dumps(paper("3", None, "Abstract three", ["1", None, "2"])) + "\n")
    manifest, pairs = run_row(TITLES, folder)
    assert pairs == {
        Pair("S2ORC_citation_pairs", "One", "Two", group="s2orc/1"),
        Pair("S2ORC_citation_pairs", "Two", "One", group="s2orc/2"),
    }
    assert drops(manifest) == {
        "not_utf8": 1,
        "not_json": 1,
        "no_paper_id": 2,  # the list where an object belongs, the null among the citations
        "cited_paper_missing": 1,  # 9
        "no_title": 4,  # 1 → 3; 3 → 1 and 2; 6 → 1
        "repeated_tuple": 1,  # 2 → 1, twice
    }
    assert manifest.parts[0].read == 2 + sum(drops(manifest).values())
    assert {pair.texts for pair in run_row(ABSTRACTS, folder, "abstracts")[1]} == {("Abstract three", "Abstract two")}


def test_semantic_scholars_papers_abstracts_and_citations_are_joined(folder):
    write_lines(
        folder / "papers-0.jsonl",
        {"corpusid": 1, "externalids": {"DOI": "x"}, "title": "One"},
        {"corpusid": 2, "externalids": None, "title": "Two"},
    )
    write_lines(folder / "abstracts-0.jsonl", {"corpusid": 1, "abstract": "A"}, {"corpusid": 2, "abstract": "B"})
    write_lines(
        folder / "citations-0.jsonl",
        {"citationid": 5, "citingcorpusid": 1, "citedcorpusid": 2},
        {"citationid": 6, "citingcorpusid": 1, "citedcorpusid": None},
        {"citationid": 7, "citingcorpusid": 8, "citedcorpusid": 2},
        {"citationid": 8, "citingcorpusid": 2, "citedcorpusid": 9},
    )
    expected = {"no_paper_id": 1, "citing_paper_missing": 1, "cited_paper_missing": 1}
    for row, texts in ((TITLES, ("One", "Two")), (ABSTRACTS, ("A", "B"))):
        manifest, pairs = run_row(row, folder, row.info.name)
        assert triples(pairs) == {texts}
        assert drops(manifest) == expected


def test_a_paper_of_the_api_lists_its_references_as_objects():
    row = {"paperId": "ab", "title": "T", "references": [{"paperId": "cd"}, {"paperId": None}]}
    assert list(_Citations("title").records(row, "d", None)) == [
        Text("ab", "T"),
        Wanted(("ab", "cd"), ("T",)),
        "no_paper_id",
    ]


def test_input_files_order_and_cuts_never_show(folder):
    papers = [paper(str(n), f"Title {n}", "", [str((n * 7) % 20), str((n + 3) % 25)]) for n in range(20)]
    write_lines(folder / "all.jsonl", *papers)
    whole, pairs = run_row(TITLES, folder, "whole")
    (folder / "all.jsonl").unlink()
    for number in range(4):
        write_lines(folder / f"part{number}.jsonl", *reversed(papers[number::4]))
    parted, _ = run_row(TITLES, folder, "parted")
    assert len(pairs) > 20
    assert whole.parts[0].splits == parted.parts[0].splits
    assert drops(whole) == drops(parted)


def test_the_real_sample_has_an_abstract_for_488_titles(shared_data, tmp_path):
    with gzip.open(shared_data / "s2orc/metadata_sample.jsonl.gz", "rt") as file:
        papers = [json.loads(line) for line in file]
    expected = {(row["title"].strip(), row["abstract"].strip()) for row in papers if row["abstract"]}
    row = BY_NAME["S2ORC_title_abstract"]
    (manifest,) = run(Job(row, (str(shared_data / "s2orc/*"),), str(tmp_path / "out")))
    records = [decode_pair(record)[0] for located in manifest.shards("train") for record in read_shard(located.path)]
    assert {pair.texts for pair in records} == expected
    assert len(records) == 488
    assert (manifest.parts[0].read, drops(manifest)) == (1000, {"no_abstract": 512})


def test_the_real_sample_cites_but_papers_elsewhere_and_themselves(shared_data, tmp_path):
    with gzip.open(shared_data / "s2orc/metadata_sample.jsonl.gz", "rt") as file:
        papers = {row["paper_id"]: row for row in map(json.loads, file)}
    cited = Counter((row["paper_id"], id_) for row in papers.values() for id_ in row["outbound_citations"])
    assert {one for one, other in cited if other in papers} == {other for _, other in cited if other in papers}
    selves = sum(other in papers for _, other in cited)
    repeated = sum(cited.values()) - len(cited)
    with pytest.raises(JobError) as error:
        run(Job(TITLES, (str(shared_data / "s2orc/*"),), str(tmp_path / "out")))
    for reason, count in (
        ("cited_paper_missing", len(cited) - selves),
        ("repeated_tuple", repeated),
        ("anchor_is_positive", selves),
    ):
        assert f"{reason} {count:,}" in str(error.value)


@pytest.mark.parametrize("field", ["title", "abstract"])
def test_the_real_sample_gives_pairs_once_what_is_cited_is_there(shared_data, folder, field):
    with gzip.open(shared_data / "s2orc/metadata_sample.jsonl.gz", "rt") as file:
        papers = {row["paper_id"]: row for row in map(json.loads, file)}
    cited = {(row["paper_id"], id_) for row in papers.values() for id_ in row["outbound_citations"]}
    stubs = sorted({other for _, other in cited} - papers.keys())
    write_lines(folder / "stubs.jsonl", *(paper(id_, f"title of {id_}", f"abstract of {id_}") for id_ in stubs))
    (folder / "metadata_sample.jsonl.gz").symlink_to(shared_data / "s2orc/metadata_sample.jsonl.gz")
    expected = {
        (papers[one][field].strip(), f"{field} of {other}")
        for one, other in cited
        if other not in papers and (papers[one][field] or "").strip()
    }
    manifest, pairs = run_row(TITLES if field == "title" else ABSTRACTS, folder)
    assert triples(pairs) == expected
    assert len(expected) > 2000
    assert drops(manifest).keys() <= {"repeated_tuple", "anchor_is_positive", "no_abstract"}


# SPECTER


def test_specter_triples_of_ids_are_joined_with_the_metadata(folder):
    ids = [letter * 40 for letter in "abcde"]
    metadata = {id_: {"paper_id": id_, "title": f"Title {id_[0]}", "abstract": None} for id_ in ids[:4]}
    (folder / "metadata.json").write_text(json.dumps({**metadata, ids[3]: {"title": None}, "bad": 7}))
    with gzip.open(folder / "train_triples.tsv.gz", "wt") as file:
        file.write("\n".join("\t".join(row) for row in ((*ids[:3],), (*ids[1:4],), (*ids[:2], ids[4]), ids[:2])))
    manifest, pairs = run_row(SPECTER, folder)
    assert pairs == {
        Pair("specter_train_triples", "Title a", "Title b", ("Title c",), group=f"specter/{ids[0]}"),
    }
    assert drops(manifest) == {
        "no_paper_id": 1,
        "no_title": 1,
        "negative_paper_missing": 1,
        "wrong_number_of_columns": 1,
    }


def test_specter_triples_of_titles_need_no_metadata(folder):
    write_lines(
        folder / "triples.jsonl", ["a study", "a cited one", "another"], {"query": "q", "pos": "p", "neg": None}
    )
    write_lines(
        folder / "scirepo_triples.jsonl",
        {"query": {"title": "Q", "corpus_id": 1}, "pos": {"title": "P"}, "neg": {"title": "N"}},
        {"query": {"abstract": "Q"}, "pos": {"title": "P"}, "neg": {"title": "N"}},
    )
    manifest, pairs = run_row(SPECTER, folder)
    assert triples(pairs) == {("a study", "a cited one", "another"), ("Q", "P", "N")}
    assert drops(manifest) == {"missing_field": 2}


def test_specter_s_citation_graph_sets_cited_papers_against_those_only_they_cite(folder):
    (folder / "data.json").write_text(
        json.dumps(
            {
                "a": {"b": {"count": 5}, "c": {"count": 1}},
                "b": {"a": {"count": 5}},
                "c": {"a": {"count": 1}},
                "d": [],
            }
        )
    )
    (folder / "metadata.json").write_text(json.dumps({id_: {"title": f"Title {id_}"} for id_ in "abcd"}))
    manifest, pairs = run_row(SPECTER, folder)
    assert triples(pairs) == {("Title a", "Title b", "Title c")}
    assert drops(manifest) == {"no_negative": 1, "no_citation": 1, "not_an_object": 1}


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_gives_no_pair_and_no_traceback(folder, content):
    (folder / "metadata.jsonl").write_bytes(content)
    with pytest.raises(JobError, match="no record was read"):
        run(Job(TITLES, (f"{folder}/*",), str(folder.parent / "out")))


def test_a_shard_cut_short_fails_the_job_by_its_name(folder):
    whole = gzip.compress(b"".join(json.dumps(paper(str(n), f"T{n}", "", ["0"])).encode() + b"\n" for n in range(99)))
    (folder / "metadata_7.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(JobError, match=r"metadata_7.jsonl.gz.*too early"):
        run(Job(TITLES, (f"{folder}/*",), str(folder.parent / "out")))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    *("paper_id", "corpusid", "title", "abstract", "outbound_citations", "references", "citingcorpusid"),
    *("citedcorpusid", "query", "pos", "neg"),
)


@given(JSON | st.fixed_dictionaries({}, optional={name: JSON for name in FIELDS}))
def test_no_record_makes_a_parser_fail(record):
    parsers = (title_abstract, _Citations("title").records, _Citations("abstract").records, _triple, _metadata)
    for parse in parsers:
        assert all(isinstance(found, Pair | Text | Wanted | Grouped | str) for found in parse(record, "d", None))
    assert all(isinstance(found, Wanted | str) for found in _neighbours(("a", record), "d", None))
