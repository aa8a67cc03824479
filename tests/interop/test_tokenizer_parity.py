"""Token ids equal those of transformers, for each kind of tokenizer the encoders use."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

from schemas.example import encode_pair
from schemas.pack import pad_texts
from schemas.pair import Pair, fingerprint
from schemas.token_records import decode_tokens, located
from schemas.tokens import Prefixes, encode_texts, load_tokenizer, pad_id, tokenize_records

pytestmark = pytest.mark.interop

WORDS = [
    "Straße",
    "naïve",
    "don't",
    "Zürich",
    "tokens",
    "querying",
    "passages",
    "的",
    "数据",
    "🙂",
    "a",
    "the",
    "42",
    "C++",
]


def make_texts(count: int) -> list[str]:
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(1, 30))) for _ in range(count)]
    return [*texts, " ".join(chance.choices(WORDS, k=2000)), "", "  two  spaces ", "\ttab\nline", "[SEP] </s> <mask>"]


@pytest.fixture(scope="module", params=["bert", "mpnet", "roberta", "distilbert"])
def both(request, tmp_path_factory):
    """(transformers' tokenizer, ours from the folder that it was saved to)."""
    transformers = pytest.importorskip("transformers")

    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "roberta":
        made = ByteLevelBPETokenizer()
        made.train_from_iterator(make_texts(300), 400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        made.save_model(str(folder))
        theirs = transformers.RobertaTokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    else:
        special = {
            "mpnet": ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"],
        }.get(request.param, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        made = BertWordPieceTokenizer(unk_token="[UNK]")
        made.train_from_iterator(make_texts(300), 300, special_tokens=special)
        made.save_model(str(folder))
        kind = {"bert": "BertTokenizerFast", "mpnet": "MPNetTokenizerFast", "distilbert": "DistilBertTokenizerFast"}
        theirs = getattr(transformers, kind[request.param])(vocab=str(folder / "vocab.txt"))
    theirs.save_pretrained(folder)
    return theirs, load_tokenizer(folder)


def split(ids: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]


def test_ids_are_those_of_transformers(both) -> None:
    theirs, ours = both
    texts = make_texts(40)
    found = split(*encode_texts(ours, texts))
    assert found == theirs(texts)["input_ids"]
    assert max(map(len, found)) > 1000 and len(set(map(tuple, found))) > 30


@pytest.mark.parametrize("prefixes", [Prefixes(), Prefixes("query: ", "passage: ")])
def test_token_records_hold_the_ids_of_transformers(both, prefixes) -> None:
    theirs, ours = both
    texts = make_texts(40)
    pairs = [Pair("d", texts[n], texts[n + 1], (texts[n + 2],) * (n % 3)) for n in range(len(texts) - 2)]
    records = tokenize_records([encode_pair(pair, fingerprint(pair)) for pair in pairs], ours, prefixes)
    table = decode_tokens(*located(records), 4)
    expected = [
        (prefixes.positive if slot else prefixes.anchor) + text
        for pair in pairs
        for slot, text in enumerate(pair.texts)
    ]
    assert split(table.ids, table.lengths[table.present]) == theirs(expected)["input_ids"]
    assert table.pair_fingerprints.tolist() == [fingerprint(pair).pair for pair in pairs]


def test_texts_are_cut_as_transformers_cuts_them(both) -> None:
    theirs, ours = both
    texts = make_texts(40)
    ids, lengths = encode_texts(ours, texts)
    limits = np.full(len(texts), 16)
    padded = pad_texts(ids, lengths[None], limits=limits, row_tokens=16, pad_id=pad_id(ours))
    expected = theirs(texts, truncation=True, max_length=16, padding="max_length")
    np.testing.assert_array_equal(padded.tokens[0], expected["input_ids"])
    np.testing.assert_array_equal(padded.segments[0] > 0, np.array(expected["attention_mask"], bool))
