"""Rules that make a dataset's weight from its number of lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

RULES = ("proportional", "temperature", "equal")


@dataclass(frozen=True)
class WeightRule:
    """A weight from a count of lines: `min(lines, cap) ** alpha`.

    `proportional` has alpha 1 and `equal` alpha 0. `temperature` flattens: with T its alpha is 1/T, as
    multilingual BERT and T5 use the word, so T = 1 is proportional and a large T almost equal.
    """

    rule: str
    alpha: float = 1.0
    cap: int | None = None
    """Lines beyond this many do not count; None: all do."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule is {self.rule!r}; expected one of {', '.join(RULES)}")
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha!r}; expected a number of at least 0")
        if self.cap is not None and not _is_count(self.cap):
            raise ValueError(f"cap is {self.cap!r}; expected a whole number of at least 1")

    @property
    def needs_lines(self) -> bool:
        """Whether the weight depends on the lines."""
        return self.rule != "equal"

    def weight(self, lines: int) -> float:
        """The weight of a dataset of so many lines; 0 for an empty one.

        Powers are rounded to nine digits: machines differ in the last ones, and batches must not.
        """
        counted = min(lines, self.cap) if self.cap else lines
        if self.rule == "equal":
            return 1
        if self.alpha == 1 or not counted:
            return counted
        return float(f"{counted**self.alpha:.9g}")

    @classmethod
    def from_json(cls, document: dict[str, object]) -> WeightRule:
        """`{"rule": "temperature", "temperature": 2, "cap": 1000000}`; `alpha` may stand for 1/temperature."""
        rule = document.get("rule")
        if rule not in RULES:
            raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}")
        known = {
            "proportional": {"rule", "cap"},
            "temperature": {"rule", "temperature", "alpha", "cap"},
            "equal": {"rule"},
        }[str(rule)]
        if unknown := sorted(set(document) - known):
            raise ValueError(f"rule {rule}: unknown key {unknown[0]!r}; known keys: {', '.join(sorted(known))}")
        cap = document.get("cap")
        if cap is not None and not _is_count(cap):
            raise ValueError(f"cap is {cap!r}; expected a whole number of at least 1")
        return cls(str(rule), _alpha(document) if rule == "temperature" else 1.0, cap)  # type: ignore[arg-type]


def _alpha(document: dict[str, object]) -> float:
    given = [name for name in ("temperature", "alpha") if name in document]
    if len(given) != 1:
        raise ValueError("rule temperature: expected either 'temperature' (lines ** (1/T)) or 'alpha' (lines ** alpha)")
    value = document[given[0]]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"{given[0]} is {value!r}; expected a number above 0")
    return 1 / value if given[0] == "temperature" else float(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
