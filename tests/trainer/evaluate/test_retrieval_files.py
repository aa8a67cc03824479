"""Collections in each published format."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.evaluate.retrieval import read_retrieval
from trainer.evaluate.retrieval_files import Collection, read_collection

Write = Callable[[Path], None]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


# Each: documents 1 "Tides The sea." and 2 "Iron & rust", queries "why does it rust" → 2 and "moon" → 1.
FORMATS: dict[str, dict[str, str]] = {
    "beir": {
        "corpus.jsonl": '{"_id": "1", "title": "Tides", "text": "The sea."}\n{"_id": "2", "text": "Iron & rust"}\n',
        "queries.jsonl": '{"_id": "q1", "text": "why does it rust"}\n{"_id": "q2", "text": "moon"}\n',
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\t2\t1\nq2\t1\t1\nq2\t2\t0\n",
        "qrels/train.tsv": "query-id\tcorpus-id\tscore\nq1\t1\t1\n",
    },
    "beir, BOM, CRLF": {
        "corpus.jsonl": '\ufeff{"_id": "1", "title": "Tides", "text": "The sea."}\r\n'
        '{"_id": "2", "text": "Iron & rust"}',
        "queries.jsonl": '\ufeff{"_id": "q1", "text": "why does it rust"}\r\n\r\n{"_id": "q2", "text": "moon"}\r\n',
        "qrels/test.tsv": "\ufeffquery-id\tcorpus-id\tscore\r\nq1\t2\t1\r\nq2\t1\t1\r\nq2\t2\t0\r\n",
    },
    "msmarco": {
        "collection.tsv": "1\tTides\tThe sea.\n2\tIron & rust\n",
        "queries.dev.small.tsv.gz": "77\twhy does it rust\n78\tmoon\n",
        "qrels.dev.small.tsv": "77\t0\t2\t1\n78\t0\t1\t1\n78\t0\t2\t0\n",
    },
    "trec": {
        "docs.sgml": "<DOC>\n<DOCNO> 1 </DOCNO>\n<HEADLINE>Tides</HEADLINE>\n<TEXT><P>The\nsea.</P></TEXT>\n</DOC>\n"
        "<DOC>\n<DOCNO> 2 </DOCNO>\n<TEXT>Iron &amp; rust</TEXT>\n</DOC>\n",
        "topics.301-302": "<top>\n<num> Number: 301\n<title> Topic: why does it rust\n"
        "<desc> Description:\nLonger.\n</top>\n"
        "<top>\n<num> Number: 302\n<title> moon\n\n<desc> Description:\nLonger.\n</top>\n",
        "qrels.txt": "301 0 2 1\n302 0 1 1\n302 0 2 0\n",
    },
    "cranfield": {  # titles begin the texts, and judgements count the queries, whose ids have gaps
        "cran.all.xml": "<doc>\n<docno>1</docno>\n<title>Tides</title>\n<text>Tides\nThe sea.</text>\n</doc>\n"
        "<doc><docno>2</docno><title></title><text>Iron &amp; rust</text></doc>\n",
        "cran.qry.xml": "<xml>\r\n<top>\r\n<num> 4</num>\r\n<title>\r\nwhy does\r\nit rust\r\n</title>\r\n</top>\r\n"
        "<top><num> 9</num><title>moon</title></top></xml>",
        "cranqrel.trec.txt": "1 0 2 1\r\n2 0 1 1\r\n2 0 2 0",
    },
    "smart": {
        "CISI.ALL": ".X\n.I 1\n.T\nTides\n.A\nBrook\n.W\nThe\nsea.\n.X\n1 2 3\n.I 2\n.T\nIron & rust\n.W\n",
        "CISI.QRY": ".I 1\n.W\nwhy does it\nrust\n.I 2\n.T\nA title\n.A\nLake\n.W\nmoon\n",
        "CISI.REL": "     1      2\t0\t0.000000\n     2      1\t0\t0.000000\n",
    },
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_collection(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sea"
    write(folder, FORMATS[name])
    found = read_collection(folder)
    judged = ({1: 1}, {0: 1}) if name == "smart" else ({1: 1}, {0: 1, 1: 0})
    assert found == Collection("sea", ("why does it rust", "moon"), ("Tides The sea.", "Iron & rust"), judged)


def test_missing_documents_are_counted_and_cannot_be_found_and_missing_queries_are_left_out(tmp_path: Path) -> None:
    files = FORMATS["beir"] | {"qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\t2\t1\nq1\tgone\t1\nq9\t1\t1\n"}
    write(tmp_path, files)
    [task] = read_retrieval(tmp_path)
    assert task.collection.relevant == ({1: 1, -1: 1},)
    assert task.size == {"queries": 1, "candidates": 2, "missing": 2}


def test_a_query_that_is_a_document_is_left_out_of_its_own_ranking(tmp_path: Path) -> None:
    files = FORMATS["beir"] | {"queries.jsonl": '{"_id": "1", "text": "The sea."}\n{"_id": "q2", "text": "moon"}\n'}
    write(tmp_path, files | {"qrels/test.tsv": "query-id\tcorpus-id\tscore\n1\t2\t1\nq2\t1\t1\n"})
    assert read_collection(tmp_path).same == (0, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"corpus.jsonl": None}, "files of documents: none; expected one"),
        ({"qrels/test.tsv": None, "qrels/train.tsv": None}, "files of judgements: none; expected one"),
        ({"qrels/test.tsv": None, "qrels/dev.tsv": "q1\t2\t1\n"}, "judgements: dev.tsv, train.tsv; expected one"),
        ({"qrels/test.tsv": "q1\t2\thigh\n"}, "line 1 is 'q1\\\\t2\\\\thigh'; expected query, 0, document, grade"),
        ({"qrels/test.tsv": "x\t2\t1\n"}, "no judgement joins a query and a document"),
        ({"qrels/test.tsv": "q1\t2\t0\n"}, "no judgement joins a query and a document"),
        ({"corpus.jsonl": '{"_id": "1"}\n'}, "line 1 lacks _id or text"),
        ({"queries.jsonl": '{"_id": "1", "text": \n'}, "line 1 is not JSON"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, changes: dict[str, str | None], says: str) -> None:
    files = FORMATS["beir"] | changes
    write(tmp_path, {name: text for name, text in files.items() if text is not None})
    with pytest.raises(ValueError, match=says) as raised:
        read_collection(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("cranfield", {"queries": 225, "candidates": 1400}), ("cisi", {"queries": 76, "candidates": 1460})],
)
def test_real_collections_are_whole(shared_data: Path, name: str, sizes: dict[str, int]) -> None:
    [task] = read_retrieval(shared_data / "eval" / name)
    assert task.size == sizes
    assert sum(not text for text in task.collection.documents) <= 2  # Cranfield has two without a text
