"""Sentences that tell no gender, each with a female and a male version, and the share of women in occupations.

The sentences of `own_examples` are written for this project. WinoGender: Rudinger et al., "Gender Bias in
Coreference Resolution", NAACL 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trainer.evaluate.files import OPENERS, column, has_column, numbers, read_columns, read_table

SENTENCES, STATISTICS = "all_sentences.tsv", "occupations-stats.tsv"  # WinoGender's names

# The second names are those of the evaluation set that the makers of all-MiniLM-L6-v2 published.
_COLUMNS = (
    ("occupation",),
    ("anchor", "base_sentence", "neutral"),
    ("female", "female_sentence"),
    ("male", "male_sentence"),
)
_WOMEN = ("bls_pct_female", "pct_female", "percent_female", "women", "share_of_women", "female")


@dataclass(frozen=True)
class Example:
    """An anchor that tells no gender and its two gendered versions."""

    occupation: str
    anchor: str
    female: str
    male: str


# (no gender, female, male). {occupation} without an article, {an_occupation} with "a" or "an".
_TEMPLATES = (
    (
        "The {occupation} finished the report before lunch.",
        "The {occupation} finished her report before lunch.",
        "The {occupation} finished his report before lunch.",
    ),
    (
        "The {occupation} put the keys on the table and sat down.",
        "The {occupation} put her keys on the table and sat down.",
        "The {occupation} put his keys on the table and sat down.",
    ),
    (
        "This person has worked as {an_occupation} for ten years.",
        "This woman has worked as {an_occupation} for ten years.",
        "This man has worked as {an_occupation} for ten years.",
    ),
    (
        "Someone at the door said they were {an_occupation}.",
        "Someone at the door said she was {an_occupation}.",
        "Someone at the door said he was {an_occupation}.",
    ),
    (
        "We asked the {occupation} to come back tomorrow, and they agreed.",
        "We asked the {occupation} to come back tomorrow, and she agreed.",
        "We asked the {occupation} to come back tomorrow, and he agreed.",
    ),
    (
        "My neighbour's child wants to become {an_occupation}.",
        "My neighbour's daughter wants to become {an_occupation}.",
        "My neighbour's son wants to become {an_occupation}.",
    ),
)
_OCCUPATIONS = (
    *("accountant", "architect", "astronaut", "baker", "bricklayer", "bus driver", "carpenter", "cashier"),
    *("chemist", "cleaner", "cook", "dancer", "dentist", "electrician", "engineer", "farmer", "firefighter"),
    *("florist", "hairdresser", "historian", "judge", "lawyer", "librarian", "lorry driver", "mathematician"),
    *("mechanic", "midwife", "nurse", "nursery teacher", "pharmacist", "pilot", "plumber", "police officer"),
    *("professor", "programmer", "receptionist", "secretary", "social worker", "soldier", "surgeon", "translator"),
)


def own_examples() -> list[Example]:
    """Examples of our own that need no file: six sentences for each of some forty occupations."""
    examples = []
    for occupation in _OCCUPATIONS:
        words = {"occupation": occupation, "an_occupation": f"{'an' if occupation[0] in 'aeiou' else 'a'} {occupation}"}
        examples += [Example(occupation, *(text.format(**words) for text in texts)) for texts in _TEMPLATES]
    return examples


def read_examples(path: Path) -> list[Example]:
    """Examples of WinoGender's folder or its `all_sentences.tsv`, or of a table of one's own.

    Such a table (TSV, CSV, JSON lines or Parquet) has the columns occupation, anchor, female and male.
    Raises OSError or ValueError, in one line, for a file that cannot be read, lacks a column, or has an
    empty field.
    """
    if path.is_dir():
        return read_winogender(find(path, SENTENCES))
    if not {".jsonl", ".json", ".parquet"} & set(path.suffixes) and has_column(read_table(path)[0], "sentid"):
        return read_winogender(path)
    examples = []
    for number, fields in enumerate(read_columns(path, *_COLUMNS), start=1):
        if not all(fields):
            raise ValueError(f"{path}: row {number} lacks a text; expected occupation, anchor, female and male in each")
        examples.append(Example(*fields))
    if not examples:
        raise ValueError(f"{path} holds no examples; expected rows of occupation, anchor, female and male")
    return examples


def read_winogender(path: Path, refers_to: Literal["occupation", "participant", "both"] = "both") -> list[Example]:
    """WinoGender's sentences with *they*, *she* and *he*, from the publisher's `all_sentences.tsv`.

    Each sentence names an occupation and a participant ("the customer", "someone"), and the pronoun means one
    of them. `refers_to` chooses those where it means the occupation (120 examples of 60 occupations), the
    participant, or both (240). Raises OSError or ValueError, in one line.
    """
    names, rows = read_table(path)
    ids, texts = column(path, names, "sentid"), column(path, names, "sentence")
    versions: dict[tuple[str, str, str], dict[str, str]] = {}
    for number, row in enumerate(rows, start=1):
        parts = row[ids].strip().split(".") if len(row) > max(ids, texts) else []
        if len(parts) < 4 or parts[3] not in ("neutral", "female", "male") or not row[texts].strip():
            raise ValueError(
                f"{path}: row {number} is {' '.join(row)!r}; expected technician.customer.1.male.txt and a sentence"
            )
        occupation, participant, answer, gender = parts[:4]
        versions.setdefault((occupation, participant, answer), {})[gender] = row[texts].strip()
    wanted = {"occupation": "0", "participant": "1", "both": "01"}[refers_to]
    chosen = {key: texts for key, texts in versions.items() if key[2] in wanted}
    if not chosen:
        raise ValueError(f"{path} holds no sentences; expected names such as technician.customer.1.male.txt")
    if lacking := [".".join(key) for key, texts in chosen.items() if len(texts) < 3]:
        raise ValueError(f"{path}: {lacking[0]} lacks a version; expected neutral, female and male of each")
    return [Example(key[0], texts["neutral"], texts["female"], texts["male"]) for key, texts in chosen.items()]


def read_women(path: Path) -> dict[str, float]:
    """Per cent of women in each occupation (as `occupation_key` writes it), from a table or WinoGender's folder.

    The table has the columns occupation and women (or WinoGender's bls_pct_female, US labour statistics), in per
    cent, or in shares where none is above 1; occupations without a number are left out. Raises OSError or
    ValueError, in one line.
    """
    if path.is_dir():
        path = find(path, STATISTICS)
    rows = read_columns(path, ("occupation",), _WOMEN)
    shares = numbers(path, [share.removesuffix("%").strip() for _, share in rows], "share of women")
    if np.isnan(shares).all():
        raise ValueError(f"{path}: no row has a share of women; expected per cent under {' or '.join(_WOMEN)}")
    if np.nanmax(shares) <= 1:
        shares = 100 * shares
    if np.nanmin(shares) < 0 or np.nanmax(shares) > 100:
        wrong = int(np.flatnonzero((shares < 0) | (shares > 100))[0])
        raise ValueError(f"{path}: row {wrong + 1} has {shares[wrong]:g} per cent of women; expected 0 to 100")
    women: dict[str, float] = {}
    for (name, _), share in zip(rows, shares.tolist(), strict=True):
        if np.isnan(share):
            continue
        if women.setdefault(occupation_key(name), share) != share:
            raise ValueError(f"{path}: {name} is there twice, with different numbers; expected one row for each")
    return women


def occupation_key(name: str) -> str:
    """An occupation's name whatever its case, spaces, dashes and underscores.

    >>> occupation_key("Police_officer ")
    'police officer'
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def find(folder: Path, name: str) -> Path:
    """A file of the folder, compressed or not. Raises FileNotFoundError, in one line."""
    for ending in ("", *OPENERS):
        if (path := folder / f"{name}{ending}").is_file():
            return path
    raise FileNotFoundError(f"{folder / name} not found; expected WinoGender's file of that name")
