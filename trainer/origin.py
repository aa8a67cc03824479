"""What a checkpoint was made from, as digests: a run goes on only with the same, or when asked to."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from schemas.manifest import Manifest
from schemas.mixture import Mixture
from schemas.tokens import Prefixes


def digest_of(document: object) -> str:
    """sha256, in hex, of a JSON-ready document, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def make_origin(
    settings: Mapping[str, Any],
    mixture: Mixture,
    manifests: Mapping[str, Manifest],
    *,
    batches: str,
    tokenizer: str,
    encoder: str,
) -> dict[str, Any]:
    """The JSON-ready origin of a run's checkpoints.

    `batches` is the plan's digest: it alone decides whether batches are the same, those of the mixture and
    of each dataset say which of them made the difference. `tokenizer` is `tokenizer_digest`'s, `encoder` that of
    the encoder's shape and pooling: its weights are the checkpoint's own.
    """
    drawn = [entry for entry in mixture.datasets if entry.name in mixture.drawn]
    return {
        "settings": dict(settings),
        "batches": batches,
        "mixture": hashlib.sha256(repr((drawn, mixture.batch, mixture.segments)).encode()).hexdigest(),
        "manifests": {name: manifest.pairs_hash for name, manifest in manifests.items()},
        "tokenizer": tokenizer,
        "encoder": encoder,
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
    if (mixture := theirs.get("mixture", "")) != ours["mixture"]:
        whats.insert(0, f"mixture ({mixture[:12]}…, now {ours['mixture'][:12]}…)")
    return ", ".join(whats) or f"batches in another order ({theirs['batches'][:12]}…, now {ours['batches'][:12]}…)"


def different_encoder(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """As `different_data`, of tokenizer and encoder; a checkpoint that does not say is taken to have the same."""
    for what in ("tokenizer", "encoder"):
        if (before := theirs.get(what, ours[what])) != ours[what]:
            return f"{what} ({before[:12]}…, now {ours[what][:12]}…)"
    return None


def refuse_other_origin(
    folder: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any], accepted: Mapping[str, bool]
) -> None:
    """Raise ValueError where a folder's checkpoints are of another origin; `accepted`: "batches", "settings"."""
    if not accepted["batches"] and (what := different_data(ours, theirs)):
        raise ValueError(
            f"{folder}: its checkpoints were trained on another mixture or other data: {what}; "
            "choose another --output, or go on with --accept-other-batches"
        )
    if not accepted["settings"] and (what := different_encoder(ours, theirs)):
        raise ValueError(
            f"{folder}: its checkpoints were trained with another {what}; "
            "choose another --output, or go on with --accept-other-settings"
        )


def refuse_other_ids(manifests: Iterable[Manifest], tokenizer: str, prefixes: Prefixes) -> None:
    """Raise ValueError for a dataset of ids that a run's tokenizer, by `tokenizer_digest`, and prefixes do not give."""
    for manifest, part in ((one, part) for one in manifests if one.kind == "tokens" for part in one.parts):
        found, theirs = part.options.get("tokenizer", ""), part.options.get("prefixes")
        if found == tokenizer:
            continue
        again = [f"--{name}-prefix={prefix}" for name, prefix in prefixes._asdict().items() if prefix]
        mend = f"run `{shlex.join(['pairstream', 'tokenize', *again])}` again"
        if isinstance(theirs, list) and theirs != list(prefixes):
            fields = zip(prefixes._fields, theirs, strict=True)
            settings = [word for name, prefix in fields for word in ("--set", f"{name}_prefix={prefix}")]
            mend += f", or train with {shlex.join(settings)}"
        raise ValueError(
            f"{manifest.folder}: ids of tokenizer {found[:12]}… with prefixes {theirs}; "
            f"expected {tokenizer[:12]}… with {list(prefixes)}; {mend}"
        )
