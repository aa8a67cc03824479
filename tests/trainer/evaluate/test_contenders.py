"""Encoders and baselines as contenders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
from corpora import write_encoder
from made import WORDS, hashed_words

from trainer.encode import TextEncoder
from trainer.evaluate.baselines import WORD, Bm25, TfIdf
from trainer.evaluate.contenders import open_contender
from trainer.evaluate.task import Contender
from trainer.evaluate.vector_contender import VectorContender

QUERIES = ["read the file", "a blue sea", "nothing of these", "the the file"]
DOCUMENTS = ["how to read a file", "the sea is blue", "write the file", "", "a blue file in the blue sea"]
CONTENDERS: list[Contender] = [Bm25(), TfIdf(), WORDS, VectorContender("dot", hashed_words, "dot")]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_the_ways_to_compare_agree(contender: Contender) -> None:
    whole = contender.score_lists(QUERIES, [DOCUMENTS] * len(QUERIES))
    found, scores = contender.rank(QUERIES, DOCUMENTS, 3)
    for row, of_one in enumerate(whole):
        # Sums in float32 differ in their last digit by the order of adding.
        np.testing.assert_allclose(np.sort(of_one)[::-1][:3], scores[row], atol=1e-5)
        np.testing.assert_allclose(of_one[found[row]], scores[row], atol=1e-5)
    if not isinstance(contender, TfIdf):  # which counts words of both sides of pairs
        paired = contender.similarities(QUERIES, DOCUMENTS[:4])
        small = contender.score_lists(QUERIES, [DOCUMENTS[:4]] * 4)
        np.testing.assert_allclose(paired, [small[n][n] for n in range(4)], atol=1e-5)


def test_bm25_is_that_of_its_library() -> None:
    index = bm25s.BM25()
    index.index(bm25s.tokenize(DOCUMENTS, token_pattern=WORD, show_progress=False), show_progress=False)
    words: Any = bm25s.tokenize(QUERIES, token_pattern=WORD, show_progress=False, return_ids=False)
    ours = Bm25().score_lists(QUERIES, [DOCUMENTS] * len(QUERIES))
    for row, of_one in zip(words, ours, strict=True):
        np.testing.assert_allclose(of_one, index.get_scores(row), rtol=1e-6)


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_texts_without_words_are_no_error(contender: Contender) -> None:
    assert np.isfinite(contender.similarities(["", "!"], ["?", ""])).all()
    found, _ = contender.rank(["?"], ["", "!"], 2)
    assert sorted(found[0].tolist()) == [0, 1]


def test_each_distinct_text_is_encoded_once() -> None:
    seen: list[str] = []

    def encode(texts, *, prompt):
        seen.extend(texts)
        return hashed_words(texts)

    contender = VectorContender("counting", encode)
    contender.similarities(["a", "b", "a"], ["b", "c", "a"])
    assert sorted(seen) == ["a", "b", "c"]


def test_vectors_that_are_not_finite_are_refused() -> None:
    contender = VectorContender("broken", lambda texts, prompt: np.full((len(texts), 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="broken: some vectors are not finite"):
        contender.vectors(["a"])


def write_settings(folder: Path, **settings: object) -> Path:
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def test_an_encoder_folder_is_a_contender_with_its_prompts(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    plain = TextEncoder.open(folder)  # before it has prompts
    write_settings(folder, prompts={"query": "w1 ", "any": "w9 "}, default_prompt_name="any")
    contender = open_contender(str(folder))
    texts = ["w2 w3", "w4", "w5 w6 w7"]
    of_neither = plain.encode(["w9 w2 w3", "w9 w4", "w9 w5 w6 w7"])
    np.testing.assert_allclose(contender.vectors(texts), of_neither, atol=1e-6)
    documents = plain.encode(texts)  # the default prompt is not theirs
    [found] = contender.score_lists(["w2 w3"], [texts])
    np.testing.assert_allclose(found, (plain.encode(["w1 w2 w3"]) @ documents.T)[0], atol=1e-5)


def test_a_folder_that_nothing_opens_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "abacus"}')
    with pytest.raises(ValueError, match="model_type is 'abacus'") as raised:
        open_contender(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_only_known_baselines_are_no_folders() -> None:
    assert isinstance(open_contender("bm25"), Bm25)
    assert not open_contender("bm25").has_vectors and open_contender("tfidf").has_vectors
    with pytest.raises(FileNotFoundError, match="no such encoder folder"):
        open_contender("bm26")
