import bz2
import gzip
import io
import json
from collections import Counter
from pathlib import Path

import orjson
import pytest
import zstandard

from pipelines.funnel import Drop, Keyed, Read
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.records import RecordSource
from pipelines.sources.reddit_submissions import (
    ROWS,
    RedditTitleComment,
    SubmissionOptions,
    pair_best_comment,
    pair_selftext,
    read_dump,
)
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair, normalise, split_of
from schemas.shards import read_shard

SUBMISSIONS, TITLE_COMMENT = ROWS
OPTIONS = SubmissionOptions()
GONE = {"[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]"}


def submission(**changes) -> dict:
    return {"id": "5abc", "title": "A title long enough", "selftext": "A text long enough", **changes}


def comment(id_: str, body="A comment long enough", score=1, parent="t3_5abc", **changes) -> dict:
    return {"id": id_, "link_id": "t3_5abc", "parent_id": parent, "body": body, "score": score, **changes}


def write_lines(path: Path, *rows) -> Path:
    path.write_bytes(b"".join(row if isinstance(row, bytes) else orjson.dumps(row) + b"\n" for row in rows))
    return path


def read_pairs(manifest: Manifest) -> list[Pair]:
    splits = manifest.parts[0].splits
    return [
        decode_pair(record)[0] for split in splits for at in manifest.shards(split) for record in read_shard(at.path)
    ]


def drops(manifest: Manifest) -> dict[str, int]:
    return {reason: count for stage in manifest.parts[0].funnel for reason, count in stage.drops.items()}


# Title and selftext


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "5abc"),
        ({"id": "t3_5abc"}, "5abc"),
        ({"id": 5}, "5"),
        ({"selftext": "  A text long enough\n", "title": "A title long enough "}, "5abc"),
    ],
)
def test_a_submission_of_any_year_gives_title_and_selftext_in_its_comments_thread(changes, expected):
    (pair,) = pair_selftext(submission(**changes), "d", OPTIONS)
    assert pair == Pair("d", "A title long enough", "A text long enough", group=expected)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "not_an_object"),
        ([1], "not_an_object"),
        (7, "not_an_object"),
        ({}, "title_missing"),
        (submission(title=None), "title_missing"),
        (submission(title=["A title"]), "title_missing"),
        (submission(id=None), "id_missing"),
        (submission(id={}), "id_missing"),
        (submission(selftext=""), "selftext_empty"),
        (submission(selftext=" \n"), "selftext_empty"),
        (submission(selftext=None), "selftext_empty"),
        (submission(selftext=3), "selftext_empty"),
        (submission(selftext="[deleted]"), "selftext_deleted"),
        (submission(selftext=" [removed] "), "selftext_deleted"),
        (submission(selftext="x" * 8), "selftext_too_short"),
        (submission(title="[deleted by user]"), "title_deleted"),
        (submission(title="x" * 8), "title_too_short"),
        (submission(title=" "), "title_empty"),
    ],
)
def test_a_submission_without_a_pair_says_why(row, reason):
    assert list(pair_selftext(row, "d", OPTIONS)) == [reason]


def test_the_least_lengths_are_options():
    options = SubmissionOptions(min_title_characters=3, min_text_characters=2)
    (pair,) = pair_selftext(submission(title="Hm?", selftext="No"), "d", options)
    assert isinstance(pair, Pair)


@pytest.mark.parametrize("changes", [{"min_title_characters": 0}, {"min_text_characters": 0}])
def test_a_least_length_of_nothing_is_refused(changes):
    with pytest.raises(ValueError, match="expected at least 1"):
        SubmissionOptions(**changes)


def test_a_dump_with_bad_lines_is_read_to_its_end(tmp_path):
    lines = [b"\xef\xbb\xbf" + orjson.dumps(submission()) + b"\r\n", b"{\n", b"\n", b'{"id":"\xff"}\n', b"[]\n"]
    path = write_lines(tmp_path / "RS_x.json", *lines)
    (manifest,) = run(Job(SUBMISSIONS, (str(path),), str(tmp_path / "out")))
    assert manifest.parts[0].read == 4
    assert drops(manifest) == {"not_json": 1, "not_utf8": 1, "not_an_object": 1}


def test_a_gzip_cut_short_fails_the_job_naming_the_dump(tmp_path):
    (tmp_path / "RS_x.gz").write_bytes(gzip.compress(orjson.dumps(submission()) * 50)[:-9])
    with pytest.raises(JobError, match=r"RS_x\.gz.*ends too early"):
        run(Job(SUBMISSIONS, (str(tmp_path / "RS_x.gz"),), str(tmp_path / "out")))


def test_a_dump_of_links_alone_has_no_pair_and_says_so(tmp_path):
    path = write_lines(tmp_path / "RS_x", submission(selftext=""), submission(selftext=""))
    with pytest.raises(JobError, match="selftext_empty 2"):
        run(Job(SUBMISSIONS, (str(path),), str(tmp_path / "out")))


# Title and comment


def best(titles: list[str], *comments: dict, options=OPTIONS, tmp_path: Path) -> list:
    rs = write_lines(tmp_path / "RS_x", *(submission(title=title) for title in titles))
    rc = write_lines(tmp_path / "RC_x", *comments)
    found = [item for path in (rs, rc) for item in read_dump(str(path), "d")]
    rows = [item for item in found if isinstance(item, Keyed)]
    assert len(rows) == len(found) and {row.key for row in rows} <= {"5abc"}
    return list(pair_best_comment(("5abc", [row.value for row in rows]), "d", options))


TITLE = "A title long enough"


def test_a_title_meets_the_best_scored_of_its_top_level_comments(tmp_path):
    comments = [comment("c1", "The second best comment", 5), comment("c2", "The very best comment", 7)]
    comments.append(comment("c3", "A better reply to a comment", 99, parent="t1_c1"))
    for given in (comments, comments[::-1]):
        assert best([TITLE], *given, tmp_path=tmp_path) == [
            Read("d", 1),
            Pair("d", TITLE, "The very best comment", group="5abc"),
        ]


def test_of_equal_scores_the_smaller_id_in_base_36_wins(tmp_path):
    comments = [comment("10", "The later comment"), comment("z", "The earlier comment")]
    assert best([TITLE], *comments, tmp_path=tmp_path)[1].positive == "The earlier comment"


@pytest.mark.parametrize("score", [None, "7", 1 << 62, 1.5])
def test_a_score_that_is_no_number_of_votes_counts_as_none(tmp_path, score):
    comments = [comment("c1", "With one vote it wins", 1), comment("c0", "Without a score it loses", score)]
    assert best([TITLE], *comments, tmp_path=tmp_path)[1].positive == "With one vote it wins"


def test_old_dumps_without_a_score_have_ups(tmp_path):
    old = comment("c1", "An old comment with ups")
    del old["score"]
    comments = [comment("c0", "A comment with one vote"), {**old, "ups": 3}]
    assert best([TITLE], *comments, tmp_path=tmp_path)[1].positive == "An old comment with ups"


@pytest.mark.parametrize(
    ("titles", "bodies", "dropped"),
    [
        ([TITLE], [], [Drop("d", "pair", "no_comment")]),
        ([TITLE], ["[deleted]", "short", "[removed]"], [Drop("d", "pair", "no_fit_comment")]),
        (["short"], ["A comment long enough"], [Drop("d", "filter", "title_too_short")]),
        ([], ["A comment long enough"], [Drop("d", "pair", "missing_submission")]),
        ([TITLE, TITLE], [], [Drop("d", "pair", "duplicate_submission", 1), Drop("d", "pair", "no_comment")]),
    ],
)
def test_a_submission_without_a_pair_is_counted(tmp_path, titles, bodies, dropped):
    found = best(titles, *(comment(f"c{n}", body) for n, body in enumerate(bodies)), tmp_path=tmp_path)
    assert found == [Read("d", max(len(titles), 1)), *dropped]


def test_a_title_as_it_was_beats_its_deletion_in_a_later_dump(tmp_path):
    _, _, pair = best(["[deleted by user]", TITLE], comment("c1"), tmp_path=tmp_path)
    assert pair.anchor == TITLE


def test_lines_that_are_neither_submission_nor_comment_are_counted(tmp_path):
    rs = write_lines(tmp_path / "RS_x", b"{\n", {"id": "a"}, submission())
    rc = write_lines(tmp_path / "RC_x", b"[]\n", {"id": "a"}, comment("c1"), comment("c2", parent="t1_c1"))
    reasons = [item.reason for path in (rs, rc) for item in read_dump(str(path), "d") if isinstance(item, Drop)]
    assert reasons == ["not_json", "title_missing", "not_an_object", "body_missing"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["RS_2006-01.bz2"], "found no RC_"),
        (["RC_2006-01.bz2"], "found no RS_"),
        (["RS_2006-01.bz2", "RC_2006-01.bz2", "comments.json"], r"comments\.json: submissions or comments"),
        ([], "no file matches"),
    ],
)
def test_both_kinds_of_dump_are_needed_and_told_by_their_names(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=message):
        TITLE_COMMENT.find_inputs((str(tmp_path / "*"),))


def test_no_input_is_refused():
    for row in ROWS:
        with pytest.raises(FileNotFoundError, match="needs --input"):
            row.find_inputs(())


def test_a_submission_falls_on_the_side_of_its_comments(tmp_path):
    (selftext,) = pair_selftext(submission(), "a", OPTIONS)
    reply = Pair("reddit", "comment", "reply", group="5abc")  # a thread's group in pipelines.sources.reddit
    assert isinstance(selftext, Pair)
    assert split_of(selftext, 0.5) == split_of(reply, 0.5) and selftext.group == reply.group


# Real dumps, read independently with the standard library


def read_dump_plainly(path: Path) -> list[dict]:
    raw = path.read_bytes()
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(io.BytesIO(raw))
        raw = reader.read()
    else:
        raw = bz2.decompress(raw) if path.suffix == ".bz2" else gzip.decompress(raw)
    return [json.loads(line) for line in raw.split(b"\n") if line.strip()]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("RS_2019-10.AskWomen.zst", 8271),
        ("RS_explainlikeimfive_2017-12.ndjson.gz", 2126),
    ],
)
def test_the_selftexts_of_a_real_dump_are_pairs_or_counted(shared_data, tmp_path, name, rows):
    path = shared_data / "reddit" / name
    plain = read_dump_plainly(path)
    assert len(plain) == rows
    texts = [(row["title"].strip(), row.get("selftext", "").strip(), row["id"]) for row in plain]
    expected = {
        (normalise(title), normalise(text))
        for title, text, _ in texts
        if len(title) >= 9 and len(text) >= 9 and title not in GONE and text not in GONE
    }
    expected = {(title, text) for title, text in expected if title != text}
    (manifest,) = run(Job(SUBMISSIONS, (str(path),), str(tmp_path / "out")))
    found = read_pairs(manifest)
    assert manifest.parts[0].read == rows
    assert {(normalise(pair.anchor), normalise(pair.positive)) for pair in found} == expected
    assert len(found) == len(expected) and {pair.group for pair in found} <= {id_ for *_, id_ in texts}
    counts = drops(manifest)
    assert counts.get("selftext_empty", 0) == sum(not text for _, text, _ in texts)
    assert counts.get("selftext_deleted", 0) == sum(text in GONE for _, text, _ in texts)


@pytest.mark.parametrize(("name", "rows"), [("RS_2006-01.bz2", 145), ("RS_2006-02.bz2", 427)])
def test_a_real_dump_from_before_selftexts_has_no_pair_and_says_why(shared_data, tmp_path, name, rows):
    texts = [row["selftext"] for row in read_dump_plainly(shared_data / "reddit" / name)]
    counts = Counter("deleted" if text in GONE else "kept" if text else "empty" for text in texts)
    assert counts.total() == rows and not counts["kept"]
    said = f"selftext_deleted {counts['deleted']}, selftext_empty {counts['empty']}"
    with pytest.raises(JobError, match=said):
        run(Job(SUBMISSIONS, (str(shared_data / "reddit" / name),), str(tmp_path / "out")))


def test_titles_of_two_real_months_meet_their_best_comments(shared_data, tmp_path):
    folder = shared_data / "reddit"
    titles = {
        row["id"]: row["title"].strip()
        for name in ("01", "02")
        for row in read_dump_plainly(folder / f"RS_2006-{name}.bz2")
    }
    best_of: dict[str, tuple] = {}
    threads = set()
    for month in ("01", "02"):
        for row in read_dump_plainly(folder / f"RC_2006-{month}.bz2"):
            thread, body = row["link_id"].removeprefix("t3_"), row["body"].strip()
            if row["parent_id"] != row["link_id"]:
                continue
            threads.add(thread)
            if body not in GONE and len(body) >= 9:
                rank = (-row["score"], int(row["id"], 36), body)
                best_of[thread] = min(rank, best_of.get(thread, rank))
    expected = {id_: best_of[id_][2] for id_, title in titles.items() if len(title) >= 9 and id_ in best_of}
    inputs = tuple(str(folder / f"{kind}_2006-0*.bz2") for kind in ("RS", "RC"))
    (manifest,) = run(Job(TITLE_COMMENT, inputs, str(tmp_path / "out")))
    found = {pair.group: (pair.anchor, pair.positive) for pair in read_pairs(manifest)}
    assert found == {id_: (titles[id_], text) for id_, text in expected.items()}
    assert drops(manifest)["missing_submission"] == len(threads - titles.keys())
    assert len(found) > 20


def test_the_rows_are_a_record_source_and_a_join():
    assert isinstance(SUBMISSIONS, RecordSource) and isinstance(TITLE_COMMENT, RedditTitleComment)
    assert Counter(row.test_fraction for row in ROWS) == {0.1: 2}
