"""Runs with words before their texts: on the way, in datasets of ids, in scores and in the exported encoder."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from corpora import write_run

from pairstream.load_run import load_run
from pipelines.tokenize import TokenizeJob, run
from reader.plan import plan_batches
from reader.stream import stream_batches
from schemas.batch import Batch
from schemas.manifest import find_manifests
from schemas.mixture import Mixture
from schemas.tokens import NO_PREFIXES, Prefixes, load_tokenizer
from trainer.config import EvaluationConfig, TrainConfig
from trainer.encode import TextEncoder
from trainer.evaluate.contenders import open_contender
from trainer.evaluate.suite import TaskSpec, evaluate, open_tasks, scores_of
from trainer.export import ExportOptions, export
from trainer.run_folder import load_config
from trainer.train import make_packing, train

PREFIXES = Prefixes("w1 w2 ", "w3 ")
WITH = {"anchor_prefix": PREFIXES.anchor, "positive_prefix": PREFIXES.positive}


def tokenize(config: TrainConfig, output: Path, prefixes: Prefixes) -> TrainConfig:
    """The run on the ids of its texts."""
    texts = Path(config.data)
    folders = tuple((str(folder), str(output / folder.relative_to(texts))) for folder in find_manifests(texts))
    tokenizer = load_tokenizer(config.encoder).to_str()
    run(TokenizeJob(folders=folders, output=str(output), tokenizer=tokenizer, prefixes=prefixes))
    return dataclasses.replace(config, data=str(output))


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    """(config, run folder) of a run with prefixes, scored as it goes."""
    root = tmp_path_factory.mktemp("prefixed")
    config = write_run(root, steps=2, evaluation=EvaluationConfig(every=2), **WITH)
    train(config, root / "run")
    return config, root / "run"


def first_batch(config: TrainConfig) -> Batch:
    plan = plan_batches(Mixture.load(config.mixture), config.data, batch_size=config.batch_size, seed=config.seed)
    return next(stream_batches(plan, 0, 1, make_packing(config, Path(config.encoder))))


@pytest.mark.slow
def test_texts_get_their_prefixes_on_the_way_and_ids_have_the_same(
    prefixed: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    config, _ = prefixed
    on_texts, on_ids = first_batch(config), first_batch(tokenize(config, tmp_path / "ids", PREFIXES))
    for ours, theirs in zip(on_texts, on_ids, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    plain = first_batch(dataclasses.replace(config, anchor_prefix="", positive_prefix=""))
    assert (on_texts.segments > 0).sum() > (plain.segments > 0).sum()
    word = load_tokenizer(config.encoder).token_to_id
    begins = on_texts.tokens[:, :, 1:][(on_texts.positions == 1)[:, :, 1:]]
    assert set(begins.tolist()) == {word("w1"), word("w3")}
    np.testing.assert_array_equal(on_texts.fingerprints, plain.fingerprints)  # of the texts alone


def test_ids_must_have_the_runs_prefixes_and_the_refusal_says_both_ways(tmp_path: Path) -> None:
    config = write_run(tmp_path, **WITH)
    on_ids = tokenize(config, tmp_path / "ids", Prefixes("w4 ", ""))
    with pytest.raises(ValueError, match=r"with prefixes \['w4 ', ''\]; expected .* with \['w1 w2 ', 'w3 '\]") as said:
        train(on_ids, tmp_path / "run")
    message = str(said.value)
    assert "\n" not in message and not (tmp_path / "run").exists()
    again = message.partition("run `")[2].partition("` again")[0]
    assert shlex.split(again) == ["pairstream", "tokenize", "--anchor-prefix=w1 w2 ", "--positive-prefix=w3 "]
    options = shlex.split(message.partition("or train with ")[2])
    (tmp_path / "run.json").write_text(json.dumps(on_ids.to_json()))
    changed = load_run(str(tmp_path / "run.json"), options[1::2])
    assert options[::2] == ["--set", "--set"]
    assert (changed.anchor_prefix, changed.positive_prefix) == ("w4 ", "")


def test_a_run_does_not_go_on_with_other_prefixes(prefixed: tuple[TrainConfig, Path]) -> None:
    config, folder = prefixed
    with pytest.raises(ValueError, match="holds a run with anchor_prefix 'w1 w2 ', not ''"):
        train(dataclasses.replace(config, anchor_prefix="", steps=3), folder)
    assert load_config(folder) == config


def test_the_exported_encoder_puts_them_there_and_scores_as_the_log_says(
    prefixed: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    config, folder = prefixed
    export(config, folder, tmp_path / "encoder")
    prompts = TextEncoder.open(tmp_path / "encoder").prompts
    assert (prompts.query, prompts.document, prompts.default_name) == (*PREFIXES, None)
    tasks = open_tasks([TaskSpec("retrieval", Path(config.data, name), candidates=20) for name in ("a", "b")])
    found = scores_of(evaluate(tasks, open_contender(str(tmp_path / "encoder"))))
    logged = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["scores"]
    assert found == pytest.approx(logged, abs=1e-6)
    export(config, folder, tmp_path / "plain", options=ExportOptions(prompts={"query": "", "document": ""}))
    assert scores_of(evaluate(tasks, open_contender(str(tmp_path / "plain")))) != pytest.approx(logged, abs=1e-6)
    card = (tmp_path / "encoder" / "README.md").read_text()
    assert "`w1 w2 ` before each query and `w3 ` before each document" in card


def test_one_prefix_of_all_texts_is_the_default_prompt(prefixed: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = prefixed
    export(dataclasses.replace(config, positive_prefix=config.anchor_prefix), folder, tmp_path / "same")
    assert TextEncoder.open(tmp_path / "same").prompts.default == PREFIXES.anchor
    export(dataclasses.replace(config, anchor_prefix="", positive_prefix=""), folder, tmp_path / "none")
    assert not TextEncoder.open(tmp_path / "none").prompts.named and NO_PREFIXES == ("", "")


@pytest.mark.interop
def test_sentence_transformers_gives_queries_and_documents_the_same_vectors(
    prefixed: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    config, folder = prefixed
    export(config, folder, tmp_path / "encoder")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "encoder"), device="cpu")
    ours, texts = TextEncoder.open(tmp_path / "encoder"), ["w5 w6", "w7"]
    queries, documents = (ours.encode(texts, prompt=prefix) for prefix in PREFIXES)
    np.testing.assert_allclose(theirs.encode_query(texts), queries, atol=1e-5)
    np.testing.assert_allclose(theirs.encode_document(texts), documents, atol=1e-5)
    np.testing.assert_allclose(theirs.encode(texts), ours.encode(texts), atol=1e-5)
    assert np.abs(queries - documents).max() > 1e-3
