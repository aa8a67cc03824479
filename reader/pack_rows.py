"""How many rows a pack needs, from the length histograms that manifests carry.

Exact lengths are known only when every text is tokenised, and a plan reads manifests alone. So this is
an estimate: texts lie in the middle of their histogram's bin, anchor and positive have independent
lengths, and a token has 4.5 characters where the manifest counts no tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.manifest import Manifest
from schemas.pair import TRAIN

CHARACTERS_A_TOKEN = 4.5
"""English text under BERT's vocabulary has 4 to 5."""
SPECIAL_TOKENS = 2
USABLE = 0.95
"""Part of a pack's tokens that texts can fill, since a text lies in one row."""
FITTING = 0.95
"""Part of the drawn packs that the proposed rows are to hold without shortening a text."""


@dataclass(frozen=True)
class PackProposal:
    """Rows for packs of so many pairs, each row of so many tokens."""

    pairs: int
    row_tokens: int
    rows: int
    fitting: float
    """Part of the packs whose texts fit unshortened, 0 to 1."""
    filled: float
    """Part of all tokens that are not padding, 0 to 1."""
    estimated: bool
    """From characters, for at least one dataset, and not from counted tokens."""


def propose_rows(
    manifests: Sequence[Manifest], shares: Sequence[float], *, pairs: int = 64, row_tokens: int = 128
) -> PackProposal | None:
    """The fewest rows in which 95% of the packs fit, when each is of one dataset drawn with these shares.

    None when no manifest has a histogram. Texts beyond `row_tokens` count as cut to it.
    """
    moments = [_tokens_a_pair(manifest, row_tokens) for manifest in manifests]
    known = [(share, *found) for share, found in zip(shares, moments, strict=True) if found and share > 0]
    if not known:
        return None
    total = sum(share for share, *_ in known)
    # Two standard deviations above the mean hold 98% of the packs of a dataset.
    needs = sorted(
        (math.ceil((pairs * mean + 2 * math.sqrt(pairs * variance)) / (row_tokens * USABLE)), share / total)
        for share, mean, variance, _ in known
    )
    held = 0.0
    rows = needs[-1][0]
    for need, share in needs:
        held += share
        if held >= FITTING:
            rows = need
            break
    used = sum(share / total * min(pairs * mean, rows * row_tokens) for share, mean, *_ in known)
    fitting = sum(share for need, share in needs if need <= rows)
    return PackProposal(pairs, row_tokens, rows, fitting, used / (rows * row_tokens), any(e for *_, e in known))


def _tokens_a_pair(manifest: Manifest, most: int) -> tuple[float, float, bool] | None:
    """(mean, variance, estimated) of the tokens of a pair's anchor and positive."""
    sides = {side: np.zeros((2, 0)) for side in ("anchor", "positive")}
    estimated = False
    for part in manifest.parts:
        kind = "tokens" if TRAIN in part.statistics.get("tokens", {}) else "characters"
        histogram: Mapping[str, Any] = part.statistics.get(kind, {})
        if TRAIN not in histogram:
            continue
        estimated |= kind == "characters"
        tokens = _middles(histogram["edges"], kind, most)
        for side in sides:
            counts = np.array(histogram[TRAIN][side], float)
            sides[side] = np.concatenate([sides[side], np.stack([tokens, counts])], axis=1)
    if not all(counts.sum() for _, counts in sides.values()):
        return None
    mean = variance = 0.0
    for tokens, counts in sides.values():
        of_side = float(np.average(tokens, weights=counts))
        mean += of_side
        variance += float(np.average((tokens - of_side) ** 2, weights=counts))
    return mean, variance, estimated


def _middles(edges: Sequence[int], kind: str, most: int) -> NDArray[np.float64]:
    """[bins] tokens of a text in the middle of each bin, at most `most`; the last bin is open."""
    lower = np.array(edges, float)
    middle = (lower + np.append(lower[1:], lower[-1] * 2)) / 2
    tokens = middle if kind == "tokens" else middle / CHARACTERS_A_TOKEN + SPECIAL_TOKENS
    return np.minimum(tokens, most)
