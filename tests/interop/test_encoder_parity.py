"""Our encoders against `transformers` itself, live; needs torch and transformers."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from trainer.encode import TextEncoder
from trainer.encoders.families import FAMILIES
from trainer.encoders.fetch import MINILM, MPNET, resolve_encoder
from trainer.encoders.relative import relative_buckets
from trainer.encoders.weights import load_encoder, save_encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.interop

every_released = pytest.mark.parametrize(
    "released", [pytest.param(name, marks=pytest.mark.slow if name == MPNET else ()) for name in (MINILM, MPNET)]
)
TEXTS = [
    "A man eats.",
    "",
    " ",
    "\n\t",
    "?!",
    "0",
    "Ein Satz mit Umlauten: äöü ÄÖÜ ß",
    "naïve café, decomposed: nai\u0308ve cafe\u0301",
    "東京で雨が降っています。",
    "Привет, мир",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "👩\u200d🔬 🇳🇴 🙂",
    "zero\u200bwidth, no\u00a0break, \ufeffmark, \u202eturned",
    "a\x00b \x07 \ufffd",
    "<s> [MASK] <mask> </s> [SEP]",
    "def read_lines(path):\n    return open(path).read().splitlines()",
    "SELECT * FROM t WHERE a <> 'b' -- c",
    "https://example.org/a?b=c&d=%20#e",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "x" * 300,
    "the " * 400,
    "the " * 254,
    "the " * 382,
    "weather in Oslo " * 20,
    *(f"Text {n} of many: {' '.join(f'word{n * k}' for k in range(n))}" for n in range(0, 60, 4)),
]
every_family = pytest.mark.parametrize("family", FAMILIES)
LENGTHS = (16, 9, 3, 1)

SHAPE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40}
DISTILBERT = {"dim": 24, "n_layers": 3, "n_heads": 2, "hidden_dim": 40}


def write_random(family: str, folder: Path) -> Path:
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=70,
        max_position_embeddings=24,
        initializer_range=0.3,
        **(DISTILBERT if family == "distilbert" else SHAPE),
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(family: str, tmp_path: Path) -> Path:
    return write_random(family, tmp_path)


def differences(folder: Path | str) -> tuple[float, float]:
    """Largest difference between the hidden states of four texts, ours and theirs: padded, packed."""
    model = transformers.AutoModel.from_pretrained(folder, dtype="float32").eval()
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    drawn = np.random.default_rng(0).integers(3, model.config.vocab_size, mask.shape)
    tokens = np.where(mask, drawn, model.config.pad_token_id)
    with torch.inference_mode():
        outputs = model(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(int)))
    theirs = outputs.last_hidden_state.numpy()
    encoder = load_encoder(folder)

    def ours(*arrays: np.ndarray) -> np.ndarray:
        return np.asarray(encoder(*(jnp.asarray(array, jnp.int32) for array in arrays)))

    segments, positions = np.arange(1, 5)[:, None] * mask, np.arange(max(LENGTHS)) * mask
    padded = ours(tokens, segments, positions)[mask]
    later = mask.copy()
    later[0] = False  # the first text alone fills a row
    packed = ours(*(array[later][None] for array in (tokens, segments, positions)))[0]
    return float(np.abs(padded - theirs[mask]).max()), float(np.abs(packed - theirs[later]).max())


@every_family
def test_a_random_encoder_of_transformers_has_our_hidden_states(tiny):
    assert max(differences(tiny)) < 1e-5


@every_family
def test_transformers_reads_what_we_save_to_the_bit(tiny, tmp_path_factory):
    saved = tmp_path_factory.mktemp("saved")
    save_encoder(load_encoder(tiny), saved, base=tiny)
    ours, loading = transformers.AutoModel.from_pretrained(saved, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"]
    theirs = transformers.AutoModel.from_pretrained(tiny)
    assert type(ours) is type(theirs)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name
    tokens = torch.arange(3, 19)[None]
    with torch.inference_mode():
        left, right = (model.eval()(input_ids=tokens).last_hidden_state for model in (ours, theirs))
    assert torch.equal(left, right)


@every_family
def test_shards_of_transformers_are_read(family, tiny, tmp_path_factory):
    sharded = tmp_path_factory.mktemp("sharded")
    transformers.AutoModel.from_pretrained(tiny).save_pretrained(sharded, max_shard_size="20KB")
    assert (sharded / "model.safetensors.index.json").is_file()
    assert max(differences(sharded)) < 1e-5


def test_buckets_of_relative_positions_are_those_of_mpnet():
    modeling = pytest.importorskip("transformers.models.mpnet.modeling_mpnet")
    distances = np.arange(-1100, 1101)
    theirs = modeling.MPNetEncoder.relative_position_bucket(torch.tensor(distances)).numpy()
    np.testing.assert_array_equal(relative_buckets(distances, 32), theirs)


@pytest.fixture
def folder(released: str) -> Path:
    try:
        return resolve_encoder(released)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@every_released
def test_a_released_encoder_has_our_hidden_states(folder):
    assert max(differences(folder)) < 1e-5


@every_released
def test_sentence_transformers_gives_our_vectors(folder):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(TextEncoder.open(folder).encode(TEXTS), theirs, atol=1e-5)
