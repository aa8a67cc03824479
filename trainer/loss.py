"""The in-batch softmax over cosines, with known false negatives left out.

van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), call it
InfoNCE; Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply" (2017),
use it on sentence pairs as the multiple-negatives ranking loss. The symmetric form is that of
Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from schemas.batch import ANCHOR, POSITIVE


class FalseNegatives(NamedTuple):
    """What each row must not push away. Documents are all positives, then all hard negatives."""

    documents: jax.Array
    """bool[B, B * (T - 1)]: anchor i ignores document j."""
    anchors: jax.Array
    """bool[B, B]: positive i ignores anchor j."""


def false_negative_mask(fingerprints: jax.Array, clusters: jax.Array) -> FalseNegatives:
    """Finds documents that are in a row's batch as negatives and are known to be right for it.

    fingerprints is uint32[B, T, 2], of the normalised texts; clusters is uint32[B, 2], zero for no
    cluster. Anchor i ignores document j other than its own positive when

    - j is the same text as positive i or as anchor i;
    - j is the positive of a row with the same anchor;
    - j is the positive of a row of the same cluster.

    Positive i ignores anchor j by the same rule with the two sides exchanged. A cluster says
    nothing of hard negatives: they were chosen because they are not of it. A row's own hard
    negative is ignored when it is the same text as its anchor or positive. Never masked: i = j.
    """
    anchor, positive = fingerprints[:, ANCHOR], fingerprints[:, POSITIVE]
    negatives = fingerprints[:, POSITIVE + 1 :].reshape(-1, 2)
    own = jnp.eye(anchor.shape[0], dtype=bool)
    one_cluster = _same(clusters, clusters) & (clusters != 0).any(axis=-1)
    one_anchor, one_positive = _same(anchor, anchor), _same(positive, positive)
    either = one_cluster | one_anchor | one_positive
    positives = (either | _same(anchor, positive)) & ~own
    anchors = (either | _same(positive, anchor)) & ~own
    hard = _same(positive, negatives) | _same(anchor, negatives)
    return FalseNegatives(jnp.concatenate([positives, hard], axis=1), anchors)


def contrastive_loss(
    embeddings: jax.Array,
    present: jax.Array,
    fingerprints: jax.Array,
    clusters: jax.Array,
    *,
    scale: float = 20.0,
    symmetric: bool = True,
    mask_false_negatives: bool = True,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross-entropy of finding each anchor's positive among all documents of the batch.

    With s(x, y) = scale * cosine, K(i) the documents row i does not ignore, its own positive
    included, and A(i) the anchors positive i does not ignore,

        forward(i)  = log Σ_{j ∈ K(i)} exp s(anchor_i, document_j) - s(anchor_i, positive_i)
        backward(i) = log Σ_{j ∈ A(i)} exp s(positive_i, anchor_j) - s(positive_i, anchor_i)

    and the loss is the mean over rows of (forward + backward) / 2, or of forward alone. Hard
    negatives are documents of every row in the forward direction and have no part in the backward.

    embeddings is float32[B, T, D] of unit length, in slots anchor, positive, hard negatives…;
    present is bool[B, T], false for slots without a text; fingerprints and clusters as for
    `false_negative_mask`. A row whose anchor or positive is absent has no loss.

    Returns the loss, a float32 scalar, and metrics: `accuracy` (the share of anchors nearest to
    their own positive), `positive_cosine` and `negative_cosine` (means over what the forward
    direction sees), `masked_false_negatives` (int32, of the forward direction), and for each row
    `row_loss` float32[B] and `row_accuracy` float32[B].
    """
    embeddings = embeddings.astype(jnp.float32)
    size = embeddings.shape[0]
    anchors = embeddings[:, ANCHOR]
    documents = jnp.concatenate([embeddings[:, POSITIVE], _hard_negatives(embeddings)])
    document_present = jnp.concatenate([present[:, POSITIVE], _hard_negatives(present)])
    rows = present[:, ANCHOR] & present[:, POSITIVE]

    ignored = FalseNegatives(jnp.zeros((size, len(documents)), bool), jnp.zeros((size, size), bool))
    if mask_false_negatives:
        ignored = false_negative_mask(fingerprints, clusters)
    cosines = jnp.matmul(anchors, documents.T, precision=jax.lax.Precision.HIGHEST)
    keep = document_present & ~ignored.documents
    row_loss = _cross_entropy(scale * cosines, keep)
    if symmetric:
        # The other direction's cosines are the same numbers; its own softmax runs over anchors.
        backward = _cross_entropy(scale * cosines[:, :size].T, present[:, ANCHOR] & ~ignored.anchors)
        row_loss = (row_loss + backward) / 2
    row_loss = jnp.where(rows, row_loss, 0)

    seen = rows[:, None] & document_present
    own = jnp.eye(size, len(documents), dtype=bool)
    nearest = jnp.argmax(jnp.where(keep | own, cosines, -jnp.inf), axis=1)
    right = rows & (nearest == jnp.arange(size))
    metrics = {
        "accuracy": _mean(right, rows),
        "positive_cosine": _mean(cosines, seen & own),
        "negative_cosine": _mean(cosines, seen & keep & ~own),
        "masked_false_negatives": jnp.sum(seen & ignored.documents, dtype=jnp.int32),
        "row_loss": row_loss,
        "row_accuracy": right.astype(jnp.float32),
    }
    return _mean(row_loss, rows), metrics


def _cross_entropy(logits: jax.Array, keep: jax.Array) -> jax.Array:
    """float32[B] from logits[B, M ≥ B] whose right answer is the diagonal, which is always kept."""
    own = jnp.eye(*logits.shape, dtype=bool)
    kept = jnp.where(keep | own, logits, -jnp.inf)
    return jax.nn.logsumexp(kept, axis=1) - jnp.sum(logits, axis=1, where=own)


def _hard_negatives(slots: jax.Array) -> jax.Array:
    """[B, T, …] → [B * (T - 2), …]: the slots after the positive, row after row."""
    return slots[:, POSITIVE + 1 :].reshape(-1, *slots.shape[2:])


def _same(left: jax.Array, right: jax.Array) -> jax.Array:
    """bool[N, M] of uint32[N, 2] and uint32[M, 2]: both words are equal."""
    return (left[:, None] == right[None]).all(axis=-1)


def _mean(values: jax.Array, chosen: jax.Array) -> jax.Array:
    """float32 mean of the chosen values; 0 when there are none."""
    return jnp.sum(values, where=chosen, dtype=jnp.float32) / jnp.maximum(jnp.sum(chosen), 1)
