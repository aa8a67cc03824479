"""docs/gender_bias.md and docs/mteb.md name what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from pairstream.evaluate import GENDER_BIAS, Arguments
from trainer.evaluate.gender_bias import KIND, BiasReport, read_gender_bias
from trainer.evaluate.suite import READERS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "gender_bias.md").read_text()


def test_options_fields_and_kind_exist() -> None:
    options = {name.replace("_", "-") for name in Arguments.__dataclass_fields__}
    assert set(re.findall(r"--([a-z][a-z-]+)", PAGE)) <= options
    assert f'kind = "{KIND}"' in PAGE and KIND in READERS and f"`{GENDER_BIAS}`" in PAGE
    [fields] = re.findall(r"\{task: \{([a-z, ]+)\}\}", PAGE)
    assert fields.split(", ") == [field.name for field in dataclasses.fields(BiasReport)]


def test_the_number_of_our_sentences_is_true() -> None:
    size = read_gender_bias(None).size
    assert f"six for each of {size['occupations']} occupations" in PAGE
    assert f"| our own | {size['examples']}, {size['occupations']} |" in PAGE


def test_the_example_in_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    assert "female version nearer " in capsys.readouterr().out


def test_the_model_of_mteb_is_where_the_page_says() -> None:
    from trainer.evaluate.mteb_adapter import MtebEncoder

    text = (DOCS / "mteb.md").read_text()
    assert MtebEncoder.__module__.replace(".", "/") + ".py" in text
    assert f"from {MtebEncoder.__module__} import MtebEncoder" in text
