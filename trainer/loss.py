"""The in-batch softmax over similarities, with known false negatives left out.

van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), call it
InfoNCE; Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply" (2017),
use it on sentence pairs as the multiple-negatives ranking loss. The symmetric form is that of
Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021); the
sum over leading dimensions that of Kusupati et al., "Matryoshka Representation Learning" (2022).

The batch is spread over devices by rows. A device holds the logits of its own anchors against the
documents of all rows, and of those one block at a time: what a softmax needs of a block is its
greatest logit and a sum (`Partial`), and these add up over blocks and over devices.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike

from schemas.batch import ANCHOR, POSITIVE
from trainer.config import Similarity
from trainer.mesh import DATA, one_device_mesh
from trainer.pooling import normalize

LOGITS_A_BLOCK = 2**26
"""Most logits that a device holds at once: 256 MiB, one block for a batch of 8,192 on one device."""

LOWEST = -1e30
"""Stands for the greatest of no logits; finite, so that differences with it are numbers."""


class Known(NamedTuple):
    """What is known of n rows of the batch besides their embeddings."""

    present: jax.Array
    """bool[n, T] false for slots without a text."""
    fingerprints: jax.Array
    """uint32[n, T, 2] of the normalised texts."""
    clusters: jax.Array
    """uint32[n, 2] zero for no cluster."""
    numbers: jax.Array
    """int32[n] place in the global batch."""


class Partial(NamedTuple):
    """The sum of exp over some logits, as `exp(peak) * total`."""

    peak: jax.Array
    total: jax.Array


class Block(NamedTuple):
    """What n rows make of one block of documents; every field is [n], but `columns`, which is [m]."""

    rows: Partial
    """Over the documents that a row sees."""
    columns: Partial | None
    """Over the anchors that a positive of the block sees."""
    own: jax.Array
    """A row's logit with its own positive, where the block holds it, else 0."""
    best_other: jax.Array
    """A row's greatest logit with another document it sees."""
    others: jax.Array
    """Sum of a row's logits with other documents that it sees."""
    count: jax.Array
    """How many those are."""
    ignored: jax.Array
    """Documents that are there and ignored."""


def own_positives(rows: Known, columns: Known) -> jax.Array:
    """bool[n, m, T - 1]: document (j, slot) is row i's own positive."""
    own = rows.numbers[:, None] == columns.numbers
    return own[:, :, None] & (jnp.arange(columns.present.shape[1] - 1) == 0)


def false_negatives(rows: Known, columns: Known) -> jax.Array:
    """Finds documents that are in a row's batch as negatives and are known to be right for it.

    bool[n, m, T - 1]: the anchor of row i ignores document (j, slot), slot 0 being row j's positive
    and the others its hard negatives, when the document is not its own positive and

    - is the same text as positive i or as anchor i;
    - or is the positive of a row with the same anchor;
    - or is the positive of a row of the same cluster.

    In the other direction positive j ignores anchor i by the same rule with the two sides
    exchanged, which gives [i, j, 0] again. A cluster says nothing of hard negatives: they were
    chosen because they are not of it. A row's own hard negative is ignored when it is the same
    text as its anchor or positive.
    """
    anchor, positive = rows.fingerprints[:, ANCHOR], rows.fingerprints[:, POSITIVE]
    documents = columns.fingerprints[:, POSITIVE:]
    one_text = _same(anchor, documents) | _same(positive, documents)
    one_anchor = _same(anchor, columns.fingerprints[:, ANCHOR])
    one_cluster = _same(rows.clusters, columns.clusters) & (rows.clusters != 0).any(axis=-1)[:, None]
    positives = jnp.arange(documents.shape[1]) == 0
    return (one_text | ((one_anchor | one_cluster)[:, :, None] & positives)) & ~own_positives(rows, columns)


def contrastive_loss(
    embeddings: jax.Array,
    present: jax.Array,
    fingerprints: jax.Array,
    clusters: jax.Array,
    *,
    scale: ArrayLike = 20.0,
    similarity: Similarity = "cosine",
    symmetric: bool = True,
    mask_false_negatives: bool = True,
    dimensions: Sequence[tuple[int, float]] = (),
    mesh: Mesh | None = None,
    block_rows: int | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross-entropy of finding each anchor's positive among all documents of the batch.

    With s(x, y) = scale * similarity, K(i) the documents row i does not ignore, its own positive
    included, and A(i) the anchors positive i does not ignore,

        forward(i)  = log Σ_{j ∈ K(i)} exp s(anchor_i, document_j) - s(anchor_i, positive_i)
        backward(i) = log Σ_{j ∈ A(i)} exp s(positive_i, anchor_j) - s(positive_i, anchor_i)

    and the loss is the mean over rows of (forward + backward) / 2, or of forward alone. Hard
    negatives are documents of every row in the forward direction and have no part in the backward.

    embeddings is float32[B, T, D] in slots anchor, positive, hard negatives…, of unit length for
    cosines; present is bool[B, T], false for slots without a text; fingerprints, uint32[B, T, 2],
    and clusters, uint32[B, 2], are as `false_negatives` says. A row whose anchor or positive is
    absent has no loss.

    `dimensions` are (d, weight): the loss is the sum by these weights of the losses of the vectors'
    first d numbers, brought to unit length again for cosines; the greatest d must be D. None: the
    whole vector alone.

    Rows are spread over the devices of `mesh` (None: one device), whose number must divide B; the
    result does not depend on it. `block_rows`, which must divide B too, is how many rows'
    documents a device holds logits of at once; None: as many as `LOGITS_A_BLOCK` allows.

    Returns the loss, a float32 scalar, and metrics: `accuracy` (the share of anchors nearer to
    their own positive than to every other document they see), `positive_cosine` and
    `negative_cosine` (means over what the forward direction sees; `…_dot` for dot products),
    `masked_false_negatives` (of the forward direction), all float32 scalars of the whole vectors,
    and for each row `row_loss` float32[B] and `row_accuracy` float32[B].
    """
    size, _, width = embeddings.shape
    dimensions = sorted(dimensions) or [(width, 1.0)]
    if dimensions[-1][0] != width:
        raise ValueError(
            f"loss.dimensions are {tuple(d for d, _ in dimensions)}; expected the greatest to be the encoder's {width}"
        )
    mesh = mesh or one_device_mesh()
    local = functools.partial(
        _loss_on_device,
        similarity=similarity,
        symmetric=symmetric,
        mask_false_negatives=mask_false_negatives,
        dimensions=dimensions,
        block_rows=block_rows or _block_rows(size, present.shape[1] - 1, mesh.devices.size),
    )
    by_rows, everywhere = PartitionSpec(DATA), PartitionSpec()
    run = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(by_rows, by_rows, by_rows, by_rows, everywhere),
        out_specs=(everywhere, everywhere, by_rows),
    )
    loss, metrics, row_metrics = jax.jit(run)(
        embeddings.astype(jnp.float32), present, fingerprints, clusters, jnp.asarray(scale, jnp.float32)
    )
    return loss, metrics | row_metrics


def _loss_on_device(
    embeddings: jax.Array,
    present: jax.Array,
    fingerprints: jax.Array,
    clusters: jax.Array,
    scale: jax.Array,
    *,
    similarity: Similarity,
    symmetric: bool,
    mask_false_negatives: bool,
    dimensions: Sequence[tuple[int, float]],
    block_rows: int,
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, jax.Array]]:
    """The global loss, its metrics and those of a row, from this device's rows."""
    size = len(embeddings)
    rows = Known(present, fingerprints, clusters, jax.lax.axis_index(DATA) * size + jnp.arange(size))
    columns = _gather(rows)
    anchors, documents = embeddings[:, ANCHOR], _gather(embeddings[:, POSITIVE:])
    compare = functools.partial(_compare_block, rows=rows, mask=mask_false_negatives, symmetric=symmetric)
    row_loss = jnp.zeros(())
    block = None
    for width, weight in dimensions:
        # The scale goes into the anchors, outside the loop over blocks: its gradient is summed over devices once.
        scaled = scale * _leading(anchors, width, similarity)
        block = _by_blocks(compare, scaled, _leading(documents, width, similarity), columns, block_rows)
        one_loss = _log_sum(block.rows) - block.own
        if block.columns is not None:
            one_loss = (one_loss + _log_sum_over_devices(block.columns, size) - block.own) / 2
        row_loss += weight * one_loss
    assert block is not None  # that of the whole vectors, which come last
    counted = present[:, ANCHOR] & present[:, POSITIVE]
    row_loss = jnp.where(counted, row_loss, 0)
    right = counted & (block.own > block.best_other)

    def total(values: jax.Array) -> jax.Array:
        return jax.lax.psum(jnp.sum(values, where=counted, dtype=jnp.float32), DATA)

    number = jnp.maximum(total(counted), 1)
    metrics = {
        "accuracy": total(right) / number,
        f"positive_{similarity}": total(block.own) / scale / number,
        f"negative_{similarity}": total(block.others) / scale / jnp.maximum(total(block.count), 1),
        "masked_false_negatives": total(block.ignored),
    }
    metrics = jax.lax.stop_gradient(metrics)
    return total(row_loss) / number, metrics, {"row_loss": row_loss, "row_accuracy": right.astype(jnp.float32)}


def _by_blocks(
    compare: Callable[[jax.Array, jax.Array, Known], Block],
    anchors: jax.Array,
    documents: jax.Array,
    columns: Known,
    block_rows: int,
) -> Block:
    """`compare` of this device's anchors [n, D] with all documents [B, T - 1, D], some columns at a time."""
    blocks = jax.tree.map(lambda x: x.reshape(-1, block_rows, *x.shape[1:]), (documents, columns))
    if len(blocks[0]) == 1:
        return compare(anchors, documents, columns)
    # Logits are computed again in the backward pass; kept, they would be the whole matrix.
    again = jax.checkpoint(lambda block: compare(anchors, *block), prevent_cse=False)
    each = jax.lax.map(again, blocks)
    return Block(
        rows=_merge(each.rows),
        columns=jax.tree.map(lambda x: x.reshape(-1), each.columns),
        own=each.own.sum(axis=0),
        best_other=each.best_other.max(axis=0),
        others=each.others.sum(axis=0),
        count=each.count.sum(axis=0),
        ignored=each.ignored.sum(axis=0),
    )


def _compare_block(
    anchors: jax.Array, documents: jax.Array, columns: Known, *, rows: Known, mask: bool, symmetric: bool
) -> Block:
    """Scaled anchors [n, D] against the documents [m, T - 1, D] of some columns."""
    logits = jnp.einsum("nd,msd->nms", anchors, documents, precision=jax.lax.Precision.HIGHEST)
    own = own_positives(rows, columns)
    ignored = false_negatives(rows, columns) if mask else jnp.zeros_like(own)
    there = columns.present[:, POSITIVE:]
    others = there & ~ignored & ~own
    # The other direction's logits are the same numbers; its softmax runs over anchors.
    anchors_seen = (rows.present[:, ANCHOR, None] & ~ignored[:, :, 0]) | own[:, :, 0]
    shown = jax.lax.stop_gradient(logits)
    return Block(
        rows=_partial(logits, others | own, (1, 2)),
        columns=_partial(logits[:, :, 0], anchors_seen, 0) if symmetric else None,
        own=jnp.sum(logits, axis=(1, 2), where=own),
        best_other=jnp.max(shown, axis=(1, 2), where=others, initial=-jnp.inf),
        others=jnp.sum(shown, axis=(1, 2), where=others),
        count=jnp.sum(others, axis=(1, 2)),
        ignored=jnp.sum(ignored & there, axis=(1, 2)),
    )


def _partial(logits: jax.Array, keep: jax.Array, axis: Any) -> Partial:
    """The kept logits' part of a sum along the axis. The peak is a constant: it cancels."""
    peak = jnp.max(jax.lax.stop_gradient(logits), axis=axis, where=keep, initial=LOWEST)
    kept = jnp.where(keep, logits - jnp.expand_dims(peak, axis), -jnp.inf)
    return Partial(peak, jnp.sum(jnp.exp(kept), axis=axis))


def _merge(partial: Partial) -> Partial:
    """Sums partials along their first axis."""
    peak = partial.peak.max(axis=0)
    return Partial(peak, jnp.sum(partial.total * jnp.exp(partial.peak - peak), axis=0))


def _log_sum(partial: Partial) -> jax.Array:
    return partial.peak + jnp.log(partial.total)


def _log_sum_over_devices(partial: Partial, size: int) -> jax.Array:
    """[B] partials of each device → [size] this device's share of the logarithms of the whole sums."""
    peak = jax.lax.pmax(jax.lax.stop_gradient(partial.peak), DATA)
    total = jax.lax.psum_scatter(partial.total * jnp.exp(partial.peak - peak), DATA, tiled=True)
    own_peak = jax.lax.dynamic_slice_in_dim(peak, jax.lax.axis_index(DATA) * size, size)
    return _log_sum(Partial(own_peak, total))


def _leading(vectors: jax.Array, width: int, similarity: Similarity) -> jax.Array:
    if width == vectors.shape[-1]:
        return vectors
    leading = vectors[..., :width]
    return normalize(leading) if similarity == "cosine" else leading


def _gather(tree: Any) -> Any:
    """The rows of all devices."""
    return jax.tree.map(lambda x: jax.lax.all_gather(x, DATA, tiled=True), tree)


def _block_rows(size: int, documents: int, devices: int) -> int:
    """The most rows that divide the batch and whose documents' logits a device may hold at once."""
    most = max(1, LOGITS_A_BLOCK // (math.ceil(size / devices) * documents))
    return max(n for n in range(1, min(size, most) + 1) if size % n == 0)


def _same(left: jax.Array, right: jax.Array) -> jax.Array:
    """bool[n, …] of uint32[n, 2] and uint32[…, 2]: both words are equal."""
    left = left.reshape(len(left), *[1] * (right.ndim - 1), 2)
    return (left[..., 0] == right[..., 0]) & (left[..., 1] == right[..., 1])
