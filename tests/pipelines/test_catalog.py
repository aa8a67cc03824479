"""The catalogue is complete, and each row says all that a manifest and a card want to know."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.catalog import CATALOGUE, SOURCES
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources import nli, paraphrases, shorter_texts
from schemas.manifest import is_relative_name

PUBLISHED = {  # name in the original's config, where it has one → count of the card or the config
    "S2ORC_citation_pairs_abstract": 116_288_806,
    "WikiAnswers_pairs": 77_427_422,
    "PAQ_pairs": 64_371_441,
    "S2ORC_citation_pairs": 52_603_982,
    "S2ORC_title_abstract": 41_769_185,
    "stackexchange_title_body": 25_316_456,
    "stackexchange_TitleBody_Answer": 21_396_559,
    "stackexchange_Title_Answer": 21_396_559,
    "msmarco-query_passage_negative": 9_144_553,
    "gooaq_pairs": 3_012_496,
    "yahoo_answers_title_answer": 1_198_260,
    "codesearchnet": 1_151_414,
    "coco_captions": 828_395,
    "specter_train_triples": 684_100,
    "yahoo_answers_question_answer": 681_164,
    "yahoo_answers_title_question": 659_896,
    "searchQA_question_top5_snippets_merged": 582_261,
    "eli5_question_answer": 325_475,
    "flickr30k_captions": 317_695,
    "stackexchange_duplicate_questions_title_title": 304_525,
    "AllNLI": 277_230,
    "stackexchange_duplicate_questions_body_body": 250_519,
    "stackexchange_duplicate_questions_title-body_title-body": 250_460,
    "sentence-compression": 180_000,
    "wikihow": 128_542,
    "altlex": 112_696,
    "quora_duplicates_triplets": 103_663,
    "SimpleWiki": 102_225,
    "NQ-train_pairs": 100_231,
    "squad_pairs": 87_599,
    "TriviaQA_pairs": 73_346,
    "amazon-qa-train-pairs": 2_448_839,
    "reddit": 726_484_430,
}
DERIVED = (
    "stackexchange_xml",
    "stackexchange_title_body",
    "stackexchange_title_best_voted_answer",
    "stackexchange_titlebody_best_voted_answer",
    "stackexchange_titlebody_best_and_down_voted_answer",
    "stackexchange_math",
    "paws",
    "Gender_Bias_Evaluation_Set",
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_dataset_of_the_original_has_a_source_with_its_count(name):
    assert SOURCES[name].datasets[0].published == PUBLISHED[name]


@pytest.mark.parametrize("name", DERIVED)
def test_every_derived_dataset_has_a_source(name):
    assert name in SOURCES


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_row_says_all_that_a_card_wants(name):
    info = CATALOGUE[name]
    assert is_relative_name(name)
    assert "→" in info.tuple or "↔" in info.tuple, info.tuple
    assert all(text.strip() for text in (info.licence, info.citation, info.raw)), info
    assert info.url or info.citation == "not stated"


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.needs_input])
def test_a_source_without_input_says_what_it_needs(name):
    with pytest.raises(FileNotFoundError, match="input"):
        SOURCES[name].find_inputs(())


def test_weights_are_those_of_the_original(shared_data: Path):
    config = json.loads(gzip.decompress((shared_data / "mixtures/all_datasets_v4.data_config.json.gz").read_bytes()))
    weights: dict[str, float] = {}
    for entry in config:
        name = entry["name"].removesuffix(".jsonl.gz")
        weights[name.split("/")[0]] = weights.get(name.split("/")[0], 0) + entry["weight"]
    assert set(weights) <= set(CATALOGUE)
    for name in ("stackexchange_title_body", "stackexchange_Title_Answer", "stackexchange_TitleBody_Answer"):
        assert weights.pop(name) and CATALOGUE[name].weight is None  # a weight for each site, none for all together
    assert {name: CATALOGUE[name].weight for name in weights} == weights


SENTENCES = {row.info.name: row for family in (nli, shorter_texts, paraphrases) for row in family.ROWS}


@pytest.mark.parametrize("name", SENTENCES)
def test_an_empty_or_cut_file_never_becomes_a_dataset(name, tmp_path):
    row = SENTENCES[name]
    whole = gzip.compress("".join(f"{letter} line {n}\n" for n in range(99) for letter in "ab").encode())
    for content, message in (
        (gzip.compress(b""), "no record was read|premature EOF"),
        (whole[:-9], "fetch it again"),
    ):
        paths = [tmp_path / f"{len(content)}-{side}.gz" for side in range(row.aligned)]
        for path in paths:
            path.write_bytes(content)
        with pytest.raises(JobError, match=message):
            run(Job(row, tuple(map(str, paths)), str(tmp_path / "out")))
