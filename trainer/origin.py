"""What a checkpoint was made from, as digests: a run goes on only with the same, or when asked to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from schemas.manifest import Manifest
from schemas.mixture import Mixture


def digest_of(document: object) -> str:
    """sha256, in hex, of a JSON-ready document, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def make_origin(
    settings: Mapping[str, Any], mixture: Mixture, manifests: Mapping[str, Manifest], *, batches: str, tokenizer: str
) -> dict[str, Any]:
    """The JSON-ready origin of a run's checkpoints.

    `batches` is the plan's digest: it alone decides whether batches are the same, those of the mixture and
    of each dataset say which of them made the difference. `tokenizer` is `tokenizer_digest`'s.
    """
    drawn = [entry for entry in mixture.datasets if entry.name in mixture.drawn]
    return {
        "settings": dict(settings),
        "config": digest_of(settings),
        "batches": batches,
        "mixture": hashlib.sha256(repr((drawn, mixture.batch, mixture.segments)).encode()).hexdigest(),
        "manifests": {name: manifest.pairs_hash for name, manifest in manifests.items()},
        "tokenizer": tokenizer,
    }


def different_data(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Which data the two disagree about, in words for one line; None: their batches are the same."""
    if ours["batches"] == theirs["batches"]:
        return None
    before, now = theirs.get("manifests", {}), ours["manifests"]
    names = sorted(name for name in before.keys() & now.keys() if before[name] != now[name])
    whats = [f"dataset {name!r} ({before[name][:12]}…, now {now[name][:12]}…)" for name in names[:3]]
    if len(names) > 3:
        whats.append(f"{len(names) - 3} more datasets")
    if ours["mixture"] != theirs.get("mixture") or not whats:
        whats.insert(0, f"mixture ({theirs.get('mixture', theirs['batches'])[:12]}…, now {ours['mixture'][:12]}…)")
    return ", ".join(whats)


def different_tokenizer(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """As `different_data`, of the tokenizer; a checkpoint that does not say is taken to have the same."""
    before = theirs.get("tokenizer", ours["tokenizer"])
    return None if before == ours["tokenizer"] else f"tokenizer ({before[:12]}…, now {ours['tokenizer'][:12]}…)"
