"""docs/training.md says what a run can be; its table of fields is made of the config's docstrings.

`python -m tests.test_docs_training` writes the table into the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pairstream.arguments import change_fields
from pairstream.config_fields import config_fields, fields_help
from pairstream.run_page import FIGURES
from trainer.config import TrainConfig
from trainer.run_folder import FREE_TO_CHANGE

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "training.md"
TABLE = re.compile(r"^\| field \| default \| what it is \|\n(?:\|.*\n)+", re.MULTILINE)


def table_of_fields() -> str:
    lines = ["| field | default | what it is |", "| --- | --- | --- |"]
    for name, default, says in config_fields():
        shown = "none: name one" if default is None else f"`{default}`" if default else "empty"
        lines.append(f"| `{name}` | {shown} | {says} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_fields_is_that_of_the_config() -> None:
    (table,) = TABLE.findall(PATH.read_text())
    assert table == table_of_fields(), "python -m tests.test_docs_training writes it anew"


def test_every_default_of_the_table_is_one_that_set_reads() -> None:
    bare = TrainConfig(name="a", encoder="b", mixture="c", data="d")
    changes = [(name, default) for name, default, _ in config_fields() if default is not None]
    other = TrainConfig(name="a", encoder="b", mixture="c", data="d", steps=7, corpus=("csv",), dropout=0.5)
    assert change_fields(other, changes) == bare and len(changes) > 50


def test_the_help_lists_every_field_with_what_it_is() -> None:
    said = " ".join(fields_help().split())
    for name, default, says in config_fields():
        assert f"{name}={default or ''}" in said and " ".join(says.split()[:3]).rstrip(".") in said


def test_the_help_of_train_ends_with_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    from pairstream.cli import main

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert capsys.readouterr().out.endswith(fields_help() + "\n")


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"], ids=lambda path: path.name)
def test_what_the_pages_set_are_fields(page: Path) -> None:
    named = re.findall(r"--set '?([a-z_.0-9]+)=", page.read_text())
    assert set(named) <= {field.name for field in config_fields()}


def test_the_python_file_of_the_page_is_a_run(tmp_path: Path) -> None:
    from pairstream.load_run import load_run

    (code,) = re.findall(r"```python\n(.*?)```", PATH.read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    assert load_run(str(tmp_path / "mine.py")).name == "mine"


def test_every_curve_of_the_summary_is_a_key_that_the_page_explains() -> None:
    (table,) = re.findall(r"^\| key \| unit \|.*\n((?:\|.*\n)+)", PATH.read_text(), re.MULTILINE)
    keys = set(re.findall(r"`(\w+)`", table))
    assert {name for _, names, _ in FIGURES for name in names} <= keys


def test_what_may_change_when_a_run_goes_on_is_on_the_page() -> None:
    (said,) = re.findall(r"^- \*\*May change\*\*(.*?)^- ", PATH.read_text(), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", said)) >= set(FREE_TO_CHANGE)


if __name__ == "__main__":
    PATH.write_text(TABLE.sub(lambda _: table_of_fields(), PATH.read_text(), count=1))
