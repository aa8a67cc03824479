"""The card of a dataset: what a reader wants to know of its pairs, and the Hub's metadata, all from the manifest."""

from __future__ import annotations

import re
import shlex

from schemas.manifest import Manifest, Part

HUB_LICENCES = ("apache-2.0", "mit", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "odc-by")
"""Those of the Hub's own names that the catalogue's licences come to; others are `other`, with a name."""

_TEMPLATE = """---
{metadata}---

# {dataset}

Pairs of texts that belong together ({tuple}), cleaned, split and shuffled by pairstream: {counts}.

| | |
| --- | --- |
| licence | {licence} |
| source | {url} |
| content hash | `{content_hash}` |

{citation}## Use

```
pairstream verify FOLDER      # every checksum
pairstream inspect FOLDER     # the first pairs
```

Each shard is a TFRecord file of `tf.train.Example` messages with features `anchor`, `positive`, `negatives` (where
there are any), `dataset`, `group` and fingerprints. Records are in shuffled order; `manifest.json` lists every file
with its checksum.

## How it was made

{parts}
## Limits

The texts are as their source has them: not checked for truth, personal data or offence beyond the filters above. They
keep the licence of their source.
"""


def dataset_card(manifest: Manifest) -> str:
    """The card, as the README.md of a repository of datasets; the same manifest gives the same card."""
    splits = sorted({name for part in manifest.parts for name in part.splits})
    counts = ", ".join(f"{manifest.records(name):,} in {name}" for name in splits) or "no records"
    return _TEMPLATE.format(
        metadata="".join(f"{line}\n" for line in _metadata(manifest)),
        dataset=manifest.dataset,
        tuple=manifest.tuple,
        counts=counts,
        licence=manifest.licence or "not stated",
        url=manifest.url or "not stated",
        content_hash=manifest.content_hash,
        citation=f"{manifest.citation}\n\n" if manifest.citation else "",
        parts="\n".join(_part(part) for part in manifest.parts),
    )


def _metadata(manifest: Manifest) -> list[str]:
    total = sum(manifest.records(name) for name in {name for part in manifest.parts for name in part.splits})
    licence = re.sub(r"[^a-z0-9.]+", "-", manifest.licence.lower()).strip("-") or "not-stated"
    return [
        *([f"license: {licence}"] if licence in HUB_LICENCES else ["license: other", f"license_name: {licence}"]),
        f"pretty_name: {manifest.dataset}",
        "task_categories:\n- sentence-similarity\n- feature-extraction",
        f"size_categories:\n- {_size(total)}",
        "tags:\n- pairstream\n- text-pairs",
    ]


def _size(records: int) -> str:
    """The Hub's name for a dataset's size."""
    edges = [(1000, "1K"), (10_000, "10K"), (100_000, "100K"), (10**6, "1M"), (10**7, "10M"), (10**8, "100M")]
    edges += [(10**9, "1B"), (10**10, "10B"), (10**11, "100B"), (10**12, "1T")]
    below = [name for edge, name in edges if records >= edge]
    above = [name for edge, name in edges if records < edge]
    if not below:
        return "n<1K"
    return f"{below[-1]}<n<{above[0]}" if above else "n>1T"


def _part(part: Part) -> str:
    rows = [f"| read | | {part.read:,} |"]
    for stage in part.funnel:
        rows += [f"| {stage.name} | {reason} | -{records:,} |" for reason, records in stage.drops.items()]
    rows += [f"| written | {name} | {split.records:,} |" for name, split in part.splits.items()]
    command = f"```\npairstream {shlex.join(part.command)}\n```\n\n" if part.command else ""
    miner = ""
    if "mined_from" in part.options:
        miner = (
            f"Negatives were mined with the encoder `{part.options['encoder']}` "
            f"(sha256 `{part.options['encoder_sha256']}`) from the dataset `{part.options['mined_from']}`.\n\n"
        )
    return f"{command}{miner}| stage | reason | records |\n| --- | --- | ---: |\n" + "\n".join(rows) + "\n"
