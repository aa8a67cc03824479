"""Our encoder inside mteb, on tasks made of the files that come with us: our scores, and sentence-transformers'."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpora import WORDS, write_encoder

from trainer.evaluate.contenders import open_contender
from trainer.evaluate.retrieval import read_retrieval
from trainer.evaluate.sts import read_sts
from trainer.evaluate.suite import SUITES

os.environ["HF_HUB_OFFLINE"] = "1"  # before mteb is imported: everything here is local
mteb = pytest.importorskip("mteb", reason="needs mteb: pip install 'pairstream[mteb]'")
sentence_transformers = pytest.importorskip("sentence_transformers")

from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402  # pyright: ignore[reportMissingImports]
from mteb.abstasks.sts import AbsTaskSTS  # noqa: E402  # pyright: ignore[reportMissingImports]
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402  # pyright: ignore[reportMissingImports]
from mteb.models.models_protocols import EncoderProtocol  # noqa: E402  # pyright: ignore[reportMissingImports]

from trainer.evaluate.mteb_adapter import MtebEncoder  # noqa: E402

pytestmark = [pytest.mark.interop, pytest.mark.slow]
WITHIN = 2e-4

STS = read_sts(SUITES / "small/sts.tsv")
[RETRIEVAL] = read_retrieval(SUITES / "small/retrieval")


def metadata(kind: str, name: str, main: str) -> Any:
    return TaskMetadata(
        type=kind,
        name=name,
        main_score=main,
        description="Texts written for pairstream.",
        dataset={"path": "local", "revision": "1"},
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
    )


def as_it_is(text: str) -> str:
    return text


def in_tiny_words(text: str) -> str:
    """The text in words that the tiny encoder knows."""
    return " ".join(f"w{zlib.crc32(word.encode()) % len(WORDS)}" for word in text.lower().split()[:12])


class SmallSTS(AbsTaskSTS):
    """Our small sentence pairs."""

    write: Callable[[str], str] = staticmethod(as_it_is)
    metadata = metadata("STS", "PairstreamSmallSTS", "cosine_spearman")

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        from datasets import Dataset, DatasetDict  # pyright: ignore[reportMissingImports]

        left, right = ([self.write(text) for text in texts] for texts in (STS.left, STS.right))
        columns = {"sentence1": left, "sentence2": right, "score": STS.gold.tolist()}
        self.dataset = DatasetDict({"test": Dataset.from_dict(columns)})
        self.data_loaded = True


class SmallRetrieval(AbsTaskRetrieval):
    """Our small collection."""

    write: Callable[[str], str] = staticmethod(as_it_is)
    metadata = metadata("Retrieval", "PairstreamSmallRetrieval", "ndcg_at_10")

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        from datasets import Dataset  # pyright: ignore[reportMissingImports]

        made = RETRIEVAL.collection
        rows = [{"id": f"d{n}", "title": "", "text": self.write(text)} for n, text in enumerate(made.documents)]
        split = {
            "corpus": Dataset.from_list(rows),
            "queries": Dataset.from_list(
                [{"id": f"q{n}", "text": self.write(text)} for n, text in enumerate(made.queries)]
            ),
            "relevant_docs": {
                f"q{n}": {f"d{document}": grade for document, grade in relevant.items()}
                for n, relevant in enumerate(made.relevant)
            },
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def scores(model: Any, write: Callable[[str], str] = as_it_is) -> dict[str, float]:
    """Every score of both tasks."""
    tasks = [SmallSTS(), SmallRetrieval()]
    for task in tasks:
        task.write = write
    done = mteb.evaluate(model, tasks, cache=None, show_progress_bar=False)
    return {
        f"{one.task_name}/{name}": value
        for one in done.task_results
        for name, value in one.scores["test"][0].items()
        if isinstance(value, float) and not name.startswith("nauc")  # NaN where nothing varies
    }


def check_equal(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert set(ours) == set(theirs) and len(ours) > 30
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=WITHIN), name


def test_the_released_minilm_scores_in_mteb_what_it_scores_with_us() -> None:
    try:
        contender = open_contender("all-MiniLM-L6-v2")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    from trainer.encoders.fetch import resolve_encoder

    model = MtebEncoder("all-MiniLM-L6-v2")
    assert isinstance(model, EncoderProtocol)
    meta = model.mteb_model_meta
    assert (meta.name, meta.embed_dim, meta.max_tokens) == ("sentence-transformers/all-MiniLM-L6-v2", 384, 256)
    assert (meta.n_parameters, meta.use_instructions, meta.framework) == (22_565_376, False, ["JAX"])
    found = scores(model)
    assert found["PairstreamSmallSTS/cosine_spearman"] == pytest.approx(
        STS.evaluate(contender).scores["spearman"], abs=WITHIN
    )
    assert found["PairstreamSmallRetrieval/ndcg_at_10"] == pytest.approx(
        RETRIEVAL.evaluate(contender).scores["ndcg@10"], abs=WITHIN
    )
    check_equal(
        found, scores(sentence_transformers.SentenceTransformer(str(resolve_encoder("all-MiniLM-L6-v2")), device="cpu"))
    )


def with_head(folder: Path, similarity: str, prompts: dict[str, str], default: str | None) -> Path:
    """A tiny encoder whose vectors keep their length."""
    write_encoder(folder)
    size = json.loads((folder / "config.json").read_text())["hidden_size"]
    pooling = {"word_embedding_dimension": size, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])
    ]
    settings = {"prompts": prompts, "default_prompt_name": default, "similarity_fn_name": similarity}
    for name, document in (
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("config_sentence_transformers.json", settings),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize(
    ("prompts", "default"),
    [
        ({}, None),
        ({"query": "w3 w4 ", "document": "w9 "}, None),
        ({"query": "w3 w4 ", "document": "w9 ", "any": "w1 "}, "any"),
        ({"any": "w1 "}, "any"),
        ({"STS": "w5 ", "Retrieval-query": "w6 ", "Retrieval": "w7 ", "query": "w3 "}, None),
    ],
    ids=["none", "sides", "sides and default", "default", "task types"],
)
def test_prompts_and_similarity_are_those_sentence_transformers_uses(
    tmp_path: Path, similarity: str, prompts: dict[str, str], default: str | None
) -> None:
    folder = with_head(tmp_path / "tiny", similarity, prompts, default)
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    ours = MtebEncoder(str(folder))
    assert ours.mteb_model_meta.name == "pairstream/tiny"
    assert ours.mteb_model_meta.use_instructions == bool(prompts)
    check_equal(scores(ours, in_tiny_words), scores(theirs, in_tiny_words))


def test_an_encoder_trained_anew_has_another_revision(tmp_path: Path) -> None:
    folder = with_head(tmp_path / "tiny", "cosine", {}, None)
    first = MtebEncoder(str(folder)).mteb_model_meta.revision
    assert MtebEncoder(str(folder)).mteb_model_meta.revision == first
    assert MtebEncoder(str(folder), "mine").mteb_model_meta.revision == "mine"
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert MtebEncoder(str(folder)).mteb_model_meta.revision != first


def test_what_cannot_be_had_is_refused(tmp_path: Path) -> None:
    folder = str(with_head(tmp_path / "tiny", "cosine", {}, None))
    with pytest.raises(ValueError, match="device='cuda'; expected none of them"):
        MtebEncoder(folder, device="cuda")
    with pytest.raises(ValueError, match="precision is 'int8'; expected float32"):
        MtebEncoder(folder).encode([], task_metadata=SmallSTS.metadata, hf_split="", hf_subset="", precision="int8")
