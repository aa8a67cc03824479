"""Every form of an exported encoder gives our vectors, to the tolerances that docs/export.md states."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from corpora import write_run
from flax import nnx
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from trainer.checkpoint import CHECKPOINTS_FOLDER, Checkpoints
from trainer.config import TrainConfig
from trainer.encode import TextEncoder
from trainer.encoders.families import FAMILIES
from trainer.encoders.fetch import MINILM, resolve_encoder
from trainer.encoders.transformer import Encoder
from trainer.encoders.weights import load_encoder, save_encoder
from trainer.export import ExportOptions, export
from trainer.step import init_state
from trainer.train import train

pytestmark = pytest.mark.interop

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "never seen", " ".join(["w3"] * 100), ""]
SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    root = tmp_path_factory.mktemp("run")
    config = write_run(root, steps=2)
    train(config, root / "run")
    return config, root / "run"


def exported(run: tuple[TrainConfig, Path], folder: Path, similarity: str = "cosine", **options: object) -> Path:
    config, of_run = run
    changed = dataclasses.replace(config, loss=dataclasses.replace(config.loss, similarity=similarity))
    export(changed, of_run, folder, options=ExportOptions(**options))  # type: ignore[arg-type]
    return folder


def run_alone(folder: Path, name: str, texts: list[str]) -> np.ndarray:
    """As somebody does who has onnxruntime and tokenizers and nothing of ours."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "onnx" / name, providers=["CPUExecutionProvider"])
    encodings = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(texts)
    inputs = {
        "input_ids": np.array([each.ids for each in encodings]),
        "attention_mask": np.array([each.attention_mask for each in encodings]),
    }
    return session.run(["sentence_embedding"], inputs)[0]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_onnx_gives_our_vectors(run, tmp_path: Path, similarity: str) -> None:
    folder = exported(run, tmp_path / "encoder", similarity, int8=True)
    ours = TextEncoder.open(folder).encode(TEXTS)
    np.testing.assert_allclose(run_alone(folder, "model.onnx", TEXTS), ours, atol=1e-5)
    quantised = run_alone(folder, "model_int8.onnx", TEXTS)
    cosines = (quantised * ours).sum(axis=1) / np.linalg.norm(quantised, axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines.min() > 0.97 and np.abs(quantised - ours).max() > 1e-5
    assert "`onnx/model.onnx`, `onnx/model_int8.onnx`" in (folder / "README.md").read_text()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_onnx_form(family: str, pooling, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from trainer.onnx_graph import encoder_graph

    document = {"model_type": family, "max_position_embeddings": 40, "initializer_range": 0.3, **SMALL}
    keys = FAMILIES[family].keys
    config = FAMILIES[family].read_config({keys.get(name, name): value for name, value in document.items()})
    encoder = Encoder(config, rngs=nnx.Rngs(0))
    save_encoder(encoder, tmp_path)
    session = onnxruntime.InferenceSession(encoder_graph(encoder, pooling, unit_length=True).SerializeToString())
    lengths = np.array([30, 9, 1])
    mask = (np.arange(30) < lengths[:, None]).astype(np.int64)
    tokens = np.where(mask, np.random.default_rng(0).integers(3, 50, mask.shape), config.pad_token_id)
    states, vectors = session.run(None, {"input_ids": tokens, "attention_mask": mask})
    segments, positions = np.arange(1, 4)[:, None] * mask, np.arange(30) * mask
    hidden = np.asarray(encoder(*(jnp.asarray(array, jnp.int32) for array in (tokens, segments, positions))))
    np.testing.assert_allclose(states[mask == 1], hidden[mask == 1], atol=1e-5)
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask[..., None]).sum(axis=1) / lengths[:, None]
    np.testing.assert_allclose(vectors, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-5)


def test_a_dot_product_encoder_is_one_in_sentence_transformers_too(run, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = exported(run, tmp_path / "encoder", "dot")
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    assert theirs.similarity_fn_name == "dot"
    ours = TextEncoder.open(folder).encode(TEXTS)
    np.testing.assert_allclose(theirs.encode(TEXTS), ours, atol=1e-5)
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() > 0.1


def test_bfloat16_weights_give_our_vectors(run, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    torch = pytest.importorskip("torch")
    folder, whole = exported(run, tmp_path / "half", dtype="bfloat16"), exported(run, tmp_path / "whole")
    size = [(path / "model.safetensors").stat().st_size for path in (folder, whole)]
    assert size[0] < 0.6 * size[1]
    ours = TextEncoder.open(folder).encode(TEXTS)
    options = {"dtype": torch.float32}
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu", model_kwargs=options)
    np.testing.assert_allclose(theirs.encode(TEXTS), ours, atol=1e-5)
    assert sentence_transformers.SentenceTransformer(str(folder), device="cpu")[0].model.dtype == torch.bfloat16
    assert (ours * TextEncoder.open(whole).encode(TEXTS)).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("pools_prompt", [True, False])
def test_prompts_are_those_of_sentence_transformers(run, tmp_path: Path, pools_prompt: bool) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = exported(run, tmp_path / "encoder", prompts={"query": "w7 ", "document": "w8 "})
    for name, more in (
        ("1_Pooling/config.json", {"include_prompt": pools_prompt}),
        ("tokenizer_config.json", {"sep_token": "[SEP]"}),  # what is no token of a prompt
    ):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | more))
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    ours = TextEncoder.open(folder)
    found = theirs.encode(TEXTS, prompt_name="query")
    np.testing.assert_allclose(found, ours.encode(TEXTS, prompt=ours.prompts.named["query"]), atol=1e-5)
    assert np.abs(found - ours.encode(TEXTS)).max() > 1e-3


def test_an_encoder_that_leaves_prompts_out_has_no_onnx_form(run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from trainer.onnx_export import write_onnx

    folder = exported(run, tmp_path / "encoder")
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"include_prompt": False}))
    with pytest.raises(ValueError, match="leaves prompts out of its vectors"):
        write_onnx(folder)
    assert not (folder / "onnx").exists()


def test_plain_transformers_cuts_and_pads_as_we_do(run, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = exported(run, tmp_path / "encoder")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    assert inputs["input_ids"].shape[1] == 32
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    means = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    ours = TextEncoder.open(folder).encode(TEXTS)
    np.testing.assert_allclose(means / np.linalg.norm(means, axis=1, keepdims=True), ours, atol=1e-5)


def write_base(family: str, folder: Path) -> Path:
    """A random encoder of a family, with a tokenizer whose padding has the id that the family wants."""
    padding = FAMILIES[family].defaults.get("pad_token_id", 0)
    document = {"model_type": family, "max_position_embeddings": 40, "initializer_range": 0.3, **SMALL}
    keys = FAMILIES[family].keys
    config = FAMILIES[family].read_config({keys.get(name, name): value for name, value in document.items()})
    save_encoder(Encoder(config, rngs=nnx.Rngs(0)), folder)
    tokens = ["[CLS]", "[SEP]", "[UNK]", *(f"w{n}" for n in range(config.vocab_size - 4))]
    tokens.insert(padding, "[PAD]")
    ids = {token: n for n, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_of_every_family_opens_elsewhere_with_our_vectors(family: str, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    config = dataclasses.replace(write_run(tmp_path), encoder=str(write_base(family, tmp_path / "of family")))
    _, state = init_state(load_encoder(config.encoder), config)
    with Checkpoints(tmp_path / "run" / CHECKPOINTS_FOLDER) as checkpoints:  # as a run leaves it, without its time
        checkpoints.save(state, 0, {}, score=None)
    folder = tmp_path / "encoder"
    export(config, tmp_path / "run", folder)
    ours = TextEncoder.open(folder).encode(TEXTS)
    assert np.abs(ours[1:] - ours[:-1]).max(axis=1).min() > 1e-3, "neighbours must be told apart"
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(theirs.encode(TEXTS), ours, atol=1e-5)
    model, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert all("pooler." in key for key in report["missing_keys"])
    inputs = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    asked = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        hidden = model.eval()(**asked).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    means = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    np.testing.assert_allclose(means / np.linalg.norm(means, axis=1, keepdims=True), ours, atol=1e-5)


@pytest.mark.slow
def test_the_released_minilm_has_an_onnx_form(tmp_path: Path) -> None:
    import shutil

    pytest.importorskip("onnxruntime")
    from trainer.onnx_export import FLOAT, INT8, write_onnx

    try:
        released = resolve_encoder(MINILM)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder = shutil.copytree(released, tmp_path / "minilm")
    measured = write_onnx(folder, int8=True)
    assert measured[FLOAT] < 1e-5 and measured[INT8] > 0.96
