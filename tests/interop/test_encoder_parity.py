"""Our BERT against `transformers` itself, live; needs torch and transformers."""

from __future__ import annotations

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from trainer.encode import TextEncoder
from trainer.encoders.weights import load_encoder, save_encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.interop

MINILM = os.environ.get("PAIRSTREAM_MINILM")  # a folder with all-MiniLM-L6-v2
needs_minilm = pytest.mark.skipif(not MINILM, reason="PAIRSTREAM_MINILM names no folder")
LENGTHS = (16, 9, 3, 1)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=70,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=40,
        max_position_embeddings=24,
        initializer_range=0.3,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    return tmp_path


def difference(folder: Path | str, vocabulary: int) -> float:
    """Largest difference between the hidden states of four padded texts, ours and theirs."""
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    tokens = np.random.default_rng(0).integers(1, vocabulary, mask.shape) * mask
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        theirs = model(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)))
    positions = np.arange(max(LENGTHS)) * mask
    segments = np.arange(1, 5)[:, None] * mask
    ours = load_encoder(folder)(*(jnp.asarray(array, jnp.int32) for array in (tokens, segments, positions)))
    return float(np.abs(np.asarray(ours) - theirs.last_hidden_state.numpy())[mask].max())


def test_a_random_encoder_of_transformers_has_our_hidden_states(tiny):
    assert difference(tiny, 70) < 1e-5


def test_transformers_reads_what_we_save(tiny, tmp_path_factory):
    saved = tmp_path_factory.mktemp("saved")
    save_encoder(load_encoder(tiny), saved, base=tiny)
    ours, loading = transformers.BertModel.from_pretrained(saved, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"]
    theirs = transformers.BertModel.from_pretrained(tiny).state_dict()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


@needs_minilm
def test_all_minilm_has_our_hidden_states():
    assert MINILM is not None
    assert difference(MINILM, 30522) < 1e-5


@needs_minilm
def test_sentence_transformers_gives_our_vectors():
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["A man eats.", "", "Ein Satz mit Umlauten: äöü", "the " * 400, "weather in Oslo " * 20]
    theirs = sentence_transformers.SentenceTransformer(MINILM, device="cpu").encode(texts)
    assert MINILM is not None
    np.testing.assert_allclose(TextEncoder.open(MINILM).encode(texts), theirs, atol=1e-5)
