"""docs/evaluate.md names what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pairstream.evaluate import KINDS
from trainer.evaluate.suite import TaskSpec, load_suite, run_suite

PAGE = (Path(__file__).parents[1] / "docs" / "evaluate.md").read_text()


def test_every_kind_has_its_row_and_its_option() -> None:
    rows = re.findall(r"^\| `--(\w+)` \|", PAGE, re.MULTILINE)
    assert tuple(sorted(rows)) == tuple(sorted(KINDS))
    assert all(f"[--{kind} " in PAGE for kind in KINDS)


def test_the_example_of_a_suite_has_fields_that_exist() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for entry in tomllib.loads(example)["task"]:
        assert entry.keys() <= TaskSpec.__dataclass_fields__.keys() and entry["kind"] in KINDS


def test_the_example_in_python_runs_on_any_function_from_texts_to_vectors() -> None:
    import numpy as np

    scores = run_suite(load_suite("small"), lambda texts, prompt: np.eye(99, dtype=np.float32)[: len(texts)])
    for name in re.findall(r'scores\["([^"]+)"\]', PAGE):
        assert name in scores
