from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from schemas.example import encode_pair
from schemas.pair import Pair, fingerprint
from schemas.token_records import decode_tokens, located
from schemas.tokens import (
    Prefixes,
    encode_texts,
    load_tokenizer,
    max_length,
    pad_id,
    tokenize_records,
    tokenizer_digest,
    truncate,
)


def write_tokenizer(folder: Path, *, padding: str = "[PAD]") -> None:
    vocabulary = {padding: 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "b": 5}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(max_length=4)
    tokenizer.save(str(folder / "tokenizer.json"))


def test_a_tokenizer_file_that_pads_and_cuts_is_loaded_without_either(tmp_path):
    write_tokenizer(tmp_path)
    assert load_tokenizer(tmp_path).encode("a b a b a b").ids == [1, 4, 5, 4, 5, 4, 5, 2]


@pytest.mark.parametrize("padding", ["[PAD]", "<pad>"])
def test_the_padding_token_is_found_by_its_usual_names(tmp_path, padding):
    write_tokenizer(tmp_path, padding=padding)
    assert pad_id(load_tokenizer(tmp_path)) == 0


def test_a_tokenizer_without_padding_token_is_refused(tmp_path):
    write_tokenizer(tmp_path, padding="nothing")
    with pytest.raises(ValueError, match=r"no padding token; expected \[PAD\] or <pad>"):
        pad_id(load_tokenizer(tmp_path))


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json not found"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", '{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match="is not a tokenizer") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sentence", "model", "expected"),
    [
        ({"max_seq_length": 256}, {"max_position_embeddings": 512}, 256),
        ({"max_seq_length": 600}, {"max_position_embeddings": 512}, 512),
        ({"max_seq_length": None}, {"max_position_embeddings": 512}, 512),
        (None, {"max_position_embeddings": 512}, 512),
        ({"max_seq_length": 256}, None, 256),
    ],
)
def test_the_maximum_length_is_the_runs_within_the_encoders(tmp_path, sentence, model, expected):
    for name, document in (("sentence_bert_config.json", sentence), ("config.json", model)):
        if document is not None:
            (tmp_path / name).write_text(json.dumps(document))
    assert max_length(tmp_path) == expected


def test_a_folder_that_names_no_length_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sentence_bert_config\.json and no config\.json"):
        max_length(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no maximum length found"):
        max_length(tmp_path)


def test_truncation_keeps_the_closing_token():
    assert truncate([1, 4, 5, 6, 2], 4) == [1, 4, 5, 2]
    assert truncate([1, 4, 5, 2], 4) == [1, 4, 5, 2]
    assert truncate([1, 2], 4) == [1, 2]


def test_texts_are_encoded_whole_one_after_the_other(tmp_path):
    write_tokenizer(tmp_path)
    ids, lengths = encode_texts(load_tokenizer(tmp_path), ["a b a b a b", "", "b"])
    assert lengths.tolist() == [8, 2, 3]
    assert ids.tolist() == [1, 4, 5, 4, 5, 4, 5, 2, 1, 2, 1, 5, 2]
    assert [array.tolist() for array in encode_texts(load_tokenizer(tmp_path), [])] == [[], []]


def test_records_are_tokenised_one_for_one_with_the_fingerprints_of_the_bare_texts(tmp_path):
    write_tokenizer(tmp_path)
    pairs = [Pair("d", "a", "b b", ("a a a",), cluster="c"), Pair("d", "b", "a")]
    records = tokenize_records(
        [encode_pair(pair, fingerprint(pair)) for pair in pairs], load_tokenizer(tmp_path), Prefixes("a ", "b ")
    )
    table = decode_tokens(*located(records), 3)
    assert table.ids.dtype == np.uint16 and table.lengths.tolist() == [[4, 5, 6], [4, 4, 0]]
    assert table.ids.tolist() == [1, 4, 4, 2, 1, 5, 5, 5, 2, 1, 5, 4, 4, 4, 2, 1, 4, 5, 2, 1, 5, 4, 2]
    assert table.pair_fingerprints.tolist() == [fingerprint(pair).pair for pair in pairs]
    assert table.text_fingerprints[0].tolist() == list(fingerprint(pairs[0]).texts)
    assert table.clusters.tolist() == [fingerprint(pair).cluster for pair in pairs]


def test_the_digest_tells_tokenizers_and_prefixes_apart(tmp_path):
    write_tokenizer(tmp_path)
    one = tokenizer_digest(load_tokenizer(tmp_path))
    assert one == tokenizer_digest(load_tokenizer(tmp_path), Prefixes("", ""))
    write_tokenizer(tmp_path, padding="<pad>")
    others = [
        tokenizer_digest(load_tokenizer(tmp_path)),
        *(tokenizer_digest(load_tokenizer(tmp_path), prefixes) for prefixes in (Prefixes("a"), Prefixes("", "a"))),
    ]
    assert len({one, *others}) == 4


@pytest.mark.parametrize(("family", "expected"), [("bert", 514), ("distilbert", 514), ("roberta", 512), ("mpnet", 512)])
def test_positions_that_no_token_takes_do_not_count(tmp_path, family, expected):
    config = {"model_type": family, "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert max_length(tmp_path) == expected
