"""Our encoder as a model of the `mteb` package, which has to be installed (`pip install pairstream[mteb]`).

    import mteb
    from trainer.evaluate.mteb_adapter import MtebEncoder

    mteb.evaluate(MtebEncoder("runs/quickstart/encoder"), mteb.get_tasks(tasks=["STSBenchmark", "SciFact"]))

The class fulfils `mteb.models.EncoderProtocol` without inheriting, so that importing this file needs no mteb.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xxhash
from numpy.typing import NDArray

from trainer.encode import TextEncoder
from trainer.encoders.fetch import resolve_encoder
from trainer.encoders.settings import EncoderSettings

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta  # pyright: ignore[reportMissingImports]

OURS = "pairstream"
"""The organisation in the name of an encoder that is a folder: mteb wants organisation/name."""


class MtebEncoder:
    """What mteb calls an encoder: prompts, similarity and unit length are those of the encoder's folder."""

    def __init__(self, model_name: str, revision: str | None = None, *, device: str | None = None, **kwargs: Any):
        """Opens a folder, a Hub id or a name that `resolve_encoder` knows.

        mteb keeps results by name and revision; by default the revision is a digest of the folder, so that an
        encoder trained anew is not given the old one's scores. `device` must be None: JAX has chosen already.
        Raises ImportError without mteb; FileNotFoundError or ValueError, in one line, for what is no encoder of ours.
        """
        if device is not None or kwargs:
            asked = ", ".join(f"{key}={value!r}" for key, value in {"device": device, **kwargs}.items())
            raise ValueError(f"{model_name}: {asked}; expected none of them, JAX chooses its device by JAX_PLATFORMS")
        folder = resolve_encoder(model_name)
        self.encoder = TextEncoder.open(folder)
        settings = EncoderSettings.load(folder)
        self.prompts = settings.prompts
        self.mteb_model_meta = _describe(
            _name(model_name, folder),
            revision or _digest(folder),
            self.encoder,
            similarity=settings.similarity,
            has_prompts=bool(self.prompts.named),
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> NDArray[np.float32]:
        """float32[n, D] of batches {"text": n texts}, all encoded at once, so that lengths are sorted over all.

        Of the options of mteb `batch_size` and `show_progress_bar` change nothing. Raises ValueError for another
        `precision` than float32, and for batches without texts.
        """
        if (precision := kwargs.get("precision") or "float32") != "float32":
            raise ValueError(f"precision is {precision!r}; expected float32")
        prompt = self.prompt_for(task_metadata, prompt_type)
        texts: list[str] = []
        for batch in inputs:
            if "text" not in batch:
                raise ValueError(f"a batch of {task_metadata.name} has {', '.join(batch)}; expected text")
            texts += batch["text"]
        return self.encoder.encode(texts, prompt=prompt)

    def prompt_for(self, task_metadata: Any, prompt_type: Any) -> str:
        """The folder's prompt for a task and side, in mteb's order: task and side, task, its type and side, its
        type; else what sentence-transformers puts before a query, a document or any text."""
        side = getattr(prompt_type, "value", prompt_type)
        for name in (task_metadata.name, task_metadata.type):
            for key in (f"{name}-{side}", name) if side else (name,):
                if key in self.prompts.named:
                    return self.prompts.named[key]
        return {"query": self.prompts.query, "document": self.prompts.document}.get(side or "", self.prompts.default)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """[m, D] and [n, D] → a tensor [m, n], as the encoder compares."""
        from mteb.similarity_functions import cos_sim, dot_score  # pyright: ignore[reportMissingImports]

        return (dot_score if self._is_dot else cos_sim)(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """[n, D] and [n, D] → a tensor [n], as the encoder compares."""
        from mteb.similarity_functions import (  # pyright: ignore[reportMissingImports]
            pairwise_cos_sim,
            pairwise_dot_score,
        )

        return (pairwise_dot_score if self._is_dot else pairwise_cos_sim)(embeddings1, embeddings2)

    @property
    def _is_dot(self) -> bool:
        return self.mteb_model_meta.similarity_fn_name.value == "dot"


def _name(name: str, folder: Path) -> str:
    if Path(name).is_dir():
        return f"{OURS}/{folder.resolve().name}"
    return name if "/" in name else f"sentence-transformers/{name}"


def _digest(folder: Path) -> str:
    """32 hexadecimal digits over what the vectors depend on: every JSON and weights file, by name."""
    digest = xxhash.xxh3_128()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt"):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _describe(name: str, revision: str, encoder: TextEncoder, *, similarity: str, has_prompts: bool) -> ModelMeta:
    from mteb.models.model_meta import ModelMeta  # pyright: ignore[reportMissingImports]

    parameters = sum(leaf.size for leaf in jax.tree.leaves(encoder.params))
    return ModelMeta(
        loader=MtebEncoder,
        name=name,
        revision=revision,
        release_date=None,
        languages=None,
        n_parameters=parameters,
        memory_usage_mb=4 * parameters / 2**20,
        max_tokens=encoder.limit,
        embed_dim=encoder.dimensions,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["JAX"],
        similarity_fn_name=similarity,
        use_instructions=has_prompts,
        training_datasets=None,
    )
