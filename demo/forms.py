"""What the page's routes are asked: the fields of each request with their limits.

The limits are there so that one request takes a bounded time; the page says them before they are met.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.mixture import POLICIES

MOST_BYTES = 256 * 1024
"""Of a request's body."""
MOST_CHARACTERS = 5000
MOST_TEXTS = 64
MOST_ENCODERS = 8
MOST_HITS = 50
MOST_POINTS = 600
MOST_PAIRS = 256
MOST_DATASETS = 300

Line = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS, pattern=r"\S")]
"""A text that is not blank."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class Form(BaseModel):
    """A request: an unknown field is an error, for a misspelt one would do nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SimilarityForm(Form):
    """A text and those it is compared with."""

    main: Line
    others: Annotated[list[Line], Field(min_length=1, max_length=MOST_TEXTS)]
    encoders: Annotated[list[Name], Field(max_length=MOST_ENCODERS)] = []
    """By default all."""


class AnswersForm(Form):
    """A question and the answers that are ranked."""

    query: Line
    answers: Annotated[list[Line], Field(min_length=1, max_length=MOST_TEXTS)]
    encoder: Name | None = None
    """By default the first."""


class SearchForm(Form):
    """A query, or the number of a text of the corpus that is searched from."""

    query: Line | None = None
    number: Annotated[int, Field(ge=0)] | None = None
    hits: Annotated[int, Field(ge=1, le=MOST_HITS)] = 10
    encoder: Name | None = None


class MapForm(Form):
    """As `SearchForm`, with the points of the map."""

    query: Line | None = None
    number: Annotated[int, Field(ge=0)] | None = None
    points: Annotated[int, Field(ge=8, le=MOST_POINTS)] = 300
    encoder: Name | None = None


class BiasForm(Form):
    """A sentence that tells no gender, and its two versions."""

    anchor: Line
    female: Line
    male: Line
    encoder: Name | None = None


class EntryForm(Form):
    """A dataset of a mixture."""

    name: Name
    weight: Annotated[float, Field(ge=0, le=1e9, strict=False)]


class PolicyForm(Form):
    """How a batch is filled."""

    slots: Annotated[int, Field(ge=1, le=8)] = 2
    policy: Literal[POLICIES] = "homogeneous"  # type: ignore[valid-type]


class MixtureForm(Form):
    """A mixture as a data_config.json has it, without weights by step."""

    datasets: Annotated[list[EntryForm], Field(min_length=1, max_length=MOST_DATASETS)]
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    batch: PolicyForm = PolicyForm()


class BatchForm(Form):
    """A step of a mixture, and how its packs are laid out."""

    mixture: MixtureForm | Name
    """Weights, or the name of a mixture that is served."""
    step: Annotated[int, Field(ge=0, le=10**9)] = 0
    size: Annotated[int, Field(ge=2, le=MOST_PAIRS)] = 64
    """Pairs a batch."""
    pairs: Annotated[int, Field(ge=1, le=MOST_PAIRS)] = 16
    """Pairs a pack."""
    rows: Annotated[int, Field(ge=1, le=256)] = 16
    tokens: Annotated[int, Field(ge=8, le=512)] = 128
    """Of a row."""
