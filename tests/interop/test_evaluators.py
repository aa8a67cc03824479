"""Our scores are those of sentence-transformers' evaluators, on the same files with the same encoder."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import write_encoder

from trainer.encode import TextEncoder
from trainer.evaluate.bitext import read_bitext
from trainer.evaluate.contenders import open_contender
from trainer.evaluate.duplicates import read_duplicates
from trainer.evaluate.reranking import read_reranking
from trainer.evaluate.retrieval import RetrievalTask, read_retrieval
from trainer.evaluate.retrieval_files import Collection
from trainer.evaluate.sts import read_sts
from trainer.evaluate.suite import SUITES

sentence_transformers = pytest.importorskip("sentence_transformers")
evaluation = pytest.importorskip("sentence_transformers.sentence_transformer.evaluation")

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SMALL = SUITES / "small"
WITHIN = 2e-4
"""Vectors differ in their last digits, and so the order of a few texts that lie equally near."""


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    """all-MiniLM-L6-v2, ours and theirs."""
    try:
        ours = open_contender("all-MiniLM-L6-v2")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    from trainer.encoders.fetch import resolve_encoder

    return ours, sentence_transformers.SentenceTransformer(str(resolve_encoder("all-MiniLM-L6-v2")), device="cpu")


def files(shared_data: Path | None, name: str, real: str) -> Path:
    return SMALL / name if shared_data is None else shared_data / real


@pytest.fixture(params=["small", "real"])
def shared(request: pytest.FixtureRequest) -> Path | None:
    """None for the texts that come with us, else the folder of real files."""
    return None if request.param == "small" else request.getfixturevalue("shared_data")


def beginning(path: Path, count: int, target: Path) -> Path:
    """The first lines of a compressed file, for time."""
    with gzip.open(path, "rb") as file:
        target.write_bytes(b"".join(itertools.islice(file, count)))
    return target


def test_similarity(both, shared, tmp_path: Path) -> None:
    ours, theirs = both
    path = files(shared, "sts.tsv", "eval/stsbenchmark/sts-dev.csv.gz")
    if shared is not None:
        path = beginning(path, 500, tmp_path / "sts-dev.csv")
    task = read_sts(path)
    evaluator = evaluation.EmbeddingSimilarityEvaluator(task.left, task.right, task.gold.tolist(), write_csv=False)
    expected, found = evaluator(theirs), task.evaluate(ours).scores
    assert found["spearman"] == pytest.approx(expected["spearman_cosine"], abs=WITHIN)
    assert found["pearson"] == pytest.approx(expected["pearson_cosine"], abs=WITHIN)


def test_duplicates(both, shared, tmp_path: Path) -> None:
    ours, theirs = both
    path = files(shared, "duplicates.tsv", "quora/dev.tsv.gz")
    if shared is not None:
        path = beginning(path, 1000, tmp_path / "quora.tsv")
    task = read_duplicates(path)
    evaluator = evaluation.BinaryClassificationEvaluator(
        task.left, task.right, task.duplicate.astype(int).tolist(), write_csv=False
    )
    expected, found = evaluator(theirs), task.evaluate(ours).scores
    assert found["ap"] == pytest.approx(expected["cosine_ap"], abs=WITHIN)
    assert found["f1"] == pytest.approx(expected["cosine_f1"], abs=WITHIN)
    assert found["accuracy"] == pytest.approx(expected["cosine_accuracy"], abs=WITHIN)


def retrieval_evaluator(task) -> Any:
    """Theirs, for a task of ours; it knows relevant and not, no grades."""
    collection = task.collection
    return evaluation.InformationRetrievalEvaluator(
        {str(n): text for n, text in enumerate(collection.queries)},
        {str(n): text for n, text in enumerate(collection.documents)},
        {
            str(n): {str(document) for document, grade in relevant.items() if grade > 0}
            for n, relevant in enumerate(collection.relevant)
        },
        mrr_at_k=[10],
        ndcg_at_k=[10],
        precision_recall_at_k=[10, 100],
        map_at_k=[1000],
        write_csv=False,
    )


def check_retrieval(found, expected, kind: str, *, graded: bool) -> None:
    assert found["mrr@10"] == pytest.approx(expected[f"{kind}_mrr@10"], abs=WITHIN)
    assert found["map"] == pytest.approx(expected[f"{kind}_map@1000"], abs=WITHIN)
    assert found["recall@10"] == pytest.approx(expected[f"{kind}_recall@10"], abs=WITHIN)
    assert found["recall@100"] == pytest.approx(expected[f"{kind}_recall@100"], abs=WITHIN)
    if not graded:
        assert found["ndcg@10"] == pytest.approx(expected[f"{kind}_ndcg@10"], abs=WITHIN)


def first_documents(collection: Collection, count: int) -> Collection:
    """A part of a collection, for time: its first documents, and the queries that still have one of them."""
    kept = [
        (query, {document: grade for document, grade in relevant.items() if document < count})
        for query, relevant in zip(collection.queries, collection.relevant, strict=True)
    ]
    queries, relevant = zip(*(both for both in kept if any(both[1].values())), strict=True)
    return Collection(collection.name, queries, collection.documents[:count], relevant)


def test_retrieval(both, shared) -> None:
    ours, theirs = both
    [task] = read_retrieval(files(shared, "retrieval", "eval/cisi"))
    if shared is not None:
        task = RetrievalTask(first_documents(task.collection, 300))
    expected, found = retrieval_evaluator(task)(theirs), task.evaluate(ours).scores
    graded = any(grade > 1 for relevant in task.collection.relevant for grade in relevant.values())
    assert graded == (shared is None)
    check_retrieval(found, expected, "cosine", graded=graded)


def test_reranking(both, shared) -> None:
    ours, theirs = both
    task = read_reranking(files(shared, "reranking.jsonl", "eval/semeval_cqa/SemEval2016-Task3-CQA-QL-dev.xml.gz"))
    samples = [
        {
            "query": query,
            "positive": [text for n, text in enumerate(candidates) if n in right],
            "negative": [text for n, text in enumerate(candidates) if n not in right],
        }
        for query, candidates, right in zip(task.queries, task.candidates, task.right, strict=True)
    ]
    expected, found = evaluation.RerankingEvaluator(samples, write_csv=False)(theirs), task.evaluate(ours).scores
    for name in ("map", "mrr@10", "ndcg@10"):
        assert found[name] == pytest.approx(expected[name], abs=WITHIN)


def test_bitext(both, shared_data: Path, tmp_path: Path) -> None:
    ours, theirs = both
    left, right = (beginning(shared_data / f"multi30k/val.{n}.gz", 300, tmp_path / n) for n in ("en", "de"))
    task = read_bitext(left, other=right)
    expected = evaluation.TranslationEvaluator(list(task.left), list(task.right), write_csv=False)(theirs)
    found = task.evaluate(ours).scores
    assert found["accuracy →"] == pytest.approx(expected["src2trg_accuracy"], abs=WITHIN)
    assert found["accuracy ←"] == pytest.approx(expected["trg2src_accuracy"], abs=WITHIN)
    assert found["accuracy"] == pytest.approx(expected["mean_accuracy"], abs=WITHIN)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_prompts_and_similarity_of_a_folder_are_used(tmp_path: Path, similarity: str) -> None:
    folder = write_encoder(tmp_path / "encoder")
    size = TextEncoder.open(folder).dimensions
    pooling = {"word_embedding_dimension": size, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds)
    ]
    settings = {"prompts": {"query": "w3 w4 ", "document": "w9 "}, "similarity_fn_name": similarity}
    for name, document in (
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("config_sentence_transformers.json", settings),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 40, 6)) for _ in range(60)]
    (tmp_path / "corpus.jsonl").write_text(
        "".join(f'{{"_id": "{n}", "text": "{t}"}}\n' for n, t in enumerate(texts[20:]))
    )
    (tmp_path / "queries.jsonl").write_text(
        "".join(f'{{"_id": "q{n}", "text": "{t}"}}\n' for n, t in enumerate(texts[:20]))
    )
    (tmp_path / "qrels.tsv").write_text("".join(f"q{n} 0 {n} 1\nq{n} 0 {n + 20} 1\n" for n in range(20)))
    [task] = read_retrieval(tmp_path)
    expected = retrieval_evaluator(task)(theirs)
    found = task.evaluate(open_contender(str(folder))).scores
    check_retrieval(found, expected, similarity, graded=False)


def test_a_folder_of_another_family_is_opened_by_sentence_transformers(tmp_path: Path) -> None:
    modules = pytest.importorskip("sentence_transformers.models")
    base = write_encoder(tmp_path / "base")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    transformer = modules.Transformer(str(base))
    pooling = modules.Pooling(TextEncoder.open(base).dimensions)
    dense = modules.Dense(TextEncoder.open(base).dimensions, 6)
    model = sentence_transformers.SentenceTransformer(
        modules=[transformer, pooling, dense], prompts={"query": "w1 "}, default_prompt_name="query", device="cpu"
    )
    model.save(str(tmp_path / "dense"))
    with pytest.raises(ValueError, match="lists Dense"):
        TextEncoder.open(tmp_path / "dense")
    texts = ["w2 w3", "w4"]
    found = open_contender(str(tmp_path / "dense")).vectors(texts)
    assert found.shape == (2, 6)
    np.testing.assert_allclose(found, model.encode(texts), atol=1e-5)
