import ast
import gzip
import io
import lzma
import re
from collections import Counter
from typing import Any

import orjson
import pytest

from pipelines.preprocess import JobError
from pipelines.sources.base import RecordOptions
from pipelines.sources.code import (
    ROWS,
    codenn_pairs,
    codesearchnet_pairs,
    docstring_corpus_pairs,
    package_pairs,
    restore_code,
    restore_docstring,
    rfc822_stanzas,
)
from pipelines.sources.records import BadRecord
from schemas.pair import Pair
from tests.pipelines.source_rows import read_row, run_row

ROW = {row.info.name: row for row in ROWS}
OPTIONS = RecordOptions()


def only(outcomes) -> Any:
    (outcome,) = outcomes
    return outcome


def read_gzip(path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


# CodeSearchNet

FUNCTION = {
    "repo": "someone/project",
    "path": "a/b.py",
    "func_name": "add",
    "language": "python",
    "url": "https://github.com/someone/project/blob/0/a/b.py#L1-L2",
    "docstring": "Adds two numbers.\n",
    "code": "def add(a, b):\n    return a + b\n",
}
HUB_NAMES = {
    "repo": "repository_name",
    "path": "func_path_in_repository",
    "docstring": "func_documentation_string",
    "code": "func_code_string",
}


@pytest.mark.parametrize("names", [{}, HUB_NAMES])
def test_functions_are_read_under_either_set_of_field_names(names):
    function = {names.get(field, field): value for field, value in FUNCTION.items()}
    assert only(codesearchnet_pairs(function, "d", OPTIONS)) == Pair(
        "d", "Adds two numbers.", "def add(a, b):\n    return a + b", group="github.com/someone/project"
    )


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ({**FUNCTION, "docstring": None}, "missing_field"),
        ({**FUNCTION, "code": ["def"]}, "missing_field"),
        ({"code": "x"}, "missing_field"),
        ([], "not_an_object"),
        (None, "not_an_object"),
        (1.5, "not_an_object"),
    ],
)
def test_a_malformed_function_has_a_reason(function, reason):
    assert only(codesearchnet_pairs(function, "d", OPTIONS)) == reason


@pytest.mark.parametrize("repository", [None, "", 3, []])
def test_a_function_of_no_repository_is_grouped_by_its_docstring(repository):
    assert only(codesearchnet_pairs({**FUNCTION, "repo": repository}, "d", OPTIONS)).group == ""


def test_a_file_of_functions_with_bad_lines_becomes_a_dataset(tmp_path):
    lines = [orjson.dumps(FUNCTION), b"{", b"\xff", b"", orjson.dumps({**FUNCTION, "code": None})]
    (tmp_path / "python_train_0.jsonl.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\r\n".join(lines)))
    manifest, pairs = run_row(ROW["codesearchnet"], tmp_path / "out", tmp_path / "*.jsonl.gz")
    assert (manifest.parts[0].read, len(pairs)) == (4, 1)
    read, pair = manifest.parts[0].funnel[:2]
    assert (read.drops, pair.drops) == ({"not_json": 1, "not_utf8": 1}, {"missing_field": 1})


# The corpus of Python functions and docstrings


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("def f(x): DCNL  DCSP return x", "def f(x):\n    return x"),
        (
            "@w DCNL def f(x): DCNL  DCSP if x: DCNL DCSP  DCSP return 1 DCNL DCSP return 0",
            "@w\ndef f(x):\n    if x:\n        return 1\n    return 0",
        ),
        ("def f(): DCNL  DCSP print 'an DCSP error DCSP in'", "def f():\n    print 'an error in'"),
        ("def f(): DCNL  DCSP pass DCNL", "def f():\n    pass"),
        ("", ""),
    ],
)
def test_marks_of_a_function_become_lines_and_indents(line, code):
    assert restore_code(line) == code


@pytest.mark.parametrize(
    ("line", "docstring"),
    [
        ("'Say it. DCNL And more.'", "Say it.\nAnd more."),
        (r"'It\'s x.'", "It's x."),
        ('"It\'s x."', "It's x."),
        (r"'a\nb'", "a\nb"),
        (r"'caf\xc3\xa9'", "café"),
        ("'café'", "café"),
        ("Without quotes DCNL at all", "Without quotes\nat all"),
        (r"'caf\xe9'", None),
        ("'It's x.'", None),
        ("'a' % f()", None),
        ("'a', 'b'", None),
        ("'" * 3, None),
    ],
)
def test_a_quoted_docstring_is_unquoted_or_refused(line, docstring):
    assert restore_docstring(line) == docstring


def test_a_docstring_that_is_no_literal_is_counted():
    assert only(docstring_corpus_pairs(("def f(): DCNL  DCSP pass", "'It's'"), "d", OPTIONS)) == "not_a_literal"


def test_the_real_functions_are_restored_with_their_docstrings(shared_data, tmp_path):
    paths = [shared_data / f"code_docstring/parallel_{side}.valid.gz" for side in ("declbodies", "desc")]
    functions, docstrings = map(read_gzip, paths)
    pairs, reasons = read_row(ROW["code_docstring"], *paths)
    assert (len(functions), len(docstrings), len(pairs), reasons) == (3_618, 3_618, 3_618, {})
    parsed = Counter()
    for pair, function, docstring in zip(pairs, functions, docstrings, strict=True):
        assert pair.positive.count("\n") == function.count("DCNL")
        assert re.findall(r"\w+", re.sub("DCNL|DCSP", " ", function)) == re.findall(r"\w+", pair.positive)
        words = re.sub(r"\bDCNL\b|\bDCSP\b", " ", re.sub(r"\\[nrt]", " ", docstring[1:-1]).replace("\\'", "'"))
        assert words.split() == pair.anchor.split()
        try:
            ast.parse(pair.positive)
            parsed["good"] += 1
        except SyntaxError as error:
            parsed[type(error).__name__] += 1
    # What is left is Python 2; a wrong indent would be an IndentationError.
    assert parsed == {"good": 3_588, "SyntaxError": 30}
    manifest, written = run_row(ROW["code_docstring"], tmp_path / "out", *paths)
    folded = {(" ".join(p.anchor.casefold().split()), " ".join(p.positive.casefold().split())) for p in pairs}
    assert (manifest.parts[0].read, len(written)) == (3_618, len(folded))


# CodeNN


def test_a_title_goes_with_its_code_and_their_question():
    assert only(codenn_pairs("12\t7\thow to print?\tfor x in y:\\n  print x \t0\r", "d", OPTIONS)) == Pair(
        "d", "how to print?", "for x in y:\n  print x", group="stackoverflow.com/7"
    )


@pytest.mark.parametrize("line", ["", "12\t7\ttitle\tcode", "12\t7\ttitle\tcode\twith a tab\t0"])
def test_a_codenn_line_of_another_width_is_counted(line):
    assert only(codenn_pairs(line, "d", OPTIONS)) == "wrong_number_of_columns"


@pytest.mark.parametrize(("language", "lines"), [("python", 2_792), ("sql", 3_326)])
def test_each_real_codenn_line_is_a_pair(language, lines, shared_data):
    path = shared_data / f"codenn/{language}.valid.txt.gz"
    rows = [line.split("\t") for line in read_gzip(path)]
    pairs, reasons = read_row(ROW["codenn"], path)
    assert (len(rows), reasons) == (lines, {})
    assert [(pair.anchor, pair.positive, pair.group) for pair in pairs] == [
        (row[2].strip(), row[3].replace(r"\n", "\n").strip(), f"stackoverflow.com/{row[1]}") for row in rows
    ]


# Debian

STANZAS = """\
Package: fish
Description-md5: 0
Description-en: keeps a fish
 A program that keeps
 a fish.
 .
 Features:
  * water

Package: bare
Description-en: nothing more

Package: other
Description: another fish
 It swims.
"""


def test_a_stanza_s_first_line_goes_with_its_long_description():
    pairs = [only(package_pairs(stanza, "d", OPTIONS)) for stanza in rfc822_stanzas(io.BytesIO(STANZAS.encode()))]
    assert pairs == [
        Pair("d", "keeps a fish", "A program that keeps\na fish.\n\nFeatures:\n * water", group="debian/fish"),
        "no_long_description",
        Pair("d", "another fish", "It swims.", group="debian/other"),
    ]


def test_stanzas_are_the_same_with_crlf_and_a_byte_order_mark():
    plain = list(rfc822_stanzas(io.BytesIO(STANZAS.encode())))
    marked = b"\xef\xbb\xbf" + STANZAS.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    assert list(rfc822_stanzas(io.BytesIO(marked))) == plain


def test_a_bad_stanza_costs_only_itself():
    content = b" begins indented\n\nPackage: a\nno colon\n\nPackage: \xff\nX: y\n\nPackage: b\n"
    assert list(rfc822_stanzas(io.BytesIO(content))) == [
        BadRecord("not_a_field"),
        BadRecord("not_a_field"),
        BadRecord("not_utf8"),
        {"package": ["b"]},
    ]
    assert only(package_pairs({"package": ["b"]}, "d", OPTIONS)) == "missing_field"
    assert only(package_pairs({"description-md5": ["0"], "package": ["b"]}, "d", OPTIONS)) == "missing_field"


def test_the_real_descriptions_give_a_pair_for_each_package_that_has_a_long_one(shared_data):
    path = shared_data / "debian_ddtp/Translation-en.xz"
    stanzas = [stanza for stanza in lzma.decompress(path.read_bytes()).decode().split("\n\n") if stanza.strip()]
    expected = []
    for stanza in stanzas:
        head, _, body = stanza.strip("\n").partition("\nDescription-en: ")
        short, _, long = body.partition("\n")
        if long:
            long = re.sub(r"(?m)^ \.[ \t]*$", "", long)
            expected.append((re.findall(r"^Package: (.*)", head)[0], short.split(), long.split()))
    pairs, reasons = read_row(ROW["debian"], path)
    assert (len(stanzas), reasons) == (63_956, {"no_long_description": len(stanzas) - len(expected)})
    for pair, (package, short, long) in zip(pairs, expected, strict=True):
        assert (pair.group, pair.anchor.split()) == (f"debian/{package}", short)
        assert pair.positive.split() == long


# What holds for every row


@pytest.mark.parametrize("name", ROW)
def test_an_empty_or_cut_file_never_becomes_a_dataset(name, tmp_path):
    row = ROW[name]
    whole = gzip.compress("".join(f"{letter} line {n}\n" for n in range(99) for letter in "ab").encode())
    for content, message in (
        (gzip.compress(b""), "no record was read"),
        (whole[:-9], "fetch it again"),
    ):
        paths = [tmp_path / f"{len(content)}-{side}.gz" for side in range(row.aligned)]
        for path in paths:
            path.write_bytes(content)
        with pytest.raises(JobError, match=message):
            run_row(row, tmp_path / "out", *paths)
