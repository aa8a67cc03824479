"""Gender bias of an encoder: is a sentence without gender nearer to its female or to its male version?

For each example an anchor that tells no gender is compared, by cosine, with a female and a male
version of itself. An encoder without bias prefers neither; one that follows a stereotype prefers the
female version for some occupations and the male one for others. Read beside the share of women who
really work in an occupation, the preferences say whether the encoder mirrors the labour market.

The sentences of `own_examples` are written for this project. WinoGender: Rudinger et al., "Gender
Bias in Coreference Resolution", NAACL 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.files import column, read_table
from trainer.evaluate.similarity import cosines, spearman
from trainer.evaluate.statistics import bootstrap_mean, wilson

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Example:
    """An anchor that tells no gender and its two gendered versions."""

    occupation: str
    anchor: str
    female: str
    male: str


@dataclass(frozen=True)
class Preference:
    """The cosines of the anchor with each version, in [-1, 1]."""

    example: Example
    female: float
    male: float

    @property
    def difference(self) -> float:
        """Female minus male: above zero where the female version lies nearer."""
        return self.female - self.male


@dataclass(frozen=True)
class OccupationPreference:
    """The preferences of one occupation's examples (or of all, under the name "all")."""

    occupation: str
    examples: int
    female_preferred: float
    """Share of the examples whose female version lies nearer; a tie counts half."""
    female_preferred_interval: tuple[float, float]
    """Wilson's 95% interval of that share."""
    difference: float
    """Mean of female minus male cosine."""
    difference_interval: tuple[float, float]
    """95% bootstrap interval of that mean; of several occupations, which are then what is resampled."""


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


def read_examples(path: str | Path) -> list[Example]:
    """Examples of a user's file: a table (TSV or CSV) with the columns occupation, anchor, female and male.

    Raises OSError or ValueError, in one line, for a file that cannot be read, lacks a column, or has an empty field.
    """
    path = Path(path)
    names, rows = read_table(path)
    places = [column(path, names, name) for name in ("occupation", "anchor", "female", "male")]
    examples = []
    for number, row in enumerate(rows, start=1):
        fields = [row[place].strip() if place < len(row) else "" for place in places]
        if not all(fields):
            raise ValueError(f"{path}: row {number} lacks a text; expected occupation, anchor, female and male in each")
        examples.append(Example(*fields))
    if not examples:
        raise ValueError(f"{path} holds no examples; expected rows of occupation, anchor, female and male")
    return examples


def read_winogender(
    folder: str | Path, refers_to: Literal["occupation", "participant", "both"] = "occupation"
) -> list[Example]:
    """WinoGender's sentences with *they*, *she* and *he*, from the publisher's `all_sentences.tsv`.

    Each sentence names an occupation and a participant ("the customer", "someone"), and the pronoun means one
    of them. `refers_to` chooses those where it means the occupation, which are what a bias about occupations
    shows in (120 examples), the participant, or both (240). Raises OSError or ValueError, in one line.
    """
    path = _in_folder(Path(folder), "all_sentences.tsv")
    names, rows = read_table(path)
    ids, texts = column(path, names, "sentid"), column(path, names, "sentence")
    versions: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        parts = row[ids].strip().split(".")
        if len(parts) < 4 or parts[-2] not in ("neutral", "female", "male") or len(row) <= texts:
            raise ValueError(f"{path}: {row[ids]!r} is no name of WinoGender; expected technician.customer.1.male.txt")
        occupation, participant, answer, gender = parts[:4]
        versions.setdefault((occupation, participant, answer), {})[gender] = row[texts].strip()
    wanted = {"occupation": "0", "participant": "1", "both": "01"}[refers_to]
    chosen = {key: texts for key, texts in versions.items() if key[2] in wanted}
    if lacking := [".".join(key) for key, texts in chosen.items() if len(texts) < 3]:
        raise ValueError(f"{path}: {lacking[0]} lacks a version; expected neutral, female and male of each")
    return [Example(key[0], texts["neutral"], texts["female"], texts["male"]) for key, texts in chosen.items()]


def read_labour_statistics(folder: str | Path) -> dict[str, float]:
    """Per cent of women in each occupation, from WinoGender's `occupations-stats.tsv` (US labour statistics)."""
    path = _in_folder(Path(folder), "occupations-stats.tsv")
    names, rows = read_table(path)
    occupation, share = column(path, names, "occupation"), column(path, names, "bls_pct_female")
    try:
        return {row[occupation].strip(): float(row[share]) for row in rows if row[share].strip()}
    except (ValueError, IndexError):
        raise ValueError(f"{path}: expected a number under bls_pct_female in each row") from None


def _in_folder(folder: Path, name: str) -> Path:
    """A file of the folder, compressed or not."""
    for path in (folder / name, *(folder / f"{name}{ending}" for ending in (".gz", ".bz2", ".xz"))):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder / name} not found; expected the folder of WinoGender's data")


def preferences(encode: Encode, examples: Sequence[Example]) -> list[Preference]:
    """How near each example's versions lie to its anchor, in float64, by an encoder (texts → float32[n, D])."""
    texts = list(dict.fromkeys(text for one in examples for text in (one.anchor, one.female, one.male)))
    number = {text: n for n, text in enumerate(texts)}
    vectors = encode(texts)
    anchor, female, male = (
        vectors[[number[getattr(one, name)] for one in examples]] for name in ("anchor", "female", "male")
    )
    near = zip(examples, cosines(anchor, female).tolist(), cosines(anchor, male).tolist(), strict=True)
    return [Preference(*one) for one in near]


def by_occupation(found: Iterable[Preference]) -> list[OccupationPreference]:
    """A summary of each occupation, the one nearest to female first."""
    groups: dict[str, list[Preference]] = {}
    for preference in found:
        groups.setdefault(preference.example.occupation, []).append(preference)
    summaries = [summarize(group, occupation) for occupation, group in groups.items()]
    return sorted(summaries, key=lambda summary: (-summary.difference, summary.occupation))


def summarize(found: Sequence[Preference], occupation: str = "all") -> OccupationPreference:
    """A summary of at least one preference."""
    differences = np.array([preference.difference for preference in found], np.float64)
    preferred = float(np.sum(differences > 0) + np.sum(differences == 0) / 2)
    return OccupationPreference(
        occupation=occupation,
        examples=len(found),
        female_preferred=preferred / len(found),
        female_preferred_interval=wilson(preferred, len(found)),
        difference=float(differences.mean()),
        difference_interval=bootstrap_mean(differences, [preference.example.occupation for preference in found]),
    )


def labour_correlation(summaries: Sequence[OccupationPreference], women: Mapping[str, float]) -> float | None:
    """Spearman's correlation of an occupation's mean difference with its per cent of women.

    None when fewer than three occupations are known. Near 1: the encoder mirrors the labour market.
    """
    known = [summary for summary in summaries if summary.occupation in women]
    if len(known) < 3:
        return None
    differences = np.array([summary.difference for summary in known])
    return spearman(differences, np.array([women[summary.occupation] for summary in known]))
