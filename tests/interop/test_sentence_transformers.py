"""What we export, sentence-transformers opens, and gives the same vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import write_run

from trainer.encode import TextEncoder
from trainer.export import export
from trainer.train import train

pytestmark = pytest.mark.interop

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "never seen", " ".join(["w3"] * 100)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("interop")
    config = write_run(root, steps=4)
    train(config, root / "run")
    export(config, root / "run", root / "encoder")
    return root / "encoder"


def test_sentence_transformers_opens_the_folder_with_the_same_vectors(encoder: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(encoder), device="cpu")
    np.testing.assert_allclose(theirs.encode(TEXTS), TextEncoder.open(encoder).encode(TEXTS), atol=1e-5)
    assert theirs.similarity_fn_name == "cosine"
    assert theirs.max_seq_length == 32


def test_transformers_opens_the_weights_with_none_left_over(encoder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    _, report = transformers.AutoModel.from_pretrained(encoder, output_loading_info=True)
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert all(key.startswith("pooler.") for key in report["missing_keys"])
