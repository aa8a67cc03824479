"""Sentences in three genders, and the share of women in occupations."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from trainer.evaluate.gender_examples import Example, own_examples, read_examples, read_winogender, read_women

NURSE = Example("nurse", "They sat.", "She sat.", "He sat.")
PILOT = Example("pilot", 'The "pilot", she said', "b", "c")
QUOTED_PILOT, TABBED_PILOT = 'pilot,"The ""pilot"", she said",b,c', 'c\tb\tThe "pilot", she said\tpilot'
WINOGENDER = [
    f"{name}.{answer}.{gender}.txt\tThe {name.split('.')[0]} said {pronoun} {verb} here."
    for name in ("nurse.patient", "nurse.someone", "pilot.passenger", "pilot.someone")
    for answer, verb in (("0", "was"), ("1", "left"))
    for gender, pronoun in (("male", "he"), ("female", "she"), ("neutral", "they"))
]


def test_our_own_sentences_differ_in_gender_alone() -> None:
    examples = own_examples()
    counts = Counter(one.occupation for one in examples)
    assert len(counts) > 35 and set(counts.values()) == {6}
    assert len({text for one in examples for text in (one.anchor, one.female, one.male)}) == 3 * len(examples)
    gendered = {"her", "his", "she", "he", "woman", "man", "daughter", "son"}
    for one in examples:
        anchor, female, male = (text.rstrip(".").split() for text in (one.anchor, one.female, one.male))
        assert not gendered & set(anchor)
        differ = [pair for pair in zip(female, male, strict=True) if pair[0] != pair[1]]
        assert len(differ) == 1 and set(differ[0]) <= gendered
        assert one.occupation in one.anchor
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", one.anchor)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", f"occupation,anchor,female,male\r\nnurse,They sat.,She sat.,He sat.\r\n{QUOTED_PILOT}"),
        ("a.tsv", f"\ufeffmale\tFemale\tanchor\toccupation\nHe sat.\tShe sat.\tThey sat.\tnurse\n\n{TABBED_PILOT}\n"),
        (
            "a.jsonl",
            "".join(
                json.dumps(
                    {"base_sentence": one.anchor, "occupation": one.occupation, "stereotype": "female"}
                    | {"male_sentence": one.male, "female_sentence": one.female}
                )
                + "\n"
                for one in (NURSE, PILOT)
            ),
        ),
    ],
)
def test_tables_are_read_by_the_names_of_their_columns(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert read_examples(tmp_path / name) == [NURSE, PILOT]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("occupation,anchor,female\na,b,c\n", "columns are occupation, anchor, female; expected one called male"),
        ("occupation,anchor,female,male\na,b,,d\n", "row 1 lacks a text"),
        ("occupation,anchor,female,male\n", "holds no examples"),
        ("sentid,sentence\nnurse.male,He sat.\n", "row 1 is 'nurse.male He sat.'; expected technician.customer.1.male"),
        ("sentid,sentence\na.b.1.male.txt,He sat.\n", "a.b.1 lacks a version; expected neutral, female and male"),
        ("sentid,sentence\n", "holds no sentences"),
    ],
)
def test_files_that_hold_something_else_are_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=says) as raised:
        read_examples(tmp_path / "a.csv")
    assert "\n" not in str(raised.value)


def test_winogender_is_read_as_a_file_and_as_a_folder(tmp_path: Path) -> None:
    packed = tmp_path / "all_sentences.tsv.gz"
    packed.write_bytes(gzip.compress(("sentid\tsentence\n" + "\n".join(WINOGENDER)).encode()))
    examples = read_examples(tmp_path)
    assert examples == read_examples(packed) == read_winogender(packed)
    assert len(examples) == 8 and {one.occupation for one in examples} == {"nurse", "pilot"}
    assert all(" they " in one.anchor and " she " in one.female and " he " in one.male for one in examples)
    assert all(" was " in one.anchor for one in read_winogender(packed, "occupation"))
    assert all(" left " in one.anchor for one in read_winogender(packed, "participant"))
    with pytest.raises(FileNotFoundError, match=r"all_sentences\.tsv not found; expected WinoGender's"):
        read_examples(tmp_path.parent)


@pytest.mark.parametrize(
    "text",
    [
        "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\nnurse\t1\t90\t2015\nCook_b\t2\t7.5\t2015\nx\t1\t\t\n",
        "occupation,women\nNurse, 90 %\ncook-b,7.5\nx,\n",
        "occupation,women\nnurse,0.9\nCook  B,0.075\n",
        "occupation,women\nnurse,90\nnurse,90.0\ncook b,7.5\n",
    ],
)
def test_shares_of_women_are_per_cent_by_occupation(tmp_path: Path, text: str) -> None:
    (tmp_path / "occupations-stats.tsv").write_text(text)
    assert read_women(tmp_path) == pytest.approx({"nurse": 90, "cook b": 7.5})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("occupation,men\na,1\n", "columns are occupation, men; expected one called bls_pct_female"),
        ("occupation,women\na,many\n", "the share of women of row 1 is 'many'; expected a number or nothing"),
        ("occupation,women\na,20\nb,120\n", "row 2 has 120 per cent of women; expected 0 to 100"),
        ("occupation,women\na,-3\n", "expected 0 to 100"),
        ("occupation,women\na,20\nA,30\n", "A is there twice, with different numbers"),
        ("occupation,women\na,\n", "no row has a share of women"),
    ],
)
def test_shares_that_make_no_sense_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_women(tmp_path / "a.csv")


def test_the_published_winogender_is_read(shared_data: Path) -> None:
    folder = shared_data / "eval/winogender"
    examples, women = read_examples(folder), read_women(folder)
    assert len(examples) == 240 and len(read_winogender(folder / "all_sentences.tsv.gz", "occupation")) == 120
    assert {one.occupation for one in examples} == set(women) and len(women) == 60
    assert women["technician"] == 40.34
