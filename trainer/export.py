"""From a checkpoint to an encoder folder that sentence-transformers, transformers and we open."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flax import nnx
from tokenizers import Tokenizer

from schemas.tokens import load_tokenizer, max_length, pad_id
from trainer.card import write_card
from trainer.checkpoint import CHECKPOINTS_FOLDER, Checkpoints
from trainer.config import Pooling, TrainConfig
from trainer.encoders.fetch import resolve_encoder
from trainer.encoders.head import read_head
from trainer.encoders.settings import EncoderSettings, Prompts
from trainer.encoders.weights import Stored, init_encoder, load_encoder, save_encoder
from trainer.onnx_export import write_onnx
from trainer.record import read_record
from trainer.step import init_state

TOKENIZER_FILES = ("special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
"""Taken over as they are; `tokenizer.json` and `tokenizer_config.json` are told the maximum length."""


@dataclass(frozen=True)
class ExportOptions:
    """In what forms an encoder is written."""

    dtype: Stored = "float32"
    """Of `model.safetensors`; bfloat16 is half the size, and keeps 8 bits of each number's fraction."""
    onnx: bool = False
    """Write `onnx/model.onnx` too."""
    int8: bool = False
    """Write `onnx/model_int8.onnx` too, which implies the other."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Name → what is to stand before such texts, white space included, in place of what the run says:
    `{"query": "query: "}`."""


def export(
    config: TrainConfig,
    run_folder: str | Path,
    target: str | Path,
    *,
    step: int | None = None,
    options: ExportOptions | None = None,
) -> int:
    """Write the encoder of a run's checkpoint (the latest by default) to folder `target`; returns its step.

    The folder appears whole; one that was there and is an encoder folder is replaced. Raises
    FileNotFoundError when there is no checkpoint, FileExistsError when `target` is something else.
    """
    options = options or ExportOptions()
    target = Path(target)
    if target.is_file() or (target.exists() and any(target.iterdir()) and not (target / "modules.json").is_file()):
        raise FileExistsError(f"{target} exists and is not an encoder folder; choose another")
    pretrained = config.initial == "pretrained"
    whence = f"the run started from it; see encoder in {run_folder}/config.json"
    base = resolve_encoder(config.encoder, whence, weights=pretrained)
    encoder = load_encoder(base) if pretrained else init_encoder(base, seed=config.seed)
    _, like = init_state(encoder, config)
    checkpoints = Checkpoints(Path(run_folder) / CHECKPOINTS_FOLDER, read_only=True)
    state, _ = checkpoints.restore(like, step)
    checkpoints.close()
    nnx.update(encoder, nnx.State(state.params))
    done = int(state.step)
    # Not in a parent that is yet to be made: an export that is refused leaves no folder.
    there = next(parent for parent in target.absolute().parents if parent.is_dir())
    with tempfile.TemporaryDirectory(dir=there, prefix=f".{target.name}-") as scratch:
        made = Path(scratch, target.name)
        save_encoder(encoder, made, base=base, pooler=pretrained, dtype=options.dtype)
        _write_tokenizer(made, base)
        pooling = config.pooling or read_head(base).pooling
        similarity = config.loss.similarity
        prompts = {**prompts_of(config), **options.prompts}
        _write_head(made, base, encoder.config.hidden_size, pooling, similarity, prompts)
        forms = write_onnx(made, int8=options.int8) if options.onnx or options.int8 else {}
        write_card(
            made,
            config=config,
            step=done,
            dimensions=encoder.config.hidden_size,
            max_tokens=max_length(base),
            pooling=pooling,
            record=read_record(run_folder, done, config.batch_size),
            dtype=options.dtype,
            forms=tuple(forms),
            prompts=prompts,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(made, target)
    return done


def prompts_of(config: TrainConfig) -> dict[str, str]:
    """The prompts of an encoder that saw texts with the run's prefixes; none where it had none."""
    prompts = {"query": config.anchor_prefix, "document": config.positive_prefix}
    return prompts if any(prompts.values()) else {}


def best_step(run_folder: str | Path) -> int:
    """The step of the checkpoint with the highest score. Raises FileNotFoundError when none has one."""
    checkpoints = Checkpoints(Path(run_folder) / CHECKPOINTS_FOLDER, read_only=True)
    best = checkpoints.best
    checkpoints.close()
    if best is None:
        raise FileNotFoundError(f"{run_folder}: no checkpoint with a score; train with --set evaluation.every=1000")
    return best[0]


def _write_tokenizer(folder: Path, base: Path) -> None:
    """The base's tokenizer, which pads to the longest text and cuts at the maximum length.

    Whoever reads `tokenizer.json` alone gets our ids so; all-MiniLM-L6-v2's own pads and cuts all texts to 128.
    """
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copy(base / name, folder / name)
    tokenizer, limit = load_tokenizer(base), max_length(base)
    padding = pad_id(tokenizer)
    tokenizer.enable_truncation(limit)
    tokenizer.enable_padding(pad_id=padding, pad_token=tokenizer.id_to_token(padding))
    tokenizer.save(str(folder / "tokenizer.json"))
    stated = base / "tokenizer_config.json"
    # Without such a file transformers would guess the class from the family, and rebuild the vocabulary's rules.
    document = json.loads(stated.read_text()) if stated.is_file() else _plain_tokenizer(tokenizer, padding)
    written = json.dumps(document | {"model_max_length": limit}, indent=2)
    (folder / "tokenizer_config.json").write_text(written + "\n")


def _plain_tokenizer(tokenizer: Tokenizer, padding: int) -> dict[str, Any]:
    return {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": tokenizer.id_to_token(padding)}


def _write_head(
    folder: Path, base: Path, dimensions: int, pooling: Pooling, similarity: str, prompts: Mapping[str, str]
) -> None:
    """What stands on the transformer, as sentence-transformers writes it: pooling, and unit length unless the loss saw
    dot products."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if similarity == "cosine":
        kinds.append(("2_Normalize", "Normalize"))
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds)
    ]
    documents = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": max_length(base), "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": dimensions,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
            "pooling_mode_weightedmean_tokens": False,
            "pooling_mode_lasttoken": False,
            "include_prompt": True,
        },
    }
    for name, document in documents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n")
    EncoderSettings(Prompts.of_sides(prompts), similarity).save(folder)
    for path, _ in kinds:
        (folder / path).mkdir(exist_ok=True)
