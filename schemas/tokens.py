"""A tokenizer as this project uses one: a `tokenizer.json` without its padding and truncation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

PADDING = ("[PAD]", "<pad>")


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
    lengths = [document[files[name]] for name, document in found.items() if document.get(files[name])]
    if not lengths:
        raise ValueError(
            f"{folder}: no maximum length found; expected max_seq_length in sentence_bert_config.json; add it"
        )
    return min(lengths)


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
