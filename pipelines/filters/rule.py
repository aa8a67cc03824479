"""A filter: a predicate that gives None to keep a pair, or the reason why it goes.

Every filter pickles and keeps no state, so any worker can apply it. A rule on texts looks at the anchor and at the
positive, not at the negatives, and its reason names the side: `anchor_only_urls`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schemas.pair import Pair

Filter = Callable[[Pair], "str | None"]


@dataclass(frozen=True)
class TextRule:
    """A pair goes when `test` is true of its anchor or of its positive."""

    reason: str
    test: Callable[[str], bool]
    """A module's function, so that the rule pickles."""

    def __call__(self, pair: Pair) -> str | None:
        if self.test(pair.anchor):
            return f"anchor_{self.reason}"
        if self.test(pair.positive):
            return f"positive_{self.reason}"
        return None


def check_bounds(what: str, least: float | None, most: float | None, ceiling: float | None = None) -> None:
    """Raises ValueError unless 0 <= least <= most <= ceiling, as far as they are given."""
    given = [0.0, *(bound for bound in (least, most, ceiling) if bound is not None)]
    if given != sorted(given) or any(bound != bound for bound in given):
        top = "" if ceiling is None else f" <= {ceiling:g}"
        raise ValueError(f"{what}: at least {least}, at most {most}; expected 0 <= least <= most{top}")
