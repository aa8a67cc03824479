"""How fast a run goes: pairs, tokens, the wait for data, and the share of the devices' peak."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax

from schemas.batch import Batch

if TYPE_CHECKING:
    from trainer.encoders.config import EncoderConfig

PEAK_FLOPS = {
    "TPU v2": 22.5e12,
    "TPU v3": 61.5e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "Tesla V100": 125e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}
"""bfloat16 products a second of one JAX device (float16 on a V100), dense, entered by hand from what makers publish.

The key begins the device's kind; a kind that is not here has no utilisation. A device of TPU v2 and v3 is a core,
of which a chip has two.
"""


class Meter:
    """What went through a run's loop since it was last read.

    Tokens and floating-point operations are counted on this host's part of each batch; all hosts have alike parts.
    """

    def __init__(self, config: EncoderConfig, batch_size: int) -> None:
        """`config` is the encoder's; `batch_size` the pairs of a global batch."""
        self._config, self._batch_size = config, batch_size
        self._peak = peak_flops(jax.local_devices())
        self.restart()

    def restart(self) -> None:
        """Forget what was counted, such as after a pause that is no training."""
        self._since = time.perf_counter()
        self._steps = self._useful = self._places = 0
        self._waited = self._flops = 0.0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, counted, and the wait for each timed."""
        while True:
            since = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            self._waited += time.perf_counter() - since
            self._steps += 1
            self._useful += int((batch.segments > 0).sum())
            self._places += batch.segments.size
            if self._peak:
                self._flops += step_flops(self._config, batch)
            yield batch

    def read(self) -> dict[str, float]:
        """Rates since the last reading, after which counting starts anew.

        `pairs_per_second`, `tokens_per_second` (of texts), `padded_tokens_per_second` (all places of all rows),
        `data_wait` (share of the time, 0 to 1) and, on devices whose peak is known, `mfu` (0 to 1): the useful
        operations, padding and repeated forward passes not counted, of the peak in bfloat16.
        """
        seconds = max(time.perf_counter() - self._since, 1e-9)
        hosts = jax.process_count()
        found = {
            "pairs_per_second": self._steps * self._batch_size / seconds,
            "tokens_per_second": hosts * self._useful / seconds,
            "padded_tokens_per_second": hosts * self._places / seconds,
            "data_wait": self._waited / seconds,
        }
        if self._peak:
            found["mfu"] = self._flops / seconds / self._peak
        self.restart()
        return found


def step_flops(config: EncoderConfig, batch: Batch) -> float:
    """Floating-point operations of the encoder forward and backward on a batch's texts, padding left out.

    A text of S tokens takes 3 L S (2 (4 h² + 2 h f) + 4 S h): the products with parameters and those of
    attention, the backward pass counted twice.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    there = batch.segments > 0
    tokens = int(there.sum())
    squares = int((2 * batch.positions[there].astype(int) + 1).sum())  # S² is the sum of the first S odd numbers
    products = 2 * (4 * hidden**2 + 2 * hidden * inner) * tokens + 4 * hidden * squares
    return 3.0 * config.num_hidden_layers * products


def peak_flops(devices: Sequence[Any]) -> float | None:
    """bfloat16 operations a second of all the devices; None where a device's peak is not known."""
    found = [next((peak for kind, peak in _BY_KIND if one.device_kind.startswith(kind)), None) for one in devices]
    return None if None in found else float(sum(peak for peak in found if peak is not None))


_BY_KIND = sorted(PEAK_FLOPS.items(), key=lambda item: -len(item[0]))  # "TPU v5 lite" before "TPU v5"
