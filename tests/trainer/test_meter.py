import jax
import numpy as np
import pytest
from batches import make_batch, random_pairs

from trainer.encoders.config import EncoderConfig
from trainer.meter import PEAK_FLOPS, Meter, peak_flops, step_flops

MINILM = EncoderConfig(
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
)


class Device:
    def __init__(self, kind: str) -> None:
        self.device_kind = kind


def test_a_pair_of_two_texts_of_128_tokens_costs_minilm_what_the_formula_says():
    pair = [[list(range(128)), list(range(128))]]
    batch = make_batch(pair, rows=2, tokens=128)
    by_hand = 6 * 6 * 128 * (2 * (4 * 384**2 + 2 * 384 * 1536) + 4 * 128 * 384)
    assert step_flops(MINILM, batch) == by_hand == pytest.approx(17.2e9, rel=0.01)


def test_operations_do_not_depend_on_the_layout():
    pairs = random_pairs(8, 2)
    packed, padded = (make_batch(pairs, rows=16, tokens=16, packed=packed) for packed in (True, False))
    assert packed.real_share != padded.real_share or (packed.segments != padded.segments).any()
    assert step_flops(MINILM, packed) == step_flops(MINILM, padded) > 0


def test_the_batches_pass_unchanged_and_are_counted():
    batches = [make_batch(random_pairs(8, 2), rows=16, tokens=16)] * 3
    meter = Meter(MINILM, batch_size=8)
    assert list(meter.watch(iter(batches))) == batches
    found = meter.read()
    useful = sum(int((batch.segments > 0).sum()) for batch in batches)
    assert found["tokens_per_second"] / found["pairs_per_second"] == pytest.approx(useful / 24)
    assert found["padded_tokens_per_second"] / found["tokens_per_second"] == pytest.approx(3 * 16 * 16 / useful)
    assert 0 <= found["data_wait"] <= 1
    assert meter.read()["pairs_per_second"] == 0


def test_utilisation_is_left_out_on_devices_whose_peak_is_not_known():
    assert peak_flops(jax.devices()[:1]) is None
    assert peak_flops([Device("TPU v3"), Device("cpu")]) is None
    assert "mfu" not in Meter(MINILM, batch_size=8).read()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("TPU v5 lite", "TPU v5 lite"), ("TPU v5", "TPU v5"), ("NVIDIA H100 80GB HBM3", "NVIDIA H100")],
)
def test_a_devices_peak_is_that_of_its_kind(kind, name):
    assert peak_flops([Device(kind)] * 8) == 8 * PEAK_FLOPS[name]


def test_utilisation_is_useful_operations_of_the_peak(monkeypatch):
    monkeypatch.setattr("trainer.meter.peak_flops", lambda devices: 1e12)
    clock = iter(np.arange(0.0, 10.0, 0.5))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    batch = make_batch(random_pairs(8, 2), rows=16, tokens=16)
    meter = Meter(MINILM, batch_size=8)  # at 0.0
    next(meter.watch(iter([batch])))  # from 0.5 to 1.0
    found = meter.read()  # at 1.5
    assert found["mfu"] == pytest.approx(step_flops(MINILM, batch) / 1.5 / 1e12)
    assert found["data_wait"] == pytest.approx(0.5 / 1.5)
    assert found["pairs_per_second"] == pytest.approx(8 / 1.5)
