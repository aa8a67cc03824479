"""One measured comparison."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """Ours against a peer or a limit, measured in one run."""

    what: str
    rate: float
    against: str
    other_rate: float
    unit: str
