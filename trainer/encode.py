"""From texts to vectors with a finished encoder: one text a row, few shapes, input order kept."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.tokens import load_tokenizer, max_length, pad_id, truncate
from trainer.encoders.bert import BertEncoder
from trainer.encoders.head import Head, read_head
from trainer.encoders.settings import EncoderSettings, Prompts
from trainer.encoders.weights import load_encoder
from trainer.mesh import DATA, make_mesh, one_device_mesh
from trainer.pooling import normalize, pool

FINE, COARSE = 12, 5  # a row length is cut by at most 2/FINE of it to give the next
MANY_TOKENS = 1 << 15  # from here on less padding pays for more compilations, of about half a second each on a CPU
FEW = 8  # rows of the batch for a few texts alone, such as one query, which one device embeds
TOKENIZED_AT_ONCE = 1024  # the library's own encodings take kilobytes a text; ids are kept, they are not
IN_FLIGHT = 2  # batches whose results are not yet fetched, so that the device never waits for the host


class TextEncoder:
    """An encoder with its tokenizer and pooling: all it takes from a text to its vector."""

    def __init__(
        self,
        encoder: BertEncoder,
        tokenizer: Tokenizer,
        *,
        limit: int,
        head: Head | None = None,
        prompts: Prompts | None = None,
    ):
        """`limit` is the most tokens of a text, special ones included; longer texts are cut."""
        self.graphdef, variables = nnx.split(encoder)
        self.params = nnx.to_pure_dict(variables)
        self.prompts = prompts or Prompts()
        self.tokenizer = tokenizer
        self.limit = limit
        self.head = head or Head()
        self.dimensions = encoder.config.hidden_size

    @classmethod
    def open(cls, folder: str | Path, *, dtype: Any = jnp.float32) -> TextEncoder:
        """Reads an encoder folder as sentence-transformers and we write them.

        Without a `modules.json` vectors are means of unit length. Raises FileNotFoundError or
        ValueError, in one line, when a file is missing or asks for what is not supported.
        """
        folder = Path(folder)
        return cls(
            load_encoder(folder, dtype=dtype),
            load_tokenizer(folder),
            limit=max_length(folder),
            head=read_head(folder),
            prompts=EncoderSettings.load(folder).prompts,
        )

    @functools.cached_property
    def _meshes(self) -> tuple[tuple[Mesh, Any], ...]:
        """(mesh, parameters on it) of one device, then of all devices of this process."""
        meshes = (one_device_mesh(), make_mesh(jax.local_devices()))
        # Not copied where they are in place already: nothing here donates them.
        return tuple((mesh, jax.device_put(self.params, NamedSharding(mesh, PartitionSpec()))) for mesh in meshes)

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        batch_tokens: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """float32[n, D], row i for text i; the batches are spread over all devices.

        `prompt` is put before every text (None: the folder's default prompt, which most have not);
        `batch_tokens` is the size of a batch on a device, padding included (None: what suits it);
        `progress` is called with the number of texts done.
        """
        if batch_tokens is None:  # a CPU is fastest when a batch's activations stay in its cache
            batch_tokens = 1024 if jax.default_backend() == "cpu" else 32768
        (one, one_params), (every, every_params) = self._meshes
        ids = self.token_ids(texts, prompt)
        skipped = 0 if self.head.pools_prompt else self._prompt_tokens(prompt)
        vectors = np.empty((len(ids), self.dimensions), np.float32)
        waiting: deque[tuple[NDArray[np.intp], jax.Array]] = deque()
        done = 0

        def fetch() -> None:
            nonlocal done
            members, result = waiting.popleft()
            vectors[members] = np.asarray(result)[: len(members)]
            done += len(members)
            if progress is not None:
                progress(done)

        padding = pad_id(self.tokenizer)
        sizes = np.array([len(text) for text in ids], np.int64)
        for members, shape in plan_rows(sizes, self.limit, batch_tokens * every.size, every.size):
            tokens = np.full(shape, padding, np.int32)
            for row, member in enumerate(members):
                tokens[row, : sizes[member]] = ids[member]
            lengths = np.zeros(shape[0], np.int32)
            lengths[: len(members)] = sizes[members]
            mesh, params = (one, one_params) if shape[0] == FEW else (every, every_params)
            result = _embed_rows(params, tokens, lengths, skipped, self.graphdef, self.head, mesh)
            waiting.append((members, result))
            if len(waiting) > IN_FLIGHT:
                fetch()
        while waiting:
            fetch()
        return vectors

    def token_ids(self, texts: Sequence[str], prompt: str | None = None) -> list[NDArray[np.int32]]:
        """The ids of each text, special ones included, cut to the limit; `prompt` is as for `encode`."""
        before = self.prompts.default if prompt is None else prompt
        ids = []
        for start in range(0, len(texts), TOKENIZED_AT_ONCE):
            chunk = [before + text for text in texts[start : start + TOKENIZED_AT_ONCE]]
            for encoding in self.tokenizer.encode_batch_fast(chunk):
                ids.append(np.array(truncate(encoding.ids, self.limit), np.int32))
        return ids

    def _prompt_tokens(self, prompt: str | None) -> int:
        """How many tokens of a text are the prompt's, what the tokenizer puts before all texts included."""
        before = self.prompts.default if prompt is None else prompt
        if not before:
            return 0
        encoding = self.tokenizer.encode(before)
        return len(encoding.ids) - encoding.special_tokens_mask[-1]  # what stands after all texts is not the prompt's


def row_lengths(limit: int, parts: int) -> tuple[int, ...]:
    """The lengths rows may have: from `limit` down by one to two of its `parts` at a time, in multiples of 8.

    >>> row_lengths(256, COARSE)
    (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
    >>> row_lengths(256, FINE)[-8:]
    (96, 112, 128, 144, 160, 192, 224, 256)
    """
    lengths = [limit]
    while lengths[-1] > 8:
        step = 8
        while step * parts <= lengths[-1]:
            step *= 2
        lengths.append((lengths[-1] - 1) // step * step)
    return tuple(reversed(lengths))


def plan_rows(
    sizes: NDArray[np.int64], limit: int, batch_tokens: int, devices: int = 1
) -> Iterator[tuple[NDArray[np.intp], tuple[int, int]]]:
    """Which texts go together: (their indexes, (rows, row length)) for each batch; no text is longer than `limit`.

    Longest first, so that memory runs out at once or never, and the rows a length leaves over are
    filled with the next shorter texts: only the last batch has empty rows. Rows are a multiple of
    `FEW` for each of the devices, but for the batch of `FEW` rows alone. Of few tokens the rows have few
    lengths, since each shape is compiled.
    """
    lengths = row_lengths(limit, FINE if sizes.sum() >= MANY_TOKENS else COARSE)
    unit = FEW * devices
    order = np.argsort(-sizes, kind="stable")
    start = 0
    while start < len(order):
        length = next(n for n in lengths if n >= sizes[order[start]])
        rows = max(unit, batch_tokens // length // unit * unit)
        if len(order) - start <= FEW:
            rows = FEW
        yield order[start : start + rows], (rows, length)
        start += rows


@functools.partial(jax.jit, static_argnames=("graphdef", "head", "mesh"))
def _embed_rows(
    params: dict[str, Any],
    tokens: jax.Array,
    lengths: jax.Array,
    skipped: int | jax.Array,
    graphdef: nnx.GraphDef,
    head: Head,
    mesh: Mesh,
) -> jax.Array:
    """int32[R, L] ids and int32[R] lengths, one text a row → float32[R, D]; zero for an empty row.

    The first `skipped` tokens of a text are seen by the others and left out of its vector.
    """

    def embed(params: dict[str, Any], tokens: jax.Array, lengths: jax.Array, skipped: jax.Array) -> jax.Array:
        rows, width = tokens.shape
        places = jnp.arange(width)
        filled = places < lengths[:, None]
        segments = jnp.where(filled, jnp.arange(1, rows + 1)[:, None], 0)
        positions = jnp.where(filled, places, 0)
        hidden = nnx.merge(graphdef, params)(tokens, segments, positions)
        pooled = jnp.where(positions >= skipped, segments, 0)
        vectors = pool(hidden, pooled, positions - skipped, rows, head.pooling)
        return normalize(vectors) if head.unit_length else vectors

    split, whole = PartitionSpec(DATA), PartitionSpec()
    # Each device embeds and pools its own rows: no device waits for another's.
    mapped = jax.shard_map(embed, mesh=mesh, in_specs=(whole, split, split, whole), out_specs=split, check_vma=False)
    return mapped(params, tokens, lengths, jnp.asarray(skipped))
