"""The model card: what a reader of an encoder folder wants to know, and the Hub's metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from schemas.manifest import Manifest
from schemas.mixture import Mixture
from trainer.config import OptimizerConfig, TrainConfig
from trainer.record import Record

CARD = "README.md"
SCORES_BEGIN, SCORES_END = "<!-- scores -->", "<!-- end of scores -->"
BIAS_BEGIN, BIAS_END = "<!-- bias -->", "<!-- end of bias -->"
_COMPARED = {
    "cosine": "Vectors have unit length and are compared by cosine.",
    "dot": "Vectors are compared by dot product, and are not brought to unit length: their length carries meaning.",
}
_LOSS = {"cosine": "Scaled-cosine softmax", "dot": "Dot-product softmax"}

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
Trained with pairstream from {start} for {steps:,} steps.

## Use

```python
from sentence_transformers import SentenceTransformer

encoder = SentenceTransformer("path/of/this/folder")
vectors = encoder.encode(["how do I read a file line by line?", "def read_lines(path): ..."])
print(encoder.similarity(vectors, vectors))
```

{compared} Texts are cut after {max_tokens} tokens.{prompts}
{forms}
## Scores

{begin}
Not evaluated yet: `pairstream evaluate FOLDER --retrieval DATASET --card`
{end}

## Training data

| dataset | tuple (anchor → positive) | pairs | weight | share of rows | epochs seen | licence |
| --- | --- | ---: | ---: | ---: | ---: | --- |
{data_rows}

Data keeps the licence of its source. {weights}

## Training

{loss} over the batch (scale {scale:g}, {direction}), in-batch negatives{masking}{hard}; {pooling} pooling.

```
{command}
```
{machine}

| setting | value |
| --- | --- |
{setting_rows}

<details><summary>The run's whole config</summary>

```json
{config}
```

</details>

## Bias

{bias_begin}
Not measured: `pairstream evaluate FOLDER --gender-bias --card`
{bias_end}

## Limits

An encoder reflects its data: it knows what the datasets above are about, in their languages, and repeats
their biases. Similarity is not truth: a text that contradicts another can lie close to it. What stands after the
first {max_tokens} tokens of a text is not seen.
"""


def write_card(
    folder: str | Path,
    *,
    config: TrainConfig,
    step: int,
    dimensions: int,
    max_tokens: int,
    pooling: str,
    record: Record,
    dtype: str = "float32",
    forms: Sequence[str] = (),
    prompts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the card of an encoder exported from a run. Its base's licence is Apache-2.0 where it is known; an encoder
    that began with random weights has no base.

    `record` says how it was trained, `dtype` of what type its weights are, `forms` names its other files of weights,
    `prompts` is what stands before texts, by name.
    """
    mixture = Mixture.load(config.mixture)
    start, weights, base_line = _beginning(config)
    name = config.encoder.removeprefix("sentence-transformers/")
    known = config.initial == "pretrained" and name.startswith(("all-MiniLM", "all-mpnet"))
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
        base_line=base_line,
        name=config.name,
        start=start,
        weights=weights,
        dimensions=dimensions,
        steps=step,
        max_tokens=max_tokens,
        begin=SCORES_BEGIN,
        end=SCORES_END,
        data_rows="\n".join(_data_rows(config, mixture, step)),
        compared=_COMPARED[config.loss.similarity],
        forms=_forms(dtype, forms),
        prompts=_prompts(prompts),
        bias_begin=BIAS_BEGIN,
        bias_end=BIAS_END,
        loss=_LOSS[config.loss.similarity],
        hard=f" and {config.negatives} hard negatives a pair" if config.negatives else "",
        command=record.command or f"pairstream train config.json   # the run's, below, for {step:,} steps",
        machine=_machine(record),
        config=json.dumps(config.to_json(), indent=2),
        scale=config.loss.scale,
        direction="both directions averaged" if config.loss.symmetric else "anchor to positive",
        masking=", known false negatives masked" if config.loss.mask_false_negatives else "",
        pooling=pooling,
        setting_rows="\n".join(f"| {name} | {value} |" for name, value in settings.items()),
    )
    replace_card(Path(folder) / CARD, card)


def _forms(dtype: str, forms: Sequence[str]) -> str:
    rounded = "" if dtype == "float32" else f"The weights are stored in {dtype}.\n"
    also = "" if not forms else f"Also here: {', '.join(f'`{name}`' for name in forms)}.\n"
    return rounded + also


def _prompts(prompts: Mapping[str, str]) -> str:
    if not any(prompts.values()):
        return ""
    said = " and ".join(f"`{prompt}` before each {name}" for name, prompt in prompts.items() if prompt)
    return f"\nIt was trained with {said}: `encode_query` and `encode_document` put it there."


def _machine(record: Record) -> str:
    """Hardware and time, as far as they are known; a line of its own."""
    took = f"{record.seconds / 3600:.2f} hours" if record.seconds >= 3600 else f"{record.seconds / 60:.1f} minutes"
    parts = [record.hardware, f"{took} of training" if record.seconds else ""]
    said = "; ".join(filter(None, parts))
    return f"\n{said}.\n" if said else ""


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


def _beginning(config: TrainConfig) -> tuple[str, str, str]:
    """What the run started from, whose licence the weights are under, and the Hub's line about a base."""
    if config.initial == "random":
        start = f"random weights, in the shape and with the tokenizer of **{config.encoder}**,"
        return start, "The weights began as random numbers, and have no base.", ""
    weights = "The weights were trained from a base under the licence named above."
    return f"**{config.encoder}**", weights, _base_line(config.encoder)


def _base_line(encoder: str) -> str:
    """The Hub's metadata of the base; nothing for a local folder, which no reader could open."""
    if Path(encoder).is_dir():
        return ""
    return f"base_model: {encoder if '/' in encoder else f'sentence-transformers/{encoder}'}\n"


def _data_rows(config: TrainConfig, mixture: Mixture, step: int) -> list[str]:
    manifests = {name: Manifest.load(Path(config.data) / name) for name in mixture.drawn}
    shares = _shares(mixture, _lines(manifests), step)
    weights = dict(zip((e.name for e in mixture.datasets), mixture.weigh(_lines(manifests))[-1][1], strict=True))
    rows = []
    for name, manifest in manifests.items():
        pairs, share = manifest.records("train"), shares[name]
        seen = share * step * config.batch_size / pairs
        rows.append(
            f"| {name} | {manifest.tuple} | {pairs:,} | {weights[name]:g} | {share:.1%} | {seen:.2g} | "
            f"{manifest.licence or 'not stated'} |"
        )
    return rows


def _lines(manifests: Mapping[str, Manifest]) -> dict[str, int]:
    return {name: manifest.records("train") for name, manifest in manifests.items()}


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


def replace_card(path: Path, text: str) -> None:
    """Write a card, whole, in place of the one that was there."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(text.encode())
    os.replace(temporary, path)
