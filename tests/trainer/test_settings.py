"""Prompts and similarity of an encoder folder, read and written in one place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.encoders.settings import SETTINGS, EncoderSettings, Prompts


def load(folder: Path, document: object) -> EncoderSettings:
    (folder / SETTINGS).write_text(document if isinstance(document, str) else json.dumps(document))
    return EncoderSettings.load(folder)


def sides(prompts: Prompts) -> tuple[str, str, str]:
    return prompts.query, prompts.document, prompts.default


def test_a_folder_without_the_file_has_no_prompts_and_compares_by_cosine(tmp_path: Path) -> None:
    assert EncoderSettings.load(tmp_path) == EncoderSettings()
    assert sides(EncoderSettings().prompts) == ("", "", "") and EncoderSettings().similarity == "cosine"


def test_each_side_has_its_prompt(tmp_path: Path) -> None:
    found = load(tmp_path, {"similarity_fn_name": "dot", "prompts": {"query": "q: ", "passage": "p: ", "document": ""}})
    assert (found.similarity, sides(found.prompts)) == ("dot", ("q: ", "p: ", ""))
    found = load(tmp_path, {"prompts": {"sts": "s: "}, "default_prompt_name": "sts", "similarity_fn_name": None})
    assert (found.similarity, sides(found.prompts)) == ("cosine", ("", "", "s: "))
    found = load(tmp_path, {"prompts": {"query": None}, "default_prompt_name": "query"})
    assert sides(found.prompts) == ("", "", "")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    settings = EncoderSettings(Prompts({"query": "ä: ", "other": ""}, "query"), "dot")
    settings.save(tmp_path)
    assert EncoderSettings.load(tmp_path) == settings


def test_what_stood_before_all_texts_in_training_is_the_default() -> None:
    assert sides(Prompts.of_sides({"query": "t: ", "document": "t: "})) == ("t: ", "t: ", "t: ")
    assert sides(Prompts.of_sides({"query": "q: ", "document": "d: "})) == ("q: ", "d: ", "")
    assert Prompts.of_sides({}).default_name is None


def test_another_similarity_is_refused_by_who_compares_alone(tmp_path: Path) -> None:
    found = load(tmp_path, {"similarity_fn_name": "euclidean", "prompts": {"query": "q: "}})
    assert found.prompts.query == "q: "
    with pytest.raises(ValueError, match=f"{SETTINGS}: similarity_fn_name is 'euclidean'; expected cosine or dot"):
        _ = found.similarity


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "is not JSON"),
        ([1], "holds a list; expected a JSON object"),
        ({"prompts": ["query: "]}, "prompts are .*; expected texts by name"),
        ({"prompts": {"query": 7}}, "prompts are .*; expected texts by name"),
        ({"default_prompt_name": "query"}, "default_prompt_name is 'query'; expected one of"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, document: object, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        load(tmp_path, document)
    assert "\n" not in str(raised.value)
