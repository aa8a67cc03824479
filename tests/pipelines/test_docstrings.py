import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import BadFile, Drop, Read
from pipelines.sources.docstrings import (
    Docstrings,
    Function,
    documented_functions,
    read_docstrings,
    split_summary,
)
from schemas.pair import Pair


def functions(source: str) -> list[Function]:
    return list(documented_functions(textwrap.dedent(source).encode()))


def only(source: str) -> Function:
    (found,) = functions(source)
    return found


def test_a_function_gives_summary_rest_and_code_without_docstring():
    found = only('''
        def add(a, b):
            """Add two numbers. They may be of any kind.

            Strings too.
            """
            # a comment stays
            return a + b
    ''')
    assert found == Function(
        "Add two numbers.",
        "They may be of any kind.\n\nStrings too.",
        "def add(a, b):\n    # a comment stays\n    return a + b",
    )


def test_decorators_belong_to_the_code():
    found = only('''
        @first
        @second(1,
                2)
        def f():
            """What it does."""
            return 1
    ''')
    assert found.code == "@first\n@second(1,\n        2)\ndef f():\n    return 1"


def test_async_functions_count():
    found = only('async def f():\n    """Wait for it."""\n    await g()\n')
    assert found == Function("Wait for it.", "", "async def f():\n    await g()")


def test_methods_are_dedented_and_classes_are_no_functions():
    found = only('''
        class A:
            """A class."""

            def f(self):
                """A method."""
                if self:
                    return 1
    ''')
    assert found == Function("A method.", "", "def f(self):\n    if self:\n        return 1")


def test_nested_functions_count_wherever_they_stand():
    found = functions('''
        def outer():
            """Outer."""
            def inner():
                """Inner."""
                return 1
            return inner

        if True:
            def in_if():
                """In if."""
                pass
        else:
            def in_else():
                """In else."""
                pass
        try:
            def in_try():
                """In try."""
                pass
        except ValueError:
            def in_except():
                """In except."""
                pass
        finally:
            def in_finally():
                """In finally."""
                pass
        with x:
            for y in z:
                def in_loop():
                    """In loop."""
                    pass
        match x:
            case 1:
                def in_case():
                    """In case."""
                    pass
    ''')
    assert sorted(function.summary for function in found) == sorted(
        [
            "Outer.",
            "Inner.",
            "In if.",
            "In else.",
            "In try.",
            "In except.",
            "In finally.",
            "In loop.",
            "In case.",
        ]
    )
    assert 'def inner():\n        """Inner."""' in next(f.code for f in found if f.summary == "Outer.")


@pytest.mark.parametrize(
    "source",
    [
        'def f(): "A one-liner."; return 1\n',
        'def f(): "A one-liner."\n',
        'def f():\n    "A one-liner."; return 1\n',
        'def f(a,\n      b): "A one-liner."; return 1\n',
        'def f():\n    """A one-liner."""\n',
    ],
)
def test_where_no_code_is_left_there_is_none(source):
    assert only(source) == Function("A one-liner.", "", "")


def test_a_docstring_in_brackets_goes_whole():
    found = only('def f():\n    (\n        "In "\n        "brackets."\n    )\n    return 1\n')
    assert found == Function("In brackets.", "", "def f():\n    return 1")


@pytest.mark.parametrize("docstring", ['""', '"""   """', '"\\n\\n"', 'b"bytes"', 'f"formatted"', "1", "..."])
def test_what_is_no_docstring_gives_nothing(docstring):
    assert functions(f"def f():\n    {docstring}\n    return 1\n") == []


@pytest.mark.parametrize(
    ("docstring", "summary", "rest"),
    [
        ("One sentence.", "One sentence.", ""),
        ("No full stop", "No full stop", ""),
        ("One. Two.", "One.", "Two."),
        ("Is it? Yes.", "Is it?", "Yes."),
        ("Use it, e.g. `like this`. Then stop.", "Use it, e.g. `like this`.", "Then stop."),
        ("That is, i.e. This one. Second.", "That is, i.e. This one.", "Second."),
        ("Apples, pears etc. Are fruit. Second.", "Apples, pears etc. Are fruit.", "Second."),
        ("A vs. B. Second.", "A vs. B.", "Second."),
        ("Compare cf. Smith. Second.", "Compare cf. Smith.", "Second."),
        ("Version 1.2 of it. Second.", "Version 1.2 of it.", "Second."),
        ("ends. with a small letter. Second.", "ends. with a small letter.", "Second."),
        ("Over two\nlines. Second.", "Over two lines.", "Second."),
        ("A title\n\nThen a paragraph. More.", "A title", "Then a paragraph. More."),
        ("One. Two.\n\nThree.", "One.", "Two.\n\nThree."),
        ("Ends.\n\n\n\nFar below.", "Ends.", "Far below."),
    ],
)
def test_the_summary_is_the_first_sentence(docstring, summary, rest):
    assert split_summary(docstring) == (summary, rest)


@given(st.text("ab .!\nAB`", max_size=60))
def test_splitting_loses_nothing_but_white_space(docstring):
    summary, rest = split_summary(docstring.strip())
    assert "".join((summary + rest).split()) == "".join(docstring.split())


BODY = 'def f():\n    """Größe ändern."""\n    return "ü"\n'


@pytest.mark.parametrize(
    "source",
    [
        BODY.encode(),
        b"\xef\xbb\xbf" + BODY.encode(),
        b"# -*- coding: latin-1 -*-\n" + BODY.encode("latin-1"),
        BODY.replace("\n", "\r\n").encode(),
        BODY.replace("\n", "\r").encode(),
    ],
    ids=["utf-8", "bom", "latin-1", "crlf", "cr"],
)
def test_encodings_and_line_ends_are_those_python_takes(source):
    assert list(documented_functions(source)) == [Function("Größe ändern.", "", 'def f():\n    return "ü"')]


def test_a_form_feed_between_functions_moves_no_line():
    source = 'x = """\n\x0c\n"""\n\x0c\ndef f():\n    """Turn the page."""\n    return 1\n'
    assert only(source).code == "def f():\n    return 1"


def write(root, name, content) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return f"{root}\0{path}"


def test_a_module_s_pairs_share_its_name_as_group(tmp_path):
    source = 'def f():\n    """Summary here. And the rest."""\n    return 1\n'
    for name, module in {"pkg/sub/mod.py": "pkg.sub.mod", "pkg/__init__.py": "pkg", "top.py": "top"}.items():
        found = list(read_docstrings(write(tmp_path, name, source), "code", "body"))
        assert found == [
            Read("code"),
            Pair("code", "Summary here.", "def f():\n    return 1", group=module),
            Read("body"),
            Pair("body", "Summary here.", "And the rest.", group=module),
        ]


def test_what_a_function_lacks_is_counted(tmp_path):
    located = write(tmp_path, "m.py", 'def f():\n    """Docstring alone."""\n')
    assert list(read_docstrings(located, "code", "body")) == [
        Read("code"),
        Drop("code", "pair", "no_code"),
        Read("body"),
        Drop("body", "pair", "no_more_docstring"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n",
        "def f():\n\treturn 1\n        return 2\n",
        b"def f():\n    '\xff'\n",
        "# coding: klingon\ndef f(): pass\n",
        b"def f(): pass\n\x00",
        "def f():\n    return " + "-" * 100_000 + "1\n",
        "def f():\n    return " + "(" * 1000 + ")" * 1000 + "\n",
        "def f():\n    return a" + ".b" * 100_000 + "\n",
        "print 'def python two'\n",
    ],
    ids=["syntax", "tabs", "bytes", "coding", "null", "signs", "brackets", "dots", "python2"],
)
def test_a_file_that_is_not_python_is_one_bad_record(tmp_path, source):
    found = list(read_docstrings(write(tmp_path, "m.py", source), "code", "body"))
    assert found == [outcome for name in ("code", "body") for outcome in (Read(name), Drop(name, "read", "not_python"))]


def test_a_file_without_functions_is_no_record(tmp_path):
    assert list(read_docstrings(write(tmp_path, "m.py", "x = 1\n"), "code", "body")) == []


def test_a_file_that_cannot_be_opened_is_a_bad_file(tmp_path):
    (found,) = read_docstrings(f"{tmp_path}\0{tmp_path}/gone.py", "code", "body")
    assert isinstance(found, BadFile) and "gone.py: cannot be read" in found.message


def test_tests_and_vendored_copies_are_left_out(tmp_path):
    kept = ["pkg/a.py", "pkg/contest.py", "pkg/testing/b.py", "z.py"]
    left_out = [
        "pkg/_vendor/c.py",
        "pkg/tests/d.py",
        "test/e.py",
        "pkg/test_f.py",
        "pkg/g_test.py",
        "pkg/h.txt",
        "i.pyc",
    ]
    for name in [*kept, *left_out, "pkg/__pycache__/j.py"]:
        write(tmp_path, name, "x = 1\n")
    found = [file.path.split("\0")[1] for file in Docstrings().find_inputs((str(tmp_path),))]
    assert found == [str(tmp_path / name) for name in kept]


def test_a_folder_that_is_not_there_or_has_no_python_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*gone"):
        Docstrings().find_inputs((str(tmp_path / "gone"),))
    with pytest.raises(FileNotFoundError, match="no Python file in"):
        Docstrings().find_inputs((str(tmp_path),))
