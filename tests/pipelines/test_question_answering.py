import ast
import csv
import gzip
import io
import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import BadFile, Drop, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources import question_answering, question_passages
from pipelines.sources.base import Source
from pipelines.sources.paq import join_passage
from pipelines.sources.question_passages import SearchOptions
from pipelines.sources.records import RecordSource, read_records
from schemas.pair import Pair

BY_NAME: dict[str, Source] = {
    source.datasets[0].name: source for source in (*question_answering.ROWS, *question_passages.ROWS)
}
SEARCHQA = "searchQA_question_top5_snippets_merged"
BOM = b"\xef\xbb\xbf"


class Outcome(NamedTuple):
    pairs: list[tuple[str, str]]
    drops: dict[str, int]
    groups: list[str]
    bad_files: list[str]


def row(name: str, **options) -> RecordSource:
    source = BY_NAME[name]
    assert isinstance(source, RecordSource)
    changed = source.with_options(type(source.options)(**options)) if options else source
    assert isinstance(changed, RecordSource)
    return changed


def read(path: Path, name: str, **options) -> Outcome:
    """What one file gives; each outcome is counted as read exactly once."""
    found = list(read_records(str(path), row(name, **options), name))
    pairs = [item for item in found if isinstance(item, Pair)]
    drops = [item for item in found if isinstance(item, Drop)]
    assert found.count(Read(name)) == len(pairs) + len(drops)
    return Outcome(
        [(pair.anchor, pair.positive) for pair in pairs],
        dict(Counter(drop.reason for drop in drops)),
        [pair.group for pair in pairs],
        [item.message for item in found if isinstance(item, BadFile)],
    )


@pytest.fixture
def read_bytes(tmp_path):
    def reading(name: str, content: bytes, file: str = "raw", **options) -> Outcome:
        (tmp_path / file).write_bytes(content)
        return read(tmp_path / file, name, **options)

    return reading


def lines(*records) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def job_counts(source: Source, folder: Path, *globs: str) -> tuple[int, int, dict[str, int]]:
    """(read, written, drops) as the manifest of a whole job states them."""
    (manifest,) = run(Job(source, globs, str(folder / "out")))
    (part,) = manifest.parts
    drops = {reason: count for stage in part.funnel for reason, count in stage.drops.items()}
    return part.read, sum(split.records for split in part.splits.values()), drops


# The catalogue's rows


def test_the_rows_that_the_original_has_carry_its_names_lines_and_weights(shared_data):
    with gzip.open(shared_data / "mixtures/all_datasets_v4.data_config.json.gz") as file:
        config = {item["name"].removesuffix(".jsonl.gz"): item for item in json.load(file)}
    infos = {name: source.datasets[0] for name, source in BY_NAME.items()}
    extra = {"nq_open", "medquad"}
    assert infos.keys() - config.keys() == extra
    for name in infos.keys() - extra:
        assert (infos[name].published, infos[name].weight) == (config[name]["lines"], config[name]["weight"])


@pytest.mark.parametrize("name", BY_NAME)
def test_every_row_says_where_to_get_its_files_when_none_are_given(name):
    with pytest.raises(FileNotFoundError, match="needs --input") as error:
        BY_NAME[name].find_inputs(())
    assert BY_NAME[name].datasets[0].url in str(error.value)


FIELDS = re.findall(
    r"\w+",
    """question answer answers questions answerText questionText title q_id text score short_answer paragraphs context
    qas is_impossible question_text annotations long_answer start_token end_token start_byte end_byte document_text
    document_tokens document_html token html_token Answer Value Aliases Question SearchResults Description Rank
    search_results snippet snippets""",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "\ud800", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=25,
)
JSON_ROWS = [name for name in BY_NAME if not name.startswith(("yahoo", "medquad", "PAQ"))]


@pytest.mark.parametrize("name", JSON_ROWS)
@given(JSON)
def test_a_record_of_any_shape_gives_pairs_of_text_or_a_reason(name, record):
    source = row(name)
    for outcome in source.pairs(record, name, source.options):
        if isinstance(outcome, Pair):
            assert all(isinstance(text, str) and text.strip() for text in outcome.texts)
            "".join(outcome.texts).encode()
        else:
            assert re.fullmatch(r"[a-z_]+", outcome)


@pytest.mark.parametrize("name", JSON_ROWS)
@pytest.mark.parametrize("record", [None, 3, "text", [], [1, 2], {}, {"question": None, "answers": 5}])
def test_a_record_that_holds_no_question_never_vanishes_without_a_reason(name, record):
    source = row(name)
    assert [type(outcome) for outcome in source.pairs(record, name, source.options)] == [str]


# SQuAD


def squad(*paragraphs: dict, title: str | None = "Rivers") -> dict:
    return {"version": "v2.0", "data": [{"title": title, "paragraphs": list(paragraphs)}]}


def asked(question: str, **more) -> dict:
    return {"question": question, "id": "1", "answers": [{"text": "a", "answer_start": 0}], **more}


def test_squad_pairs_each_answerable_question_with_its_paragraph(read_bytes):
    document = squad(
        {
            "context": " The Bo is long. ",
            "qas": [asked("How long? "), asked("How deep?", is_impossible=True)],
        },
        {
            "context": "The Ti is short.",
            "qas": [asked("How short?", is_impossible=False), asked("No answers?", answers=[])],
        },
    )
    found = read_bytes("squad_pairs", json.dumps(document, indent=1).encode())
    assert found.pairs == [("How long?", "The Bo is long."), ("How short?", "The Ti is short.")]
    assert found.drops == {"no_answer": 2}
    assert found.groups == ["squad/Rivers"] * 2


def test_squad_articles_without_a_title_are_grouped_by_paragraph(read_bytes):
    document = squad({"context": "C", "qas": [asked("a?"), asked("b?")]}, title=None)
    assert read_bytes("squad_pairs", json.dumps(document).encode()).groups == ["squad/C"] * 2


def test_squad_survives_nulls_at_every_depth(read_bytes):
    articles = [None, 1, {"paragraphs": None}, {"paragraphs": [None, {"context": "C", "qas": [None]}]}]
    articles.append({"paragraphs": [{"context": None, "qas": [asked("a?")]}]})
    found = read_bytes("squad_pairs", json.dumps({"data": articles}).encode())
    assert (found.pairs, found.drops) == ([], {"no_question": 4, "no_answer": 1})


def test_xquad_gives_a_pair_for_each_of_its_questions(shared_data, tmp_path):
    path = shared_data / "squad/xquad.en.json.gz"
    with gzip.open(path) as file:
        articles = json.load(file)["data"]
    expected = {
        (question["question"].strip(), paragraph["context"].strip())
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    }
    found = read(path, "squad_pairs")
    assert len(found.pairs) == 1190 and set(found.pairs) == expected
    assert set(found.groups) == {f"squad/{article['title']}" for article in articles}
    counts = job_counts(BY_NAME["squad_pairs"], tmp_path, str(path))
    assert counts == (1190, len(expected), {"duplicate": 1190 - len(expected)} if len(expected) < 1190 else {})


# Natural Questions

NQ_TEXT = '<H1> Bo </H1> <P> The Bo , a <3 river , is <I> long </I> . </P> <Table> <Tr> <Th_colspan="2"> x </Th> </Tr>'
NQ_URL = "https://en.wikipedia.org//w/index.php?title=Bo_(river)&amp;oldid=1"
NO_SPAN = {"start_token": -1, "end_token": -1, "start_byte": -1, "end_byte": -1, "candidate_index": -1}


def nq(*spans: dict, **changes) -> dict:
    record = {
        "question_text": "how long is the bo",
        "document_url": NQ_URL,
        "document_text": NQ_TEXT,
        "annotations": [{"long_answer": span, "short_answers": [], "yes_no_answer": "NONE"} for span in spans],
    }
    return {**record, **changes}


def test_simplified_natural_questions_give_the_long_answer_without_tags(read_bytes):
    found = read_bytes("NQ-train_pairs", lines(nq({"start_token": 3, "end_token": 17})))
    assert found.pairs == [("how long is the bo", "The Bo , a <3 river , is long .")]
    assert found.groups == ["natural_questions/Bo (river)"]


def test_original_natural_questions_give_the_words_that_are_no_html_tokens(read_bytes):
    words = ["<P>", "a", "<b>", "c", "</P>", "d"]
    tokens = [{"token": token, "html_token": token in ("<P>", "</P>")} for token in words]
    record = nq({"start_token": 0, "end_token": 5, "start_byte": 0, "end_byte": 9}, document_tokens=tokens)
    del record["document_text"]
    assert read_bytes("NQ-train_pairs", lines(record)).pairs == [("how long is the bo", "a <b> c")]


def test_original_natural_questions_with_html_alone_are_cut_by_bytes(read_bytes):
    html = "<h1>é</h1><p>The <i>Bö</i>\n is long &amp; wide.</p><p>Next</p>"
    start, end = html.encode().index(b"<p>"), html.encode().index(b"<p>Next")
    record = nq({"start_token": 1, "end_token": 5, "start_byte": start, "end_byte": end}, document_html=html)
    del record["document_text"]
    assert read_bytes("NQ-train_pairs", lines(record)).pairs == [("how long is the bo", "The Bö is long & wide.")]


def test_natural_questions_take_the_first_annotation_that_has_a_long_answer(read_bytes):
    record = nq(NO_SPAN, {"start_token": 3, "end_token": 6}, {"start_token": 6, "end_token": 8})
    assert read_bytes("NQ-train_pairs", lines(record)).pairs == [("how long is the bo", "The Bo")]


def test_natural_questions_without_a_long_answer_are_counted(read_bytes):
    tags_alone = {"start_token": 18, "end_token": 20}
    nothing = [nq(NO_SPAN), nq(), nq({}), nq(tags_alone), nq({"start_token": 900, "end_token": 910})]
    found = read_bytes("NQ-train_pairs", BOM + lines(*nothing, nq(NO_SPAN, question_text=None)) + b"{cut\n\xff\n")
    assert (found.pairs, found.drops) == ([], {"no_answer": 5, "no_question": 1, "not_json": 1, "not_utf8": 1})


# Short answers: NQ-open and TriviaQA


def test_nq_open_takes_the_first_answer(read_bytes):
    content = lines({"question": "who", "answer": ["me", "you"]}, {"question": "who", "answer": []}).replace(
        b"\n", b"\r\n"
    )
    found = read_bytes("nq_open", content)
    assert (found.pairs, found.drops) == ([("who", "me")], {"no_answer": 1})


def test_nq_open_dev_gives_a_pair_for_each_line(shared_data, tmp_path):
    path = shared_data / "nq_open/NQ-open.dev.jsonl.gz"
    with gzip.open(path) as file:
        expected = [(item["question"].strip(), item["answer"][0].strip()) for item in map(json.loads, file)]
    assert len(expected) == 3610
    assert read(path, "nq_open").pairs == expected
    records, written, drops = job_counts(BY_NAME["nq_open"], tmp_path, str(path))
    assert records == 3610 == written + sum(drops.values())


def trivia(**changes) -> dict:
    record = {
        "Question": "Which river is long?",
        "QuestionId": "tc_1",
        "Answer": {"Value": "Bo", "Aliases": ["Bo", "River Bo (x)"], "NormalizedValue": "bo"},
        "EntityPages": [{"Title": "Bo", "Filename": "Bo.txt", "DocSource": "TagMe"}],
        "SearchResults": [
            {"Rank": 2, "Title": "t", "Description": "So the BO, it is long."},
            {"Rank": 0, "Title": "t", "Description": "A boat by a gazebo is not a river."},
            {"Rank": 1, "Title": "t", "Description": "river bo (x)"},
        ],
    }
    return {**record, **changes}


def trivia_file(*records) -> bytes:
    return json.dumps({"Data": list(records), "Domain": "Web", "Split": "train", "Version": 1.0}, indent=4).encode()


def test_triviaqa_takes_the_highest_ranked_evidence_that_names_the_answer(read_bytes):
    found = read_bytes("TriviaQA_pairs", BOM + trivia_file(trivia()))
    assert found.pairs == [("Which river is long?", "river bo (x)")]
    assert read_bytes("TriviaQA_pairs", trivia_file(trivia()), positive="answer").pairs == [
        ("Which river is long?", "Bo")
    ]


def test_triviaqa_falls_back_to_the_answer_where_no_evidence_names_it(read_bytes):
    lacking = [
        trivia(SearchResults=[]),
        trivia(SearchResults=None),
        trivia(SearchResults=[None, {"Description": "boat"}, {"Description": None, "Rank": None}]),
    ]
    assert [pair[1] for pair in read_bytes("TriviaQA_pairs", trivia_file(*lacking)).pairs] == ["Bo"] * 3


def test_triviaqa_test_questions_come_without_answers(read_bytes):
    hidden = trivia()
    del hidden["Answer"]
    found = read_bytes("TriviaQA_pairs", trivia_file(hidden, trivia(Answer={"Value": None, "Aliases": None}), None))
    assert (found.pairs, found.drops) == ([], {"no_answer": 2, "no_question": 1})


def test_the_dpr_form_of_triviaqa_is_quoted_as_csv(read_bytes):
    content = "\r\n".join(
        [
            "Plain?\t['a b', 'c']",
            'Which?\t"[\'it\', ""John\'s""]"',
            '"A ""quoted"" one?"\t["x"]',
            "Three?\t['a']\tb",
            "Not Python?\t[a]",
            "Runs nothing?\t[__import__('os')]",
            "A list as key?\t{[]: 1}",
            "None?\t[]",
            "\t['a']",
        ]
    )
    found = read_bytes("TriviaQA_pairs", content.encode())
    assert found.pairs == [("Plain?", "a b"), ("Which?", "it"), ('A "quoted" one?', "x")]
    assert found.drops == {"wrong_number_of_columns": 1, "not_a_literal": 3, "no_answer": 1, "no_question": 1}


def test_triviaqa_dev_topics_give_a_pair_for_each_line(shared_data, tmp_path):
    path = shared_data / "triviaqa/topics.dpr.trivia.dev.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        questions = [question.strip() for question, _ in csv.reader(file, delimiter="\t")]
    with gzip.open(path) as file:
        assert len(questions) == sum(1 for _ in file) == 8837
    found = read(path, "TriviaQA_pairs")
    assert [question for question, _ in found.pairs] == questions
    assert found.drops == {}
    records, written, drops = job_counts(BY_NAME["TriviaQA_pairs"], tmp_path, str(path))
    assert records == 8837 == written + sum(drops.values())


# SearchQA


def searched(*snippets, question: str = "This river is long") -> dict:
    results = [{"title": "t", "snippet": snippet, "url": "u", "related_links": None} for snippet in snippets]
    return {"id": 1, "category": "RIVERS", "question": question, "answer": "bo", "search_results": results}


def test_searchqa_merges_the_first_five_snippets_that_there_are(read_bytes):
    found = read_bytes(SEARCHQA, json.dumps(searched(" a ", None, "b", "", "c", "d", "e", "f"), indent=2).encode())
    assert found.pairs == [("This river is long", "a b c d e")]


def test_searchqa_can_make_a_pair_of_each_snippet(read_bytes):
    found = read_bytes(SEARCHQA, lines(searched("a", None, "b", "c")), merge=False, snippets=2)
    assert found.pairs == [("This river is long", "a"), ("This river is long", "b")]


def test_searchqa_without_snippets_or_question_is_counted(read_bytes):
    found = read_bytes(SEARCHQA, lines(searched(), searched(None), {"question": "q"}, searched("a", question=" ")))
    assert (found.pairs, found.drops) == ([], {"no_snippet": 3, "no_question": 1})


def test_searchqa_results_may_be_columns(read_bytes):
    record = {"question": "q", "search_results": {"titles": ["t", "u"], "snippets": ["a", "b"], "urls": []}}
    assert read_bytes(SEARCHQA, lines(record)).pairs == [("q", "a b")]


def test_a_searchqa_archive_has_a_question_a_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"train/{number:06}.json", json.dumps(searched("a", question=f"q{number}"), indent=2))
        archive.writestr("train/readme.txt", "no JSON")
    assert job_counts(BY_NAME[SEARCHQA], tmp_path, str(tmp_path / "train.zip")) == (3, 3, {})


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="expected at least 1"):
        SearchOptions(snippets=0)


# PAQ


def machine_made(question, *passages) -> dict:
    answers = [{"passage_id": passage, "offset": 0, "text": "span", "extractor": "L"} for passage in passages]
    return {"question": question, "subsets": ["L1"], "answer": "a", "passage_score": -1.5, "answers": answers}


def write_passages(path: Path) -> None:
    with gzip.open(path, "wt", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["id", "text", "title"])
        rows.writerows([["1", 'The "Bo"\nis long.', "Bo"], ["2", "Nobody asks of Ti.", "Ti"], ["7", "", "Empty"]])
        file.write("a row cut sh")


def test_paq_joins_questions_with_the_text_of_their_first_passage(tmp_path):
    write_passages(tmp_path / "psgs_w100.tsv.gz")
    questions = [machine_made("how long", "1", "2"), machine_made("is bo long", 1), machine_made("gone", "99")]
    questions += [
        machine_made("empty", "7"),
        machine_made("none"),
        machine_made(None, "1"),
        machine_made("list", ["1"]),
    ]
    (tmp_path / "PAQ.metadata.jsonl").write_bytes(lines(*questions, [1], None) + b"{cut\n")
    counts = job_counts(BY_NAME["PAQ_pairs"], tmp_path, str(tmp_path / "psgs*"), str(tmp_path / "PAQ*"))
    assert counts == (10, 2, {"missing_passage": 2, "no_passage": 2, "no_question": 3, "not_json": 1})


def test_a_passage_s_questions_share_its_text_and_its_group():
    rows = [(False, "how long"), (True, "The Bo is long."), (False, "is bo long"), (True, "The Bo is long.")]
    assert list(join_passage(("1", rows), "PAQ_pairs")) == [
        Pair("PAQ_pairs", "how long", "The Bo is long.", group="paq/1"),
        Pair("PAQ_pairs", "is bo long", "The Bo is long.", group="paq/1"),
    ]
    assert list(join_passage(("1", rows[:1]), "PAQ_pairs")) == [Drop("PAQ_pairs", "pair", "missing_passage")]


def test_paq_lines_that_hold_their_passages_need_no_join(tmp_path):
    held = {"question": "how long", "answer": ["a"], "passages": [{"passage_id": "1", "text": "The Bo is long."}]}
    (tmp_path / "paq.jsonl").write_bytes(lines(held, {**held, "passages": []}, {**held, "passages": None}))
    counts = job_counts(BY_NAME["PAQ_pairs"], tmp_path, str(tmp_path / "paq.jsonl"))
    assert counts == (3, 1, {"no_passage": 2})


def test_paq_without_its_passages_says_so_and_writes_nothing(tmp_path):
    (tmp_path / "PAQ.metadata.jsonl").write_bytes(lines(machine_made("how long", "1")))
    with pytest.raises(JobError, match="missing_passage 1"):
        run(Job(BY_NAME["PAQ_pairs"], (str(tmp_path / "PAQ*"),), str(tmp_path / "out")))


# GOOAQ and ELI5


def test_gooaq_prefers_the_long_answer(read_bytes):
    records = [
        {
            "id": 1,
            "question": "how long",
            "short_answer": "9 km",
            "answer": "It is 9 km long.",
            "answer_type": "feat_snip",
        },
        {"id": 2, "question": "how long", "short_answer": "9 km", "answer": None, "answer_type": "unit_conv"},
        {"id": 3, "question": "how long", "short_answer": None, "answer": " ", "answer_type": "rich_list"},
        {"id": 4, "question": None, "short_answer": "x", "answer": None},
    ]
    found = read_bytes("gooaq_pairs", lines(*records))
    assert found.pairs == [("how long", "It is 9 km long."), ("how long", "9 km")]
    assert found.drops == {"no_answer": 1, "no_question": 1}


def explained(texts, scores, **changes) -> dict:
    answers = {"a_id": ["a"] * len(texts), "text": texts, "score": scores}
    return {"q_id": "5abc", "title": " Why? ", "selftext": "", "answers": answers, **changes}


ELI5 = [
    explained(["low", "high", "as high"], [1, 7, 7]),
    explained(["", "rest", None], [9, None, 3]),
    explained([], []),
    explained(["a"], [1], title=None),
    explained([], [], answers=[{"a_id": "a", "text": "x", "score": -4}, {"text": "y", "score": -2}, None]),
]


@pytest.mark.parametrize(
    "content",
    [json.dumps(ELI5).encode(), BOM + json.dumps(ELI5, indent=1).encode(), lines(*ELI5), BOM + lines(*ELI5)],
    ids=["array", "indented array with BOM", "lines", "lines with BOM"],
)
def test_eli5_takes_the_answer_with_the_highest_score_in_either_layout(read_bytes, content):
    found = read_bytes("eli5_question_answer", content)
    assert found.pairs == [("Why?", "high"), ("Why?", "rest"), ("Why?", "y")]
    assert found.drops == {"no_answer": 1, "no_question": 1}
    assert set(found.groups) == {"5abc"}


def test_half_a_character_in_an_escape_never_stops_a_job(tmp_path):
    (tmp_path / "qa.json").write_bytes(
        b"{'question': 'Why\\ud83d', 'answer': 'So'}\n{'question': 'Why?', 'answer': '\\udc00'}"
    )
    assert job_counts(BY_NAME["amazon-qa-train-pairs"], tmp_path, str(tmp_path / "qa.json")) == (2, 2, {})


def test_eli5_category_gives_the_best_answer_of_each_question(shared_data, tmp_path):
    path = shared_data / "eli5/eli5-category-validation-2.json.gz"
    with gzip.open(path) as file:
        items = json.load(file)
    expected = []
    for item in items:
        scores = item["answers"]["score"]
        expected.append((item["title"].strip(), item["answers"]["text"][scores.index(max(scores))].strip()))
    assert len(expected) == 2375
    assert read(path, "eli5_question_answer").pairs == expected
    records, written, drops = job_counts(BY_NAME["eli5_question_answer"], tmp_path, str(path))
    assert records == 2375 == written + sum(drops.values())


# Yahoo Answers

YAHOO_CSV = (
    b'"5","why is it, so?","I ""really""\\nwant to know","Because.<br />Look up."\n'
    b'"1","no body here","","A &amp; B"\n'
    b'"2","multi\nline","body","answer"\r\n'
    b'"3","unanswered","body 2",""\n'
    b'"4","three columns","x"\n'
    b'"4","\xff","x","y"\n'
)
YAHOO_XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<ystfeed>'
    b'<vespaadd><document type="wisdom"><uri>1</uri><subject>why is it, so?</subject>'
    b"<content>I &quot;really&quot;&lt;br /&gt;want to know</content><bestanswer>Because.&#xa;Look up.</bestanswer>"
    b"<nbestanswers><answer_item>no</answer_item></nbestanswers></document></vespaadd>"
    b'<vespaadd><document type="wisdom"><uri>2</uri><subject>no answer</subject></document></vespaadd></ystfeed>'
)
YAHOO = {
    "yahoo_answers_title_answer": ("why is it, so?", "Because.\nLook up."),
    "yahoo_answers_title_question": ("why is it, so?", 'I "really"\nwant to know'),
    "yahoo_answers_question_answer": ('I "really"\nwant to know', "Because.\nLook up."),
}
CSV_LOSSES = {
    "yahoo_answers_title_answer": {"no_answer": 1},
    "yahoo_answers_title_question": {"no_question": 1},
    "yahoo_answers_question_answer": {"no_question": 1, "no_answer": 1},
}


@pytest.mark.parametrize("name", YAHOO)
def test_each_yahoo_row_takes_its_two_of_a_question_s_three_texts(read_bytes, name):
    found = read_bytes(name, BOM + YAHOO_CSV)
    assert found.pairs[0] == YAHOO[name]
    assert len(found.pairs) == 4 - sum(CSV_LOSSES[name].values())
    assert found.drops == {**CSV_LOSSES[name], "wrong_number_of_columns": 1, "not_utf8": 1}


@pytest.mark.parametrize("name", YAHOO)
def test_the_yahoo_xml_gives_the_same_pairs_as_the_csv(read_bytes, name):
    found = read_bytes(name, YAHOO_XML)
    assert found.pairs == [YAHOO[name]]
    assert sum(found.drops.values()) == 1


def test_all_tuples_of_a_yahoo_question_share_its_group(read_bytes):
    assert {read_bytes(name, YAHOO_XML).groups[0] for name in YAHOO} == {"yahoo_answers/why is it, so?"}


def test_the_yahoo_archive_is_read_without_its_test_rows_and_readme(tmp_path):
    with tarfile.open(tmp_path / "yahoo_answers_csv.tar.gz", "w:gz") as archive:
        for name in ("train.csv", "test.csv", "readme.txt", "classes.txt"):
            member = tarfile.TarInfo(f"yahoo_answers_csv/{name}")
            member.size = len(YAHOO_CSV)
            archive.addfile(member, io.BytesIO(YAHOO_CSV))
    counts = job_counts(BY_NAME["yahoo_answers_title_answer"], tmp_path, str(tmp_path / "*.tar.gz"))
    assert counts == (6, 3, {"no_answer": 1, "wrong_number_of_columns": 1, "not_utf8": 1})


# Amazon


def test_amazon_lines_may_be_python_dicts_or_json_with_one_or_many_answers(read_bytes):
    content = b"\n".join(
        [
            b"{'asin': 'B1', 'question': \"Isn't it long?\", 'answer': 'It is \\'long\\'.', 'unixTime': 1}",
            b"{'asin': 'B2', 'questions': [{'questionText': 'Wide?', 'answers': [{'answerText': 'Yes'}, "
            b"{'answerText': 'No', 'helpful': [1, 2]}]}, {'questionText': 'Deep?', 'answers': []}]}",
            b'{"questionText": "Old?", "is_answerable": true, "answers": [{"answerText": "Very", "answerType": null}]}',
            b"{'asin': 'B3', 'question': 'Nothing?', 'answer': ''}",
            b"{'asin': 'B4', 'questions': []}",
            b"__import__('os').getcwd()",
            b"{[]: 1}",
            b"\xff",
            b"",
        ]
    )
    found = read_bytes("amazon-qa-train-pairs", content)
    assert found.pairs == [("Isn't it long?", "It is 'long'."), ("Wide?", "Yes"), ("Wide?", "No"), ("Old?", "Very")]
    assert found.drops == {"no_answer": 2, "no_question": 1, "not_a_literal": 2, "not_utf8": 1}


def test_amazon_appliances_give_a_pair_for_each_line(shared_data, tmp_path):
    path = shared_data / "amazonqa/qa_Appliances.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        items = [ast.literal_eval(line) for line in file]
    assert len(items) == 9011
    found = read(path, "amazon-qa-train-pairs")
    assert found.pairs == [(item["question"].strip(), item["answer"].strip()) for item in items]
    records, written, drops = job_counts(BY_NAME["amazon-qa-train-pairs"], tmp_path, str(path))
    assert records == 9011 == written + sum(drops.values())


# MedQuAD

MEDQUAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Document id="0000001" source="GARD" url="u"><Focus>Bo</Focus><QAPairs>'
    b'<QAPair pid="1"><Question qid="1" qtype="information">What is (are) Bo ?</Question>'
    b"<Answer> Bo &amp; Ti\n are rivers. </Answer></QAPair>"
    b'<QAPair pid="2"><Question qid="2">Removed ?</Question><Answer></Answer></QAPair>'
    b'<QAPair pid="3"><Question qid="3">Blank ?</Question><Answer> \n </Answer></QAPair>'
    b'<QAPair pid="4"><Question/><Answer>An answer</Answer></QAPair></QAPairs></Document>'
)


def test_medquad_pairs_questions_with_answers_and_counts_those_removed(read_bytes):
    found = read_bytes("medquad", MEDQUAD)
    assert found.pairs == [("What is (are) Bo ?", "Bo & Ti\n are rivers.")]
    assert found.drops == {"no_answer": 2, "no_question": 1}
    assert found.groups == ["medquad/GARD/0000001"]


def test_medquad_files_that_spell_their_tags_otherwise_are_read_too(read_bytes):
    content = (
        b'<doc docid="7" corpus="NINDS"><qaPairs><pair pid="1"><question qid="1">Why?</question>'
        b"<answer>So.</answer></pair></qaPairs></doc>"
    )
    found = read_bytes("medquad", content)
    assert (found.pairs, found.groups) == ([("Why?", "So.")], ["medquad/NINDS/7"])


def test_medquad_gives_every_answered_question_of_the_real_archive(shared_data, tmp_path):
    path = shared_data / "medquad/MedQuAD.tar.gz"
    answered, empty, others, unasked = 0, 0, 0, 0
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.name.endswith(".xml"):
                continue
            root = ElementTree.parse(archive.extractfile(member)).getroot()  # type: ignore[arg-type]
            texts = [(pair.findtext("Question"), pair.findtext("Answer")) for pair in root.findall(".//QAPair")]
            filled = sum(bool(answer and answer.strip()) for question, answer in texts)
            answered, empty = answered + filled, empty + len(texts) - filled
            others += len(root.findall(".//pair"))
            unasked += not texts and not root.findall(".//pair")
    assert (answered, answered + empty, others) == (16_407, 47_441, 16)
    found = read(path, "medquad")
    assert len(found.pairs) == answered + others
    assert found.drops == ({"no_answer": empty, "no_question": unasked} if unasked else {"no_answer": empty})
    records, written, drops = job_counts(BY_NAME["medquad"], tmp_path, str(path))
    assert records == answered + empty + others + unasked == written + sum(drops.values())


# Bad files

BOMB = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("medquad", BOMB + b"<Document><QAPairs>&b;</QAPairs></Document>"),
        ("yahoo_answers_title_answer", BOMB + b"<y><document><subject>&b;</subject></document></y>"),
        ("medquad", MEDQUAD[:-20]),
        ("medquad", b""),
        ("squad_pairs", b""),
        ("squad_pairs", json.dumps(squad({"context": "C", "qas": [asked("q?")]})).encode()[:-2]),
        ("squad_pairs", b'{"data": [{"title": "\xff"}]}'),
        ("TriviaQA_pairs", trivia_file(trivia())[:-5]),
        ("eli5_question_answer", json.dumps(ELI5).encode()[:-3]),
    ],
)
def test_a_document_that_is_broken_names_itself(read_bytes, name, content):
    found = read_bytes(name, content, file="broken")
    assert len(found.bad_files) == 1 and "broken" in found.bad_files[0]


@pytest.mark.parametrize(
    "name",
    ["nq_open", "gooaq_pairs", "eli5_question_answer", "amazon-qa-train-pairs", *YAHOO, "TriviaQA_pairs", SEARCHQA],
)
def test_an_empty_file_of_rows_holds_no_row_and_is_not_bad(read_bytes, name):
    assert read_bytes(name, b"") == Outcome([], {}, [], [])


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {"PAQ_pairs"}))
def test_a_gzip_cut_short_is_a_bad_file_in_every_row(read_bytes, name):
    noise = "".join(chr(97 + n * n % 23) for n in range(9999))
    whole = gzip.compress(lines({"question": noise}) if name != "medquad" else b"<a>" + noise.encode())
    found = read_bytes(name, whole[: len(whole) // 2], file="cut.gz")
    assert len(found.bad_files) == 1 and "cut.gz" in found.bad_files[0]


def test_one_broken_file_fails_the_whole_job_by_name(tmp_path):
    (tmp_path / "good.jsonl").write_bytes(lines({"question": "who", "answer": ["me"]}))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines({"question": "who", "answer": ["me"]}))[:-9])
    with pytest.raises(JobError, match=r"cut\.jsonl\.gz"):
        run(Job(BY_NAME["nq_open"], (str(tmp_path / "*jsonl*"),), str(tmp_path / "out")))
