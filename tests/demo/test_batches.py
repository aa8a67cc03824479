"""The batch that the page draws is the one that the trainer reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

from corpora import topic_pairs, write_dataset, write_encoder

from demo.batches import Batches, PackShape
from reader.plan import plan_batches
from reader.stream import stream_texts
from schemas.mixture import Mixture
from schemas.tokens import load_tokenizer

SIZE = 32


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("batches")
    for number, name in enumerate(("a", "b", "c")):
        write_dataset(root / "data" / name, name, {"train": topic_pairs(name, 200, number)})
    write_encoder(root / "tiny")
    return root


@pytest.mark.parametrize("step", [0, 5, 1000])
@pytest.mark.parametrize("policy", ["homogeneous", "v1-half", "v2-block", "flax-75-25"])
def test_the_picture_shows_the_rows_of_the_stream(policy: str, step: int, root: Path) -> None:
    document: dict[str, Any] = {
        "datasets": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}, {"name": "c", "weight": 0.5}],
        "seed": 3,
        "batch": {"slots": 2, "policy": policy},
    }
    batches = Batches(root / "data", load_tokenizer(root / "tiny"))
    drawn = batches.picture(document, step, SIZE, PackShape())
    plan = plan_batches(Mixture.from_json(document), root / "data", batch_size=SIZE)
    (read,) = stream_texts(plan, step, 1)
    assert drawn["datasets"] == list(plan.names)
    assert [row["dataset"] for row in drawn["rows"]] == read.datasets.tolist()
    assert [row["texts"] for row in drawn["rows"]] == [[text.decode() for text in row] for row in read.texts]
    assert [int(row["fingerprint"], 16) for row in drawn["rows"]] == read.pair_fingerprints.tolist()
