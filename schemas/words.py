"""Tokenising word by word, with a memory of the words seen.

A BERT tokenizer cuts a text at white space before it does anything that looks further than one
character, so the ids of a text are those of its words, one after the other. Words come again and
again: most are looked up, and the tokenizer is asked for the rest.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

REMEMBERED = 1 << 21
"""Characters of words that are remembered, some 60 MB with their ids; then the memory begins anew."""


class WordTokenizer:
    """Gives the ids that the tokenizer gives, for tokenizers that `cuts_at_spaces` approves of."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, bytes] = {}
        """Of each word, without special tokens: uint32 in a row."""
        self._characters = 0
        before, after = _special_ids(tokenizer)
        self._before, self._after = _bytes_of(before), _bytes_of(after)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """As `schemas.tokens.encode_texts`. Several threads may call it at once."""
        ids_of, before, after = self._ids, self._before, self._after
        words = [text.split(" ") for text in texts]
        unknown = list(set(chain.from_iterable(words)).difference(ids_of))
        found = self._tokenizer.encode_batch_fast(unknown, add_special_tokens=False)
        ids_of.update(zip(unknown, [_bytes_of(each.ids) for each in found], strict=True))
        self._characters += sum(map(len, unknown))
        if self._characters > REMEMBERED:
            self._ids, self._characters = {}, 0  # who still reads the old one keeps it whole
        made = [before + b"".join(map(ids_of.__getitem__, each)) + after for each in words]
        sizes = np.fromiter(map(len, made), np.int64, len(made))
        return np.frombuffer(b"".join(made), np.uint32), sizes // 4


def cuts_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether the ids of a text are those of its words, so far as the tokenizer's parts are known to us.

    They are for the tokenizers of BERT, DistilBERT and MPNet. They are not where a space belongs to
    the word after it (RoBERTa), or where ids are padded, cut or drawn by chance.
    """
    parts: dict[str, Any] = json.loads(tokenizer.to_str())
    kinds = [(parts[name] or {}).get("type") for name in ("normalizer", "pre_tokenizer", "model")]
    added = [token["content"] for token in parts["added_tokens"]]
    return (
        kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"]
        and parts["padding"] is None
        and parts["truncation"] is None
        # Those are looked for in the whole text, and the normaliser puts spaces around some letters.
        and all(content.isascii() and not set(content) & set(" \t\n\r\v\f") for content in added)
    )


def _special_ids(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special ids before and after a text."""
    ids, bare = (tokenizer.encode("a", add_special_tokens=special).ids for special in (True, False))
    first = next(at for at in range(len(ids)) if ids[at : at + len(bare)] == bare)
    return ids[:first], ids[first + len(bare) :]


def _bytes_of(ids: Sequence[int]) -> bytes:
    return array("I", ids).tobytes()
