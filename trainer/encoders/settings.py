"""`config_sentence_transformers.json`: what an encoder wants before its texts, and how its vectors are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer.config import SIMILARITIES, Similarity

SETTINGS = "config_sentence_transformers.json"
QUERY, DOCUMENT = "query", "document"
DOCUMENT_NAMES = (DOCUMENT, "passage", "corpus")
"""What encoders call the prompt of a text that is looked for."""


@dataclass(frozen=True)
class Prompts:
    """What an encoder wants before a text, by name; white space is part of it."""

    named: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    default_name: str | None = None

    @property
    def default(self) -> str:
        """Put before a text that is neither query nor document; empty where the folder names no default."""
        return self.named.get(self.default_name, "") if self.default_name else ""

    @property
    def query(self) -> str:
        """Put before a text that looks for others; empty where the folder names none."""
        return self.named.get(QUERY, "")

    @property
    def document(self) -> str:
        """Put before a text that is looked for; empty where the folder names none."""
        return next((self.named[name] for name in DOCUMENT_NAMES if self.named.get(name)), "")

    @classmethod
    def of_sides(cls, named: Mapping[str, str]) -> Prompts:
        """Those of an encoder whose training had them before its texts.

        >>> Prompts.of_sides({"query": "text: ", "document": "text: "}).default
        'text: '
        >>> Prompts.of_sides({"query": "query: ", "document": ""}).default
        ''
        """
        everywhere = named.get(QUERY) and named.get(QUERY) == named.get(DOCUMENT)
        return cls(dict(named), QUERY if everywhere else None)


@dataclass(frozen=True)
class EncoderSettings:
    """The file as far as it decides vectors and scores."""

    prompts: Prompts = field(default_factory=Prompts)
    similarity_name: str = "cosine"
    """As it stands in the file; `similarity` is the one that is computed here."""
    path: Path | None = field(default=None, compare=False)
    """Where it was read from."""

    @property
    def similarity(self) -> Similarity:
        """Raises ValueError for one that is neither cosine nor dot."""
        for known in SIMILARITIES:
            if self.similarity_name == known:
                return known
        where = f"{self.path}: " if self.path else ""
        raise ValueError(f"{where}similarity_fn_name is {self.similarity_name!r}; expected cosine or dot")

    @classmethod
    def load(cls, folder: str | Path) -> EncoderSettings:
        """Those of an encoder folder; cosine and no prompts where it has no such file.

        Raises ValueError, in one line, for a file that is damaged, or whose default is not among its prompts.
        """
        path = Path(folder) / SETTINGS
        if not path.is_file():
            return cls()
        document = _read(path)
        prompts = document.get("prompts") or {}
        if not isinstance(prompts, dict) or not all(isinstance(one, str | None) for one in prompts.values()):
            raise ValueError(f"{path}: prompts are {prompts!r}; expected texts by name; fetch it again")
        default = document.get("default_prompt_name")
        if default is not None and default not in prompts:
            raise ValueError(f"{path}: default_prompt_name is {default!r}; expected one of its prompts {list(prompts)}")
        named = {name: prompt for name, prompt in prompts.items() if prompt is not None}
        return cls(Prompts(named, default), str(document.get("similarity_fn_name") or "cosine"), path)

    def save(self, folder: str | Path) -> None:
        """Write the file into an encoder folder, as sentence-transformers does."""
        document = {
            "__version__": {},
            "prompts": dict(self.prompts.named),
            "default_prompt_name": self.prompts.default_name,
            "similarity_fn_name": self.similarity_name,
        }
        (Path(folder) / SETTINGS).write_text(json.dumps(document, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch it again") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds a {type(document).__name__}; expected a JSON object; fetch it again")
    return document
