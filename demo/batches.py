"""Batch s of a mixture as a picture: slots, pairs, what the loss ignores, and how the texts lie in rows.

The batch is the trainer's: the plan says which records, the reader's windows give them, and its rows lay
them out. Only TensorFlow, which does many steps at once, has no part, since here it is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from reader.files import FilePool
from reader.plan import BatchPlan, plan_batches
from reader.rows import Packing, TextTable, make_batch, tokenize_table
from reader.windows import fetch, read_runs
from schemas.batch import Batch, split_words
from schemas.example import decode_pair
from schemas.manifest import Manifest, find_manifests
from schemas.mixture import Mixture
from schemas.pair import TRAIN
from trainer.loss import Known, false_negatives

STEPS_SHOWN = 24
"""Steps whose slots are drawn around the chosen one."""
SHOWN = 600
"""Characters of a text that an answer holds."""
PLANS_KEPT = 16


@dataclass(frozen=True)
class PackShape:
    """How a pack is laid out: pairs, and rows of so many tokens."""

    pairs: int = 16
    rows: int = 16
    tokens: int = 128


class Batches:
    """The datasets of one folder and the mixtures that can be made of them."""

    def __init__(self, data: str | Path, tokenizer: Tokenizer, mixtures: Mapping[str, Any] | None = None) -> None:
        """`mixtures`: documents as in a data_config.json, by name.

        Raises FileNotFoundError when the folder holds no dataset, ValueError when none has texts to train on.
        """
        self._data, self._tokenizer = Path(data), tokenizer
        manifests = {str(folder.relative_to(data)): Manifest.load(folder) for folder in find_manifests(data)}
        of_texts = {name: one for name, one in manifests.items() if one.kind != "tokens" and one.records(TRAIN)}
        if "." in of_texts:  # one dataset alone: its folder's name is its name, as for the commands
            self._data = self._data.resolve().parent
            of_texts = {Path(data).resolve().name: of_texts["."]}
        if not of_texts:
            raise ValueError(f"{data}: no dataset with texts to train on")
        self.datasets = {name: one.records(TRAIN) for name, one in of_texts.items()}
        self.mixtures: dict[str, Any] = dict(mixtures or {})
        self._plan = lru_cache(PLANS_KEPT)(self._make_plan)
        entries = [{"name": name, "weight": 1} for name in self.datasets]
        self.mixtures["equal weights"] = {"datasets": entries}

    def _make_plan(self, mixture: Mixture, size: int) -> BatchPlan:
        return plan_batches(mixture, self._data, batch_size=size)

    def picture(self, asked: Any, step: int, size: int, shape: PackShape) -> dict[str, Any]:
        """All that is drawn of batch `step`, of `size` pairs, of a mixture's document or of a served one by its name.

        Raises ValueError, in one line, for what is no mixture of these datasets: nothing else is read.
        """
        if isinstance(asked, str) and asked not in self.mixtures:
            raise ValueError(f"no mixture {asked[:100]!r}; there are {', '.join(self.mixtures)}")
        mixture = Mixture.from_json(self.mixtures[asked] if isinstance(asked, str) else asked)
        if unknown := [name for name in mixture.drawn if name not in self.datasets]:
            raise ValueError(f"{unknown[0]!r} is none of the datasets; there are {', '.join(self.datasets)}")
        if size % shape.pairs:
            near = max(1, round(size / shape.pairs)) * shape.pairs
            raise ValueError(
                f"a batch of {size} pairs is not a whole number of packs of {shape.pairs}; the nearest that is: {near}"
            )
        plan = self._plan(mixture, size)
        texts, table, datasets, prints = self._read(plan, step)
        limits = (shape.tokens, shape.tokens)
        layout = Packing(self._tokenizer, shape.pairs, shape.rows, shape.tokens, limits)
        tokens = tokenize_table(table, layout)
        batch = make_batch(tokens, datasets, layout)
        return {
            "step": step,
            "datasets": list(plan.names),
            "slots": _slots(plan, step),
            "steps": _steps(plan, step),
            "rows": [
                {
                    "dataset": int(dataset),
                    "texts": [text[:SHOWN] for text in of_pair],
                    "tokens": tokens.lengths[row].tolist(),
                    "fingerprint": f"{fingerprint:016x}",
                }
                for row, (dataset, of_pair, fingerprint) in enumerate(zip(datasets, texts, prints, strict=True))
            ],
            "masked": masked_pairs(table).tolist(),
            "packs": _packs(batch, shape),
            "filled": batch.real_share,
            "shortened": int(batch.shortened.sum()),
        }

    def _read(
        self, plan: BatchPlan, step: int
    ) -> tuple[list[tuple[str, str]], TextTable, NDArray[np.int32], list[int]]:
        """Texts, their table, the dataset of each row, and the fingerprint of each pair."""
        runs = plan.runs(step)
        files = FilePool()
        records = read_runs(files, runs, fetch(files, runs)).to_list()
        pairs = [decode_pair(record) for record in records]
        texts = [(pair.anchor, pair.positive) for pair, _ in pairs]
        encoded = np.empty((len(texts), 2), object)
        encoded[:] = [[side.encode() for side in of_pair] for of_pair in texts]
        fingerprints = [prints.pair for _, prints in pairs]
        table = TextTable(
            encoded,
            np.ones((len(texts), 2), np.bool_),
            np.array([prints.texts[:2] for _, prints in pairs], np.uint64),
            np.array(fingerprints, np.uint64),
            np.array([prints.cluster for _, prints in pairs], np.uint64),
        )
        datasets = np.repeat([run.dataset for run in runs], [run.count for run in runs]).astype(np.int32)
        return texts, table, datasets, fingerprints


def masked_pairs(table: TextTable) -> NDArray[np.int64]:
    """int64[m, 2]: (row, other row) where the loss leaves out the other row's positive as a negative."""
    known = Known(
        jnp.asarray(table.present),
        jnp.asarray(split_words(table.text_fingerprints)),
        jnp.asarray(split_words(table.clusters)),
        jnp.arange(len(table.present)),
    )
    return np.argwhere(np.asarray(false_negatives(known, known))[:, :, 0])


def _slots(plan: BatchPlan, step: int) -> list[dict[str, int]]:
    return [{"dataset": slot.dataset, "rows": slot.rows} for slot in plan.schedule.slots(step)]


def _steps(plan: BatchPlan, step: int) -> list[dict[str, Any]]:
    """The slots of the steps around the chosen one."""
    first = max(0, step - STEPS_SHOWN // 2)
    last = first + STEPS_SHOWN if plan.end is None else min(first + STEPS_SHOWN, plan.end)
    return [{"step": number, "slots": _slots(plan, number)} for number in range(first, last)]


def _packs(batch: Batch, shape: PackShape) -> list[list[list[dict[str, int]]]]:
    """pack → row → the texts that lie in it, from the left: the batch's row, the side (0 anchor), its tokens."""
    packs = []
    for pack, rows in enumerate(batch.segments):
        packs.append([_texts_in(row, pack * shape.pairs) for row in rows])
    return packs


def _texts_in(row: NDArray[np.int32], first: int) -> list[dict[str, int]]:
    used: Sequence[int] = row[row > 0].tolist()
    found: list[dict[str, int]] = []
    last = 0
    for segment in used:
        if segment != last:
            found.append({"row": first + (segment - 1) // 2, "side": (segment - 1) % 2, "tokens": 0})
            last = segment
        found[-1]["tokens"] += 1
    return found
