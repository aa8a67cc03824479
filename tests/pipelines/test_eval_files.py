"""Evaluation files: each form is recognised and read, all of it; what is no form of them is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from pipelines.eval_files import read_texts

FORMS = {
    "sts-b.csv": ('genre\tfile\t2012\t0001\t5.000\tOne "man\tTwo, men\tsource\n' * 2, ['One "man', "Two, men"] * 2),
    "sts-b.tsv": ("g\tf\ty\t1\t0.25\tOne man.\tTwo men.\n", ["One man.", "Two men."]),
    "sick.txt": ("pair_ID\tsentence_A\tsentence_B\tscore\n1\tOne man\tTwo men\t4.5\n", ["One man", "Two men"]),
    "glue.tsv": ('index\tsentence1\tsentence2\tscore\r\n0\tA "b\tc\t5\r\n', ['A "b', "c"]),
    "faq.csv": ('text,category\n"Hello, ""you""\nthere",x\nBye,y\n', ['Hello, "you"\nthere', "Bye"]),
    "one.tsv": ("sentence\nHello, you\n\nBye\n", ["Hello, you", "Bye"]),
    "input.txt": ("One man\tTwo men\nThree\tFour\n", ["One man", "Two men", "Three", "Four"]),
    "plain.txt": ("\ufeffOne man\n\nTwo, men\n", ["One man", "Two, men"]),
    "rows.jsonl": (
        '{"query": "One", "positive": ["Two", "Three"], "id": "x"}\n\n{"Sentence_A": "Four", "text": null}\n',
        ["One", "Two", "Three", "Four"],
    ),
    "array.json": (
        '\ufeff\n[{"text": "One",\n "id": 7}, {"sentence1": "Two", "sentence2": ["Three",\n'
        '"Four \\ud83d\\ude42"], "score": 4.5}]\n',
        ["One", "Two", "Three", "Four 🙂"],
    ),
    "queries.xml": (
        "<xml>\n<top>\n<num> 1</num>\n<title>\none &amp; two\n</title>\n</top>\n"
        "<top><num>2<title> three\n\n<desc> Four\n</top>\n</xml>",
        ["one & two", "three", "Four"],
    ),
    "documents.xml": (
        "<doc>\n<docno>1</docno><title>no</title>\n<text>one\n<p>two</p></text></doc>\n<DOC><TEXT>three</TEXT></DOC>\n",
        ["one two", "three"],
    ),
    "semeval.xml": (
        "<!DOCTYPE xml [\n<!ELEMENT OrgQuestion (OrgQSubject)>\n]>\n<xml>\n"
        '<OrgQuestion ORGQ_ID="Q1"><OrgQSubject>One</OrgQSubject>\n<OrgQBody>Two</OrgQBody>\n<Thread>'
        '<RelQuestion RELQ_ID="r"><RelQBody>Three</RelQBody></RelQuestion></Thread></OrgQuestion>\n</xml>\n',
        ["One", "Two", "Three"],
    ),
    "cisi.QRY": (".I 1\n.W\nOne\ntwo\n.I 2\n.T\nThree\n.A\nNobody\n", ["One two", "Three"]),
    "cisi.ALL": (".X\n.I 1\n.T\nTitle\n.W\nOne\n.X\n1\t2\t3\n", ["One"]),
    "smart.txt": (".I 1\n.W\nOne\n", ["One"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_recognised_and_read(tmp_path: Path, name: str) -> None:
    content, expected = FORMS[name]
    (tmp_path / name).write_bytes(content.encode())
    texts = [text for text in read_texts(str(tmp_path / name)) if text.strip()]
    assert list(map(" ".join, map(str.split, texts))) == list(map(" ".join, map(str.split, expected)))


@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_evaluation_files_may_be_compressed(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / f"sick.txt{ending}").write_bytes(compress(FORMS["sick.txt"][0].encode()))
    assert list(read_texts(str(tmp_path / f"sick.txt{ending}"))) == FORMS["sick.txt"][1]


UNKNOWN = {
    "notes.md": ("Some text\n", "not a form of evaluation texts"),
    "notes.zip": ("PK", "not a form of evaluation texts"),
    "jobs.tsv": ("occupation\tshare\nnurse\t0.9\n", r"begins with 'occupation\\tshare'; expected"),
    "rows.csv": ("a man,two men\n", "begins with 'a man,two men'; expected"),
    "qrels.txt": ("1 0 184 1\n", "begins with '1 0 184 1'; expected"),
    "tabs.txt": ("one\ttwo\tthree\n", "begins with"),
    "rows.txt": ('{"text": "one"}\n', "rename it to what it is"),
    "array.jsonl": ('[{"text": "one"}]\n', "line 1 is no JSON object; expected one a line"),
    "texts.json": ('[{"text": "one"},\n "two"]\n', "item 2 is no JSON object; expected an array of them"),
    "lists.json": ('["one", "two"]\n["three", "four"]\n', "item 1 is no JSON object"),
    "fields.json": ('[{"text": "one"}, {"label": 3}]\n', "item 2 has the fields label; expected"),
    "cut.json": ('[{"text": "one"}, {"tex', "no JSON array to its end"),
    "two.json": ('[{"text": "one"}]\n[{"text": "two"}]\n', "no JSON array to its end"),
    "rows.jsonl": ('{"text": "one"}\n{"label": 3}\n', "line 2 has the fields label; expected"),
    "types.jsonl": ('{"text": 3}\n', "line 1 has the fields text; expected"),
    "short.tsv": ("id\tsentence1\tsentence2\n1\tone\n", "row 2 has 2 columns; expected 3"),
    "page.xml": ("<html>\n<p>one</p></html>\n", "XML without <top>, <doc> or <OrgQuestion>"),
    "cran.qry": ("one\n", r"no line '\.I 1'"),
    "wide.txt": ("o\0n\0e\0", "zero bytes"),
    "cut.txt.gz": ("not gzip", "not a gzip file"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_recognised_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, message = UNKNOWN[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        list(read_texts(str(tmp_path / name)))
    assert name in str(caught.value) and "\n" not in str(caught.value)
