from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from batches import one_a_row, tiny_encoder
from heads import CLS, MEAN, write_head
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from demo.encoders import open_encoder
from trainer.encode import COARSE, FEW, FINE, TextEncoder, plan_rows, row_lengths
from trainer.encoders.head import Head
from trainer.encoders.weights import load_encoder, save_encoder
from trainer.evaluate.contenders import open_contender
from trainer.evaluate.similarity import unit_rows

WORDS = [f"w{n}" for n in range(40)]
TEXTS = [" ".join(WORDS[(7 * n + k) % 40] for k in range(n % 30)) for n in range(60)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(tiny_encoder(), folder)
    vocabulary = {token: n for n, token in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_padding(length=32)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "encoder"))


def test_texts_have_the_vectors_they_have_alone_in_the_order_given(whole):
    encoder = TextEncoder.open(whole)
    together = encoder.encode(TEXTS, batch_tokens=160)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert together.dtype == np.float32 and together.shape == (60, 16)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[1:] - together[:-1]).max(axis=1).min() > 1e-3, "neighbours must be told apart"


def test_a_vector_is_the_mean_of_the_hidden_states_at_unit_length(whole):
    hidden = tiny_encoder()(*one_a_row([[1, 4, 5, 2]], 4))
    mean = np.asarray(hidden)[0].mean(axis=0)
    np.testing.assert_allclose(TextEncoder.open(whole).encode(["w0 w1"])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_the_folder_decides_pooling_and_length(folder):
    write_head(folder, "Transformer", "Pooling", pooling=CLS)
    hidden = tiny_encoder()(*one_a_row([[1, 4, 5, 2]], 4))
    np.testing.assert_allclose(TextEncoder.open(folder).encode(["w0 w1"])[0], np.asarray(hidden)[0, 0], atol=1e-5)


def test_long_texts_are_cut_before_their_closing_token(whole):
    encoder = TextEncoder.open(whole)
    vectors = encoder.encode([" ".join(WORDS[:30]), " ".join(WORDS[:18]), " ".join(WORDS[:17])])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert not np.allclose(vectors[1], vectors[2], atol=1e-3)


def test_no_texts_give_no_rows(whole):
    assert TextEncoder.open(whole).encode([]).shape == (0, 16)


def test_the_empty_text_has_a_vector(whole):
    assert np.linalg.norm(TextEncoder.open(whole).encode([""])[0]) == pytest.approx(1, abs=1e-5)


def test_progress_rises_to_the_number_of_texts(whole):
    seen: list[int] = []
    TextEncoder.open(whole).encode(TEXTS * 20, batch_tokens=160, progress=seen.append)
    assert seen == sorted(set(seen)) and len(seen) > 2 and seen[-1] == 20 * len(TEXTS)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 256), max_size=200), st.sampled_from([256, 1000, 4096]))
def test_every_text_is_in_one_batch_whose_rows_hold_it(sizes, batch_tokens):
    sizes = np.array(sizes, np.int64)
    batches = list(plan_rows(sizes, 256, batch_tokens))
    members = [int(member) for chosen, _ in batches for member in chosen]
    assert sorted(members) == list(range(len(sizes)))
    for chosen, (rows, length) in batches:
        assert len(chosen) <= rows and sizes[chosen].max() <= length
        assert rows == FEW or rows * length <= batch_tokens
    assert len({shape for _, shape in batches}) <= len(row_lengths(256, COARSE)) + 2


@pytest.mark.parametrize("limit", [8, 20, 128, 256, 512])
def test_row_lengths_are_few_and_end_at_the_limit(limit):
    lengths = row_lengths(limit, FINE)
    assert lengths == tuple(sorted(set(lengths)))
    assert max(lengths) == limit and len(lengths) <= 24 and min(lengths) == 8
    assert all(after - before <= max(8, after / 6) for before, after in pairwise(lengths))


def test_the_folders_default_prompt_stands_before_every_text(folder):
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "w3 "}, "default_prompt_name": "query"})
    )
    encoder, bare = TextEncoder.open(folder), ["w3 w1", "w3 w2"]
    np.testing.assert_allclose(encoder.encode(["w1", "w2"]), encoder.encode(bare, prompt=""), atol=1e-5)


def test_a_default_prompt_that_is_not_there_is_refused(folder):
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"default_prompt_name": "query"}))
    with pytest.raises(ValueError, match="default_prompt_name is 'query'"):
        TextEncoder.open(folder)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_head_without_prompts_pools_what_follows_them(folder, pooling):
    """By hand from the hidden states: [CLS] and the prompt's tokens are seen, and left out."""
    encoder = TextEncoder.open(folder)
    encoder.head = Head(pooling, unit_length=False, pools_prompt=False)
    ids = encoder.token_ids(["w1 w2"], "w3 w4 ")
    tokens = jnp.asarray(np.stack(ids))
    hidden = np.asarray(load_encoder(folder)(tokens, jnp.ones_like(tokens), jnp.arange(tokens.shape[1])[None]))[0]
    expected = hidden[3] if pooling == "cls" else hidden[3:].mean(axis=0)
    np.testing.assert_allclose(encoder.encode(["w1 w2"], prompt="w3 w4 ")[0], expected, atol=1e-5)
    bare = encoder.encode(["w1 w2"])
    encoder.head = Head(pooling, unit_length=False)
    np.testing.assert_allclose(bare, encoder.encode(["w1 w2"]), atol=0)


def test_evaluation_and_the_demo_leave_the_prompts_out_that_the_head_does(folder):
    write_head(folder, "Transformer", "Pooling", pooling=MEAN | {"include_prompt": False})
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "w3 "}}))
    encoder = TextEncoder.open(folder)
    texts = ["w1 w2", "w4"]
    queries, documents = unit_rows(encoder.encode(texts, prompt="w3 ")), unit_rows(encoder.encode(texts))
    assert np.abs(queries - unit_rows(encoder.encode(["w3 w1 w2", "w3 w4"]))).max() > 1e-3
    shared = open_encoder(str(folder))
    np.testing.assert_allclose(shared.encode(texts, "query"), queries, atol=1e-6)
    of_both = shared.encode(texts, ["query", "document"])
    np.testing.assert_allclose(of_both, [queries[0], documents[1]], atol=1e-6)
    [scores] = open_contender(str(folder)).score_lists(texts[:1], [texts])
    np.testing.assert_allclose(scores, (queries[0] @ documents.T), atol=1e-6)
