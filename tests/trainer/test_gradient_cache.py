"""Devices, micro-batches and layouts change where and when a pack is embedded, and no number."""

from __future__ import annotations

import dataclasses
import functools
import re

import jax
import numpy as np
import pytest
from batches import make_batch, random_pairs, tiny_encoder

from trainer.config import LossConfig, PackConfig, TrainConfig
from trainer.mesh import make_mesh, replicate, shard_batch
from trainer.step import batch_loss, embed, init_state

MATRYOSHKA = (16, 8, 4)


def config(pairs: int = 4, micro_packs: int | None = None, **loss) -> TrainConfig:
    return TrainConfig(
        name="t",
        encoder="",
        mixture="",
        data="",
        batch_size=8 * pairs,
        pack=PackConfig(pairs=pairs),
        micro_packs=micro_packs,
        loss=LossConfig(learn_scale=True, **loss),
    )


def eight_packs(negatives: int, packed: bool = True):
    slots = 2 + negatives
    pairs = random_pairs(16, slots)
    pairs[3][0] = pairs[9][0]  # one anchor twice, so that masks are at work
    return make_batch(pairs, packs=8, rows=2 * slots, tokens=16, packed=packed)


def loss_and_gradients(options: TrainConfig, batch, *, devices: int = 1, dropout: float = 0.3):
    """(loss, row losses, gradients of parameters and of the scale's logarithm) as NumPy arrays."""
    graphdef, state = init_state(tiny_encoder(dropout=dropout, layers=1), options)
    mesh = make_mesh(jax.devices()[:devices])
    loss_of = functools.partial(batch_loss, graphdef=graphdef, config=options, mesh=mesh)
    trained = replicate((state.params, state.log_scale), mesh)
    compiled = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    (loss, metrics), gradients = compiled(trained, shard_batch(batch, mesh), jax.random.key(3))
    return jax.tree.map(np.asarray, (loss, metrics["row_loss"], gradients))


def assert_same(ours, theirs) -> None:
    """To 1e-5 of the greatest number of its kind: of all row losses, and of all gradients."""
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-5 * theirs[1].max())
    greatest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs[2]))
    assert greatest > 0.1
    for left, right in zip(jax.tree.leaves(ours[2]), jax.tree.leaves(theirs[2]), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5 * greatest)


@pytest.mark.parametrize(
    ("negatives", "loss"),
    [
        pytest.param(0, {"symmetric": True}, id="no negatives, both ways"),
        pytest.param(1, {"symmetric": False, "dimensions": MATRYOSHKA}, id="one, one way, Matryoshka"),
        pytest.param(3, {"symmetric": True, "dimensions": MATRYOSHKA}, id="three, both ways, Matryoshka"),
        pytest.param(3, {"symmetric": False, "similarity": "dot"}, id="three, one way, dot", marks=pytest.mark.slow),
        pytest.param(0, {"dimensions": MATRYOSHKA}, id="none, both ways, Matryoshka", marks=pytest.mark.slow),
        pytest.param(1, {"symmetric": True, "similarity": "dot"}, id="one, both ways, dot", marks=pytest.mark.slow),
    ],
)
def test_devices_and_micro_batches_give_the_loss_and_gradients_of_one_device_at_once(negatives, loss):
    batch = eight_packs(negatives)
    whole = loss_and_gradients(config(2, **loss), batch)
    for devices, micro_packs in ((8, None), (1, 2), (2, 1)):
        spread = loss_and_gradients(config(2, micro_packs, **loss), batch, devices=devices)
        assert_same(spread, whole)


@pytest.mark.parametrize("negatives", [0, pytest.param(1, marks=pytest.mark.slow), 3])
def test_packed_texts_give_the_loss_and_gradients_of_padded_ones_dropout_on(negatives):
    options = config(2, dimensions=MATRYOSHKA)
    padded = loss_and_gradients(options, eight_packs(negatives, packed=False))
    cached = dataclasses.replace(options, micro_packs=2)
    packed = loss_and_gradients(cached, eight_packs(negatives), devices=2)
    assert_same(packed, padded)


def test_a_micro_batch_is_embedded_again_with_its_own_masks():
    """Without dropout the two passes agree whatever their keys are; with it a wrong key would show here."""
    batch = eight_packs(0)
    options = config(2, symmetric=False)
    still = loss_and_gradients(options, batch, dropout=0.0)
    dropped = loss_and_gradients(options, batch)
    assert abs(still[0] - dropped[0]) > 1e-3
    assert_same(loss_and_gradients(dataclasses.replace(options, micro_packs=1), batch), dropped)


def computations(hlo: str) -> dict[str, str]:
    """Name → text of each computation of a compiled module."""
    found = re.findall(r"^(?:ENTRY )?%?([\w.\-]+) [^\n]*\{\n(.*?)^\}", hlo, re.MULTILINE | re.DOTALL)
    return dict(found)


def called_by_loops(parts: dict[str, str]) -> set[str]:
    """Names of the computations that run inside a loop, however deep."""
    calls = {name: set(re.findall(r"%([\w.\-]+)", body)) & parts.keys() for name, body in parts.items()}
    pending = {name for body in parts.values() for name in re.findall(r"(?:body|condition)=%([\w.\-]+)", body)}
    inside: set[str] = set()
    while pending:
        name = pending.pop()
        inside.add(name)
        pending |= calls[name] - inside
    return inside


def test_gradients_are_summed_over_devices_outside_the_loop_over_micro_batches():
    options = config(2, 1)
    graphdef, state = init_state(tiny_encoder(dropout=0.3, layers=1), options)
    mesh = make_mesh(jax.devices()[:4])
    loss_of = functools.partial(batch_loss, graphdef=graphdef, config=options, mesh=mesh)
    compiled = jax.jit(jax.grad(loss_of, has_aux=True)).lower(
        replicate((state.params, state.log_scale), mesh), shard_batch(eight_packs(0), mesh), jax.random.key(0)
    )
    parts = computations(compiled.compile().as_text() or "")
    inside = called_by_loops(parts)
    summing = {name for name, body in parts.items() if re.search(r"= .*\ball-reduce(-start)?\(", body)}
    assert any("dot(" in parts[name] or "custom-call" in parts[name] for name in inside), "layers run in the loop"
    assert summing and not summing & inside
    gathering = {name for name, body in parts.items() if re.search(r"= .*\b(all-gather|reduce-scatter)\(", body)}
    assert gathering and not gathering & inside


def test_a_batch_of_4096_pairs_trains_in_the_memory_of_a_micro_batch():
    encoder = tiny_encoder(dropout=0.1)
    used = {}
    for name, pairs, micro_packs in (("whole", 4096, None), ("cached", 4096, 1), ("alone", 64, None)):
        options = dataclasses.replace(config(64, micro_packs), batch_size=pairs)
        graphdef, state = init_state(encoder, options)
        batch = make_batch(random_pairs(pairs), packs=pairs // 64, rows=128, tokens=16)

        def vectors_of(params, batch, graphdef=graphdef, options=options):
            vectors, _ = embed(graphdef, params, batch, key=jax.random.key(0), micro_packs=options.micro_packs)
            return vectors

        def gradients(params, batch, cotangents, vectors_of=vectors_of):
            return jax.vjp(lambda params: vectors_of(params, batch), params)[1](cotangents)

        vectors = jax.eval_shape(vectors_of, state.params, batch)
        memory = jax.jit(gradients).lower(state.params, batch, vectors).compile().memory_analysis()
        assert memory is not None
        used[name] = memory.temp_size_in_bytes
    vectors_and_tokens = 4096 * 2 * 4 * (16 + 3 * 16)
    assert used["cached"] < 1.25 * used["alone"] + 2 * vectors_and_tokens
    assert used["cached"] < used["whole"] / 16
