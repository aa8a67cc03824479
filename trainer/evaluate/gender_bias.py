"""Gender bias of an encoder: is a sentence without gender nearer to its female or to its male version?

For each example an anchor that tells no gender is compared with a female and a male version of itself. An
encoder without bias prefers neither; one that follows a stereotype prefers the female version for some
occupations and the male one for others. Beside the share of women who really work in an occupation, the
preferences say whether the encoder mirrors the labour market.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.files import stem
from trainer.evaluate.gender_examples import (
    SENTENCES,
    STATISTICS,
    Example,
    find,
    occupation_key,
    own_examples,
    read_examples,
    read_women,
)
from trainer.evaluate.similarity import spearman
from trainer.evaluate.statistics import Interval, bootstrap, bootstrap_mean, wilson
from trainer.evaluate.task import Contender, Outcome

KIND = "gender-bias"
OWN = "own sentences"
FEWEST_FOR_A_CORRELATION = 5


@dataclass(frozen=True)
class Preference:
    """How similar the anchor is to each version: a cosine, or whatever the contender compares by."""

    example: Example
    female: float
    male: float

    @property
    def difference(self) -> float:
        """Female minus male: above zero where the female version lies nearer."""
        return self.female - self.male


@dataclass(frozen=True)
class OccupationBias:
    """The preferences of one occupation's examples (or of all, under the name "all")."""

    occupation: str
    examples: int
    female_nearer: float
    """Share of the examples whose female version lies nearer; a tie counts half."""
    female_nearer_interval: Interval
    """95%: Wilson's of one occupation, the bootstrap over occupations of several."""
    difference: float
    """Mean of female minus male similarity."""
    difference_interval: Interval | None
    """95% bootstrap: over the examples of one occupation, over occupations of several; None of fewer than three."""
    women: float | None = None
    """Per cent of women in the occupation, where known."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation of the occupations' mean differences with their per cent of women.

    Near 1 the encoder mirrors the labour market; near 0 it does not know it.
    """

    spearman: float
    interval: Interval
    """95% bootstrap over occupations."""
    occupations: int


@dataclass(frozen=True)
class BiasReport:
    """What one contender prefers."""

    overall: OccupationBias
    gap: float
    """Mean of the examples' absolute differences: how far gender moves a sentence, whichever way."""
    occupations: tuple[OccupationBias, ...]
    """The one nearest to its female versions first."""
    correlation: Correlation | None
    """None where the share of women is known for too few."""


@dataclass(frozen=True)
class GenderBias:
    """The task: examples, and what is known of the labour market."""

    name: str
    examples: tuple[Example, ...]
    women: Mapping[str, float]
    """Per cent by `occupation_key`; may be empty."""
    kind: str = KIND
    needs_vectors: bool = False

    @property
    def size(self) -> dict[str, int]:
        return {"examples": len(self.examples), "occupations": len({one.occupation for one in self.examples})}

    def evaluate(self, contender: Contender) -> Outcome:
        """Scores: `gap` (the least biased is the lowest), `female_nearer`, `difference`, and `spearman` with the
        share of women where that is known. `details` is the whole `BiasReport`."""
        found = preferences(contender, self.examples)
        report = report_bias(found, self.women)
        scores = {
            "gap": report.gap,
            "female_nearer": report.overall.female_nearer,
            "difference": report.overall.difference,
        }
        if report.correlation is not None:
            scores["spearman"] = report.correlation.spearman
        # Sentences of one occupation are alike: occupations are what is resampled.
        _, group = np.unique([one.example.occupation for one in found], return_inverse=True)
        sums, counts = np.bincount(group, [abs(one.difference) for one in found]), np.bincount(group)
        return Outcome(
            scores=scores,
            main="gap",
            items=len(counts),
            resample=lambda some: float(sums[some].sum() / counts[some].sum()),
            higher_is_better=False,
            details=report,
        )


def read_gender_bias(path: Path | None, women: Path | None = None, *, name: str | None = None) -> GenderBias:
    """The task of a file or folder (None: our own sentences), with the labour statistics of another.

    Beside WinoGender's sentences its statistics are found by themselves. Raises OSError or ValueError, in one line.
    """
    if path is None:
        return GenderBias(name or OWN, tuple(own_examples()), {} if women is None else read_women(women))
    examples = tuple(read_examples(path))
    if women is None and (path.is_dir() or stem(path) == stem(Path(SENTENCES))):
        try:
            women = find(path if path.is_dir() else path.parent, STATISTICS)
        except FileNotFoundError:
            women = None
    return GenderBias(name or stem(path), examples, {} if women is None else read_women(women))


def preferences(contender: Contender, examples: Sequence[Example]) -> list[Preference]:
    """How similar each example's versions are to its anchor."""
    anchors = [one.anchor for one in examples]
    versions = [one.female for one in examples] + [one.male for one in examples]
    female, male = np.split(contender.similarities([*anchors, *anchors], versions), 2)
    return [Preference(*one) for one in zip(examples, female.tolist(), male.tolist(), strict=True)]


def report_bias(found: Sequence[Preference], women: Mapping[str, float]) -> BiasReport:
    """The report on at least one preference, with the per cent of women by `occupation_key`."""
    groups: dict[str, list[Preference]] = {}
    for preference in found:
        groups.setdefault(preference.example.occupation, []).append(preference)
    occupations = [
        replace(summarize(group, occupation), women=women.get(occupation_key(occupation)))
        for occupation, group in groups.items()
    ]
    return BiasReport(
        overall=summarize(found),
        gap=float(np.mean([abs(preference.difference) for preference in found])),
        occupations=tuple(sorted(occupations, key=lambda one: (-one.difference, one.occupation))),
        correlation=correlate(occupations),
    )


def summarize(found: Sequence[Preference], occupation: str = "all") -> OccupationBias:
    """A summary of at least one preference."""
    differences = np.array([preference.difference for preference in found], np.float64)
    nearer = np.where(differences == 0, 0.5, differences > 0)
    groups = [preference.example.occupation for preference in found]
    several = bootstrap_mean(nearer, groups) if len(set(groups)) > 1 else None
    return OccupationBias(
        occupation=occupation,
        examples=len(found),
        female_nearer=float(nearer.mean()),
        female_nearer_interval=several or wilson(float(nearer.sum()), len(found)),
        difference=float(differences.mean()),
        difference_interval=bootstrap_mean(differences, groups),
    )


def correlate(occupations: Sequence[OccupationBias]) -> Correlation | None:
    """The correlation of difference and share of women; None where the share is known for fewer than five."""
    known = [one for one in occupations if one.women is not None]
    if len(known) < FEWEST_FOR_A_CORRELATION:
        return None
    differences = np.array([one.difference for one in known], np.float64)
    women = np.array([one.women for one in known], np.float64)

    def resample(some: NDArray[np.intp]) -> float:
        return spearman(differences[some], women[some])

    return Correlation(spearman(differences, women), bootstrap(resample, len(known)), len(known))


def card_rows(task: str, report: BiasReport, shown: int = 3) -> list[tuple[str, str]]:
    """(what, value) of each line a model card shows of a report, in order; plain text without markup."""
    overall = report.overall
    ends = f"{overall.examples:,} of {len(report.occupations):,} occupations ({task})"
    rows = [
        ("sentences", ends),
        ("female version nearer", percent(overall.female_nearer, overall.female_nearer_interval)),
        ("female − male similarity, mean", signed(overall.difference, overall.difference_interval)),
        ("absolute difference, mean", f"{report.gap:.4f}"),
    ]
    if (found := report.correlation) is not None:
        rows.append(
            (
                "Spearman with the share of women",
                f"{signed(found.spearman, found.interval, 2)}, {found.occupations:,} occupations",
            )
        )
    for what, some in (
        ("nearest to female", report.occupations[:shown]),
        ("nearest to male", report.occupations[::-1][:shown]),
    ):
        rows.append((what, ", ".join(f"{one.occupation} {one.difference:+.3f}" for one in some)))
    return rows


def percent(share: float, interval: Interval) -> str:
    """`54.2% [48.0, 60.1]`."""
    low, high = interval
    return f"{100 * share:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def signed(value: float, interval: Interval | None, digits: int = 4) -> str:
    """`+0.0031 [-0.0010, +0.0074]`, without what is not known."""
    if interval is None:
        return f"{value:+.{digits}f}"
    low, high = interval
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
