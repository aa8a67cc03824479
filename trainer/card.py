"""The model card: what a reader of an encoder folder wants to know, and the Hub's metadata."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.manifest import Manifest
from schemas.mixture import Mixture
from trainer.config import OptimizerConfig, TrainConfig

CARD = "README.md"
SCORES_BEGIN, SCORES_END = "<!-- scores -->", "<!-- end of scores -->"

_TEMPLATE = """---
license: {licence}
library_name: sentence-transformers
pipeline_tag: sentence-similarity
{base_line}tags:
- sentence-transformers
- feature-extraction
- sentence-similarity
- pairstream
---

# {name}

A sentence encoder: texts become vectors of {dimensions} numbers, and texts that belong together lie close.
Trained with pairstream from **{base}** for {steps:,} steps.

## Use

```python
from sentence_transformers import SentenceTransformer

encoder = SentenceTransformer("path/of/this/folder")
vectors = encoder.encode(["how do I read a file line by line?", "def read_lines(path): ..."])
print(encoder.similarity(vectors, vectors))
```

Vectors have unit length and are compared by cosine. Texts are cut after {max_tokens} tokens.

## Scores

{begin}
Not evaluated yet: `pairstream evaluate FOLDER --retrieval DATASET --card`
{end}

## Training data

| dataset | tuple (anchor → positive) | pairs | share of rows | times seen | licence |
| --- | --- | ---: | ---: | ---: | --- |
{data_rows}

Data keeps the licence of its source. The weights were trained from a base under the licence named above.

## Training

Scaled-cosine softmax over the batch (scale {scale:g}, {direction}), in-batch negatives{masking}; {pooling} pooling.

| setting | value |
| --- | --- |
{setting_rows}

## Limits

An encoder reflects its data: it knows what the datasets above are about, in their languages, and repeats
their biases. Similarity is not truth.
"""


def write_card(
    folder: str | Path, *, config: TrainConfig, step: int, dimensions: int, max_tokens: int, pooling: str
) -> None:
    """Write the card of an encoder exported from a run. Its base's licence is Apache-2.0 where it is known."""
    mixture = Mixture.load(config.mixture)
    known = config.encoder.removeprefix("sentence-transformers/").startswith(("all-MiniLM", "all-mpnet"))
    options = config.optimizer
    settings = {
        "batch size": f"{config.batch_size:,} pairs",
        "steps": f"{step:,}",
        "learning rate": f"{options.learning_rate:g}",
        "schedule": f"{options.schedule}: up over {options.warmup_steps:,} steps, end at {config.schedule_steps:,}, "
        f"final rate {options.final_rate:g} of the learning rate",
        "optimizer": _optimizer_line(options),
        "gradient clipping": "none" if options.clip_norm is None else f"global norm {options.clip_norm:g}",
        "tokens a text": f"{config.pack.max_anchor_tokens or max_tokens} (anchor), "
        f"{config.pack.max_positive_tokens or max_tokens} (positive)",
        "dropout": "the base's" if config.dropout is None else f"{config.dropout:g}",
        "activations": config.compute_dtype,
        "seed": config.seed,
    }
    card = _TEMPLATE.format(
        licence="apache-2.0" if known else "other",
        base_line=_base_line(config.encoder),
        name=config.name,
        base=config.encoder,
        dimensions=dimensions,
        steps=step,
        max_tokens=max_tokens,
        begin=SCORES_BEGIN,
        end=SCORES_END,
        data_rows="\n".join(_data_rows(config, mixture, step)),
        scale=config.loss.scale,
        direction="both directions averaged" if config.loss.symmetric else "anchor to positive",
        masking=", known false negatives masked" if config.loss.mask_false_negatives else "",
        pooling=pooling,
        setting_rows="\n".join(f"| {name} | {value} |" for name, value in settings.items()),
    )
    _replace(Path(folder) / CARD, card)


def _optimizer_line(options: OptimizerConfig) -> str:
    """The optimizer and those of its numbers that it uses."""
    numbers = {
        "adamw": f", betas {options.beta1:g} and {options.beta2:g}, epsilon {options.epsilon:g}",
        "lamb": f", betas {options.beta1:g} and {options.beta2:g}, epsilon {options.epsilon:g}",
        "lion": f", betas {options.beta1:g} and {options.beta2:g}",
        "sgd": f", momentum {options.momentum:g}",
        "adafactor": "",
    }
    return f"{options.name}{numbers[options.name]}, weight decay {options.weight_decay:g} ({options.decayed})"


def _base_line(encoder: str) -> str:
    """The Hub's metadata of the base; nothing for a local folder, which no reader could open."""
    if Path(encoder).is_dir():
        return ""
    return f"base_model: {encoder if '/' in encoder else f'sentence-transformers/{encoder}'}\n"


def _data_rows(config: TrainConfig, mixture: Mixture, step: int) -> list[str]:
    manifests = {name: Manifest.load(Path(config.data) / name) for name in mixture.drawn}
    shares = _shares(mixture, {name: manifest.records("train") for name, manifest in manifests.items()}, step)
    rows = []
    for name, manifest in manifests.items():
        pairs, share = manifest.records("train"), shares[name]
        seen = share * step * config.batch_size / pairs
        rows.append(
            f"| {name} | {manifest.tuple} | {pairs:,} | {share:.1%} | {seen:.2g} | {manifest.licence or 'not stated'} |"
        )
    return rows


def _shares(mixture: Mixture, lines: dict[str, int], step: int) -> dict[str, float]:
    """Each dataset's share of the rows of `step` batches, by its weights at each."""
    segments = mixture.weigh(lines)
    ends = [*(first for first, _ in segments[1:]), step]
    shares = dict.fromkeys((entry.name for entry in mixture.datasets), 0.0)
    for (first, weights), end in zip(segments, ends, strict=True):
        part = max(min(end, step) - first, 0) / max(step, 1)
        for entry, weight in zip(mixture.datasets, weights, strict=True):
            shares[entry.name] += part * weight / sum(weights)
    return shares


def put_scores(folder: str | Path, scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Put `{contender: {dataset: {measure: value}}}` into the card, in place of what stood there.

    Raises FileNotFoundError or ValueError when the folder has no card of ours.
    """
    path = Path(folder) / CARD
    text = path.read_text() if path.is_file() else ""
    before, begin, rest = text.partition(SCORES_BEGIN)
    _, end, after = rest.partition(SCORES_END)
    if not begin or not end:
        raise ValueError(f"{path}: no scores section; expected a card that `pairstream export` wrote")
    datasets = list(dict.fromkeys(dataset for of_one in scores.values() for dataset in of_one))
    measures = ("mrr@10", "ndcg@10", "recall@10")
    lines = []
    for dataset in datasets:
        first = next(of_one[dataset] for of_one in scores.values() if dataset in of_one)
        lines += [
            f"Held-out groups of `{dataset}`: {first['queries']:,} queries, {first['candidates']:,} candidates.\n",
            f"| | {' | '.join(measures)} |",
            f"| --- |{' ---: |' * len(measures)}",
            *(
                f"| {name} | {' | '.join(f'{of_one[dataset][measure]:.3f}' for measure in measures)} |"
                for name, of_one in scores.items()
            ),
            "",
        ]
    _replace(path, before + begin + "\n" + "\n".join(lines) + end + after)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
