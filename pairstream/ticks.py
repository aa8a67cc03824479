"""Where the marks of an axis stand, and their words: round numbers, each told apart from the next."""

from __future__ import annotations

import math
from typing import NamedTuple

FIXED_BELOW = 1e6
"""Numbers up to here, with at most five decimals, are written out; others as 1.5e-06."""


class Tick(NamedTuple):
    value: float
    word: str


def ticks_around(low: float, high: float, *, most: int = 4) -> list[Tick]:
    """Marks at multiples of 1, 2 or 5 · 10^k, the first at or below `low`, the last at or above `high`.

    0 is among them where it is near; at most `most` + 2 of them. Both values are finite.
    """
    if low >= 0 and low < high - low:
        low = 0.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value: the axis lies around it
        around = abs(low) or 1.0
        low, high = low - around / 2 if low else 0.0, high + around / 2
    step, power = _round_step((high - low) / most)
    numbers = range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    top = max(abs(numbers[0]), abs(numbers[-1])) * step
    return [Tick(number * step, _word(number * step, power, top)) for number in numbers]


def ticks_of_steps(last: int, *, most: int = 5) -> list[Tick]:
    """Marks at round numbers of steps from 0 to `last`, whole ones; at most `most` + 1 of them."""
    step = max(1, round(_round_step(max(last, 1) / most)[0]))
    return [Tick(number, f"{number:,}") for number in range(0, last + 1, step)]


def _round_step(least: float) -> tuple[float, int]:
    """The smallest of 1, 2 and 5 · 10^k that is not below `least`, and its k."""
    power = math.floor(math.log10(least))
    for leading in (1, 2, 5):
        if (step := float(f"{leading}e{power}")) >= least * (1 - 1e-9):
            return step, power
    return float(f"1e{power + 1}"), power + 1


def _word(value: float, power: int, top: float) -> str:
    """All the digits down to 10^`power`, of which the axis' steps are multiples."""
    if power >= -5 and top < FIXED_BELOW:
        return f"{value:,.{max(0, -power)}f}"
    return f"{value:.{max(1, math.floor(math.log10(top)) - power + 1)}g}"
