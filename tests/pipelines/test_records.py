"""Readers: streams of every raw format become records, bad ones are named, bad files are refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import py7zr
import pytest
import zstandard

from pipelines.files import UnreadableFileError, open_members, open_plain
from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import (
    BadRecord,
    Delimited,
    JsonItems,
    JsonMembers,
    RecordSource,
    XmlElements,
    aligned_lines,
    json_lines,
    python_lines,
    read_records,
    text_lines,
)
from schemas.pair import Pair

INFO = DatasetInfo("made", "a → b", "", "", "nowhere", raw="made-up JSON lines")


def stream(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)


def two_texts(record, dataset, options):
    yield Pair(dataset, *record) if isinstance(record, list) and len(record) == 2 else "not_two"


def row(**changes) -> RecordSource:
    return RecordSource(**{"info": INFO, "read": json_lines, "pairs": two_texts, **changes})


def test_lines_lose_their_ends_and_the_byte_order_mark():
    content = b"\xef\xbb\xbfone\r\ntwo\n\nthr\xc3\xa9e"
    assert list(text_lines(stream(content))) == ["one", "two", "", "thrée"]


def test_a_line_that_is_not_utf8_is_a_bad_record_among_good_ones():
    assert list(text_lines(stream(b"good\nb\xe9d\nfine\n"))) == ["good", BadRecord("not_utf8"), "fine"]


def test_json_lines_skip_blank_lines_and_mark_bad_ones():
    content = b'["a", "b"]\n\n{not json}\n{"a": 1}\n'
    assert list(json_lines(stream(content))) == [["a", "b"], BadRecord("not_json"), {"a": 1}]


def test_python_lines_are_literals_and_never_run():
    content = b"{'a': 'it\\'s'}\n__import__('os').system('true')\n" + b"(" * 5000 + b"\n{'b': 2}\n"
    bad = BadRecord("not_a_literal")
    assert list(python_lines(stream(content))) == [{"a": "it's"}, bad, bad, {"b": 2}]


def test_items_and_members_of_a_document_are_streamed():
    document = (
        b"\xef\xbb\xbf"
        + json.dumps({"version": 1, "data": [{"x": 1}, {"x": 2.5}], "names": {"a": "A", "b": "B"}}).encode()
    )
    assert list(JsonItems("data.item")(stream(document))) == [{"x": 1}, {"x": 2.5}]
    assert list(JsonMembers("names")(stream(document))) == [("a", "A"), ("b", "B")]


def test_quoted_fields_keep_line_ends_delimiters_and_quotes():
    content = b'\xef\xbb\xbfq,a\r\n"one\r\nline","says ""hi"", twice"\r\nplain,text\r\n'
    rows = list(Delimited(",", quoted=True, header=True)(stream(content)))
    assert rows == [{"q": "one\r\nline", "a": 'says "hi", twice'}, {"q": "plain", "a": "text"}]


def test_quotes_mean_nothing_where_a_format_has_none():
    assert list(Delimited()(stream(b'5" disk\t"open\nsecond\trow\n'))) == [['5" disk', '"open'], ["second", "row"]]


def test_rows_of_another_width_and_undecodable_rows_are_bad_records():
    content = b"a\tb\n1\t2\n3\n4\t\xff\n5\t6\n"
    assert list(Delimited(header=True)(stream(content))) == [
        {"a": "1", "b": "2"},
        BadRecord("wrong_number_of_columns"),
        BadRecord("not_utf8"),
        {"a": "5", "b": "6"},
    ]


def test_aligned_lines_come_in_tuples_and_must_be_as_many():
    assert list(aligned_lines(stream(b"a\nb\n"), stream(b"x\ny\n"))) == [("a", "x"), ("b", "y")]
    assert list(aligned_lines(stream(b"a\n\xff\n"), stream(b"x\ny\n"))) == [("a", "x"), BadRecord("not_utf8")]
    with pytest.raises(EOFError, match="more lines"):
        list(aligned_lines(stream(b"a\nb\n"), stream(b"x\n")))


def test_xml_elements_are_whole_when_seen_and_let_go_after():
    content = b"<all>" + b"".join(b'<row Id="%d"><t>x%d</t></row>' % (n, n) for n in range(50)) + b"</all>"
    seen = [(element.get("Id"), element.findtext("t")) for element in XmlElements("row")(stream(content))]
    assert seen == [(str(n), f"x{n}") for n in range(50)]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><all><row>&b;</row></all>"""
EXTERNAL = b"""<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a SYSTEM "file:///etc/passwd">]><all><row>&a;</row></all>"""


@pytest.mark.parametrize("content", [BOMB, EXTERNAL, b"<all><row>cut sho"])
def test_xml_that_plays_tricks_or_ends_early_is_a_bad_file(content, tmp_path):
    path = tmp_path / "posts.xml"
    path.write_bytes(content)
    *_, last = read_records(str(path), row(read=XmlElements("row"), pairs=lambda *_: iter(())), "made")
    assert isinstance(last, BadFile) and str(path) in last.message and "\n" not in last.message


def members(path: Path, pattern: str = "*") -> dict[str, bytes]:
    return {name: content.read() for name, content in open_members(str(path), pattern)}


def test_archives_give_the_members_that_match(tmp_path):
    files = {"site/Posts.xml": b"<posts/>", "site/readme.txt": b"hello", "site/more.jsonl.gz": gzip.compress(b"[1]")}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with tarfile.open(tmp_path / "a.tar.bz2", "w:bz2") as archive:
        archive.add(tmp_path / "site", "site")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files:
            archive.write(tmp_path / name, name)
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as archive:
        archive.writeall(tmp_path / "site", "site")
    for name in ("a.tar.bz2", "a.zip", "a.7z"):
        assert members(tmp_path / name) == {
            f"{tmp_path / name}:site/{member}": content
            for member, content in (("Posts.xml", b"<posts/>"), ("readme.txt", b"hello"), ("more.jsonl.gz", b"[1]"))
        }, name
        assert list(members(tmp_path / name, "*.xml")) == [f"{tmp_path / name}:site/Posts.xml"]


def test_a_file_that_is_no_archive_is_its_own_member(tmp_path):
    path = tmp_path / "lines.zst"
    path.write_bytes(zstandard.compress(b"one\ntwo\n"))
    assert members(path) == {str(path): b"one\ntwo\n"}


@pytest.mark.parametrize("name", ["cut.tar.gz", "cut.zip", "cut.7z"])
def test_a_damaged_archive_names_itself(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 or whatever this is")
    with pytest.raises(UnreadableFileError, match=name):
        members(path)


def test_a_stream_read_in_odd_pieces_is_the_whole_content(tmp_path):
    content = bytes(range(256)) * 3000
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    with open_plain(str(tmp_path / "x.gz")) as opened:
        assert b"".join(iter(lambda: opened.read(777), b"")) == content


def test_each_outcome_of_a_record_counts_once(tmp_path):
    (tmp_path / "x.jsonl").write_text('["a", "b"]\nnonsense\n["alone"]\n')
    outcomes = list(read_records(str(tmp_path / "x.jsonl"), row(), "made"))
    assert outcomes == [
        Read("made"),
        Pair("made", "a", "b"),
        Read("made"),
        Drop("made", "read", "not_json"),
        Read("made"),
        Drop("made", "pair", "not_two"),
    ]


def test_a_gzip_cut_short_is_a_bad_file_after_its_good_records(tmp_path):
    lines = b"".join(b'["anchor %d", "positive %d"]\n' % (n, n) for n in range(20_000))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines)[:-2000])
    *before, last = read_records(str(tmp_path / "cut.jsonl.gz"), row(), "made")
    assert isinstance(last, BadFile) and "cut.jsonl.gz" in last.message
    assert any(isinstance(outcome, Pair) for outcome in before)


def test_aligned_files_are_found_side_by_side_or_refused(tmp_path):
    for name in ("1.en", "2.en", "1.de", "2.de", "3.de"):
        (tmp_path / name).write_text("x\n")
    source = row(read=aligned_lines, aligned=2)
    found = source.find_inputs((f"{tmp_path}/[12].en", f"{tmp_path}/[12].de"))
    assert [file.path.split("\0") for file in found] == [[f"{tmp_path}/{n}.en", f"{tmp_path}/{n}.de"] for n in (1, 2)]
    for inputs in ((f"{tmp_path}/*.en",), (f"{tmp_path}/*.en", f"{tmp_path}/*.de")):
        with pytest.raises(FileNotFoundError, match="reads 2 files side by side"):
            source.find_inputs(inputs)


def test_aligned_files_of_other_lengths_are_a_bad_file_that_names_both(tmp_path):
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("1\n")
    *_, last = read_records(f"{tmp_path}/a\0{tmp_path}/b", row(read=aligned_lines, aligned=2), "made")
    assert isinstance(last, BadFile) and f"{tmp_path}/a + {tmp_path}/b" in last.message


def cut_archive(folder: Path, name: str) -> Path:
    """An archive of one large member, cut in the middle of it or with a byte of it changed."""
    (folder / "x.jsonl").write_bytes(b'["a", "b"]\n' * 40_000)
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(folder / "x.jsonl", "x.jsonl")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(folder / "x.jsonl", "x.jsonl")
        path.write_bytes(path.read_bytes()[:200_000])
    return path


@pytest.mark.parametrize("name", ["cut.tar", "damaged.zip"])
def test_an_archive_damaged_inside_a_member_is_a_bad_file(name, tmp_path):
    *_, last = read_records(str(cut_archive(tmp_path, name)), row(), "made")
    assert isinstance(last, BadFile) and name in last.message and "\n" not in last.message


def test_archives_can_be_read_side_by_side(tmp_path):
    for name, lines in (("1.zip", "a\nb\n"), ("2.zip", "x\ny\n")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("lines.txt", lines)
    source = row(read=aligned_lines, aligned=2, pairs=lambda record, dataset, _: iter([Pair(dataset, *record)]))
    outcomes = list(read_records(f"{tmp_path}/1.zip\0{tmp_path}/2.zip", source, "made"))
    assert [o for o in outcomes if isinstance(o, Pair)] == [Pair("made", "a", "x"), Pair("made", "b", "y")]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file():
    rows = Delimited(",", quoted=True, header=True)(stream(b'q,a\ngood,row\n"lost,quote\nmore,rows\n'))
    assert next(rows) == {"q": "good", "a": "row"}
    with pytest.raises(EOFError, match="never closed"):
        next(rows)


def test_blank_lines_of_a_table_are_no_rows():
    assert list(Delimited(",", quoted=True, header=True)(stream(b"q,a\n1,2\n\n\r\n"))) == [{"q": "1", "a": "2"}]


def test_a_document_that_is_not_utf8_is_a_bad_file(tmp_path):
    (tmp_path / "x.json").write_bytes(b'{"step \xff": "goal"}')
    *_, last = read_records(str(tmp_path / "x.json"), row(read=JsonMembers(), pairs=two_texts), "made")
    assert isinstance(last, BadFile) and "x.json" in last.message


def test_xml_wrappers_are_let_go_with_what_they_wrap():
    rows = 20_000  # kept wrappers would be over a megabyte
    content = stream(b"<all>" + b"<wrap>\n<row/>\n</wrap>\n" * rows + b"</all>")
    held = []
    tracemalloc.start()
    for number, _ in enumerate(XmlElements("row")(content), start=1):
        if number in (1000, rows):  # while the document is still open
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    early, late = held
    assert late < early + 200_000


def test_a_line_without_end_is_a_bad_file(monkeypatch):
    monkeypatch.setattr("pipelines.sources.records.MAX_LINE_BYTES", 1000)
    with pytest.raises(EOFError, match="line of over 1,000 bytes"):
        list(text_lines(stream(b"short\n" + b"x" * 5000)))
