"""From a checkpoint to an encoder folder that sentence-transformers, transformers and we open."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from flax import nnx

from schemas.tokens import max_length
from trainer.card import write_card
from trainer.checkpoint import Checkpoints
from trainer.config import TrainConfig
from trainer.encode import read_head
from trainer.encoders.fetch import resolve_encoder
from trainer.encoders.weights import load_encoder, save_encoder
from trainer.step import init_state

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)


def export(config: TrainConfig, run_folder: str | Path, target: str | Path, *, step: int | None = None) -> int:
    """Write the encoder of a run's checkpoint (the latest by default) to folder `target`; returns its step.

    The folder appears whole; one that was there and is an encoder folder is replaced. Raises
    FileNotFoundError when there is no checkpoint, FileExistsError when `target` is something else.
    """
    target = Path(target)
    if target.exists() and any(target.iterdir()) and not (target / "modules.json").is_file():
        raise FileExistsError(f"{target} exists and is not an encoder folder; choose another")
    base = resolve_encoder(config.encoder)
    encoder = load_encoder(base)
    _, like = init_state(encoder, config)
    checkpoints = Checkpoints(Path(run_folder) / "checkpoints", read_only=True)
    state, _ = checkpoints.restore(like, step)
    checkpoints.close()
    nnx.update(encoder, nnx.State(state.params))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        made = Path(scratch, target.name)
        save_encoder(encoder, made, base=base)
        for name in TOKENIZER_FILES:
            if (base / name).is_file():
                shutil.copy(base / name, made / name)
        _write_head(made, base, encoder.config.hidden_size, similarity=config.loss.similarity)
        write_card(
            made,
            config=config,
            step=int(state.step),
            dimensions=encoder.config.hidden_size,
            max_tokens=max_length(base),
            pooling=read_head(base)[0],
        )
        shutil.rmtree(target, ignore_errors=True)
        os.replace(made, target)
    return int(state.step)


def _write_head(folder: Path, base: Path, dimensions: int, *, similarity: str) -> None:
    """What stands on the transformer, as sentence-transformers writes it: pooling, and unit length unless the loss saw
    dot products."""
    pooling, _ = read_head(base)
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
        "config_sentence_transformers.json": {
            "__version__": {},
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": similarity,
        },
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
    for path, _ in kinds:
        (folder / path).mkdir(exist_ok=True)
