"""A tokenizer as this project uses one: a `tokenizer.json` without its padding and truncation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.example import decode_pair
from schemas.token_records import encode_tokens
from schemas.words import WordTokenizer, cuts_at_spaces

PADDING = ("[PAD]", "<pad>")
NARROW_VOCABULARY = 1 << 16
"""Ids of smaller vocabularies are stored in two bytes, others in four."""


class Prefixes(NamedTuple):
    """What some encoders want before every text, white space included: `query: `, `passage: `."""

    anchor: str = ""
    positive: str = ""
    """Before positives and hard negatives."""

    def of_slot(self, slot: int) -> str:
        """The prefix of a text by its place in the pair: anchor, positive, negatives."""
        return self[min(slot, 1)]


NO_PREFIXES = Prefixes()


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The folder's `tokenizer.json`, which yields every id of a text and no padding.

    Files in the wild set both (all-MiniLM-L6-v2's pads every text to 128 tokens). Raises
    FileNotFoundError when there is no file, ValueError when it is not a tokenizer.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found; expected an encoder folder with a fast tokenizer; "
            "save it with transformers' AutoTokenizer.from_pretrained(…).save_pretrained(folder)"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a tokenizer ({reason}); expected a tokenizers JSON; fetch it again") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def max_length(folder: str | Path) -> int:
    """Most tokens a text may have, special ones included.

    `max_seq_length` of `sentence_bert_config.json`, and never more than the positions of
    `config.json`. Raises FileNotFoundError when neither file is there, ValueError when neither
    says.
    """
    folder = Path(folder)
    files = {"sentence_bert_config.json": "max_seq_length", "config.json": "max_position_embeddings"}
    found = {name: _read_object(folder / name) for name in files if (folder / name).is_file()}
    if not found:
        raise FileNotFoundError(f"{folder} has no {' and no '.join(files)}; expected an encoder folder; check the path")
    lengths = [
        document[files[name]] - (_before_first_position(document) if name == "config.json" else 0)
        for name, document in found.items()
        if document.get(files[name])
    ]
    if not lengths:
        raise ValueError(
            f"{folder}: no maximum length found; expected max_seq_length in sentence_bert_config.json; add it"
        )
    return min(lengths)


def _before_first_position(config: dict[str, Any]) -> int:
    """Rows of the position table that no token of a text takes: RoBERTa's and MPNet's 514 mean 512."""
    counts_from_padding = config.get("model_type") in ("roberta", "xlm-roberta", "mpnet")
    return config.get("pad_token_id", 1) + 1 if counts_from_padding else 0


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch it again") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds a {type(document).__name__}; expected a JSON object; fetch it again")
    return document


def pad_id(tokenizer: Tokenizer) -> int:
    """Id of the padding token; ValueError when the vocabulary has none."""
    for token in PADDING:
        if (found := tokenizer.token_to_id(token)) is not None:
            return found
    raise ValueError(f"the tokenizer has no padding token; expected {' or '.join(PADDING)}; add it to its vocabulary")


def truncate(ids: Sequence[int], limit: int) -> Sequence[int]:
    """At most `limit` ids: the first limit - 1 and the closing special token, which is the last."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The ids of all texts one after the other, special tokens included and uncut, and how many each has.

    The tokenizer is one of `load_tokenizer` and stays as it is.
    """
    if (words := _word_tokenizer(tokenizer)) is not None:
        return words.encode(texts)
    encoded = [each.ids for each in tokenizer.encode_batch_fast(texts)]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return np.fromiter(chain.from_iterable(encoded), np.uint32, int(lengths.sum())), lengths


@lru_cache(maxsize=8)
def _word_tokenizer(tokenizer: Tokenizer) -> WordTokenizer | None:
    """One for each tokenizer in use, so that words are remembered from call to call."""
    return WordTokenizer(tokenizer) if cuts_at_spaces(tokenizer) else None


def tokenize_records(records: Sequence[bytes], tokenizer: Tokenizer, prefixes: Prefixes = NO_PREFIXES) -> list[bytes]:
    """Records of token ids from records of texts, one for one; the tokenizer is one of `load_tokenizer`.

    Fingerprints stay those of the texts without prefix. A thousand records a call keep the
    tokenizer's threads busy. Raises ValueError for what is no record of a pair.
    """
    pairs = [decode_pair(record) for record in records]
    texts = [prefixes.of_slot(slot) + text for pair, _ in pairs for slot, text in enumerate(pair.texts)]
    ids, lengths = encode_texts(tokenizer, texts)
    width = 2 if tokenizer.get_vocab_size() <= NARROW_VOCABULARY else 4
    if width == 2 and ids.max(initial=0) >= NARROW_VOCABULARY:
        raise ValueError(
            f"the tokenizer of {tokenizer.get_vocab_size()} tokens gives id {ids.max()}; expected ids below "
            f"{NARROW_VOCABULARY}; number its vocabulary without gaps"
        )
    stored, ends = ids.astype(f"<u{width}").tobytes(), (np.cumsum(lengths) * width).tolist()
    made, text, begin = [], 0, 0
    for pair, prints in pairs:
        following = text + len(pair.texts)
        end = ends[following - 1]
        made.append(
            encode_tokens(
                pair.dataset,
                stored[begin:end],
                lengths[text:following].tolist(),
                pair_fingerprint=prints.pair,
                text_fingerprints=prints.texts,
                cluster_fingerprint=prints.cluster,
            )
        )
        text, begin = following, end
    return made


def tokenizer_digest(tokenizer: Tokenizer, prefixes: Prefixes = NO_PREFIXES) -> str:
    """sha256, in hex, over what decides the ids of a text: equal digests, equal ids."""
    return hashlib.sha256("\x00".join((tokenizer.to_str(), *prefixes)).encode()).hexdigest()
