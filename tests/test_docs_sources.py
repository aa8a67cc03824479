"""The source that docs/sources.md tells people to write works as it stands there."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from pairstream.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "sources.md").read_text()


def test_the_source_of_the_page_works_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (tmp_path / "riddles.py").write_text(code)
    lines = [f"What has {n} legs and no body? // A chair of kind {n}." for n in range(30)] + ["no answer here"]
    (tmp_path / "riddles1.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    source, glob, output = str(tmp_path / "riddles.py"), str(tmp_path / "riddles*.txt.gz"), str(tmp_path / "out")
    status = main(["preprocess", source, "--input", glob, "--output", output])
    out, err = capsys.readouterr()
    assert status == 0, err
    assert "no_answer" in out and "-1" in out and re.search(r"written\s+train\s+30", out)


def test_a_python_file_that_defines_no_source_is_a_wrong_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert main(["preprocess", str(tmp_path / "empty.py"), "--output", str(tmp_path / "out")]) == 2
    assert "defines no `source`" in capsys.readouterr().err
