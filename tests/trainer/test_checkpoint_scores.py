"""Scores while a run trains, and the checkpoint that they pick."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shutil
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
from corpora import topic_pairs, write_dataset, write_encoder, write_run

from schemas.tokens import load_tokenizer
from trainer import checkpoint_scores
from trainer.checkpoint import Checkpoints
from trainer.checkpoint_scores import make_evaluation
from trainer.config import EvaluationConfig, TrainConfig
from trainer.encode import TextEncoder
from trainer.encoders.weights import load_encoder
from trainer.evaluate.suite import TaskSpec, open_tasks
from trainer.evaluate.vector_contender import VectorContender
from trainer.export import best_step, export
from trainer.step import init_state
from trainer.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    root = tmp_path_factory.mktemp("evaluated")
    config = write_run(
        root,
        steps=12,
        checkpoint_every=100,
        keep_checkpoints=1,
        log_every=5,
        evaluation=EvaluationConfig(every=4),
    )
    train(config, root / "run")
    return config, root / "run"


def scored(folder: Path) -> dict[int, dict[str, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["scores"] for line in lines if "scores" in line}


def test_the_log_has_scores_of_every_task_at_the_stated_steps(run: tuple[TrainConfig, Path]) -> None:
    _, folder = run
    assert list(scored(folder)) == [0, 4, 8, 12]
    for scores in scored(folder).values():
        assert {"a/ndcg@10", "b/ndcg@10", "mean"} <= set(scores)
        assert scores["mean"] == pytest.approx((scores["a/ndcg@10"] + scores["b/ndcg@10"]) / 2)


def test_the_best_checkpoint_stays_beside_the_latest(run: tuple[TrainConfig, Path]) -> None:
    _, folder = run
    means = {step: scores["mean"] for step, scores in scored(folder).items() if step}
    best = max(means, key=lambda step: (means[step], step))
    assert best_step(folder) == best
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    assert set(checkpoints.steps) == {best, 12}
    checkpoints.close()


def test_an_exported_checkpoint_has_the_scores_that_the_log_says(run: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = run
    best = best_step(folder)
    export(config, folder, tmp_path / "encoder", step=best)
    encoder = TextEncoder.open(tmp_path / "encoder")
    (task,) = open_tasks([TaskSpec("retrieval", Path(config.data, "a"), candidates=config.evaluation_queries)])
    found = task.evaluate(VectorContender("exported", encoder.encode))
    assert found.scores["ndcg@10"] == pytest.approx(scored(folder)[best]["a/ndcg@10"], abs=1e-6)


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        (EvaluationConfig(every=1, suite="nowhere"), "nowhere: no such suite"),
        (EvaluationConfig(every=1, metric="a/accuracy"), "evaluation.metric is 'a/accuracy'; expected one of "),
    ],
)
def test_a_wrong_evaluation_is_refused_in_one_line(
    evaluation: EvaluationConfig, message: str, run: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message) as refused:
        train(dataclasses.replace(run[0], evaluation=evaluation, steps=1), tmp_path / "run")
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()


def test_a_signal_ends_the_evaluation_under_way_and_the_step_is_saved(
    run: tuple[TrainConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each evaluation but the first, before any step, is told to stop while it encodes."""
    encoded, real = itertools.count(), TextEncoder.encode

    def encode(self, texts, *, progress, **options):
        if next(encoded):
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, texts, progress=progress, **options)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    suite = tmp_path / "suite.toml"
    (tmp_path / "pairs.csv").write_text("q1,q2,label\nw1 w2,w2 w1,1\nw3,w4,0\nw5,w5 w6,1\n")
    suite.write_text('[[task]]\nkind = "duplicates"\npath = "pairs.csv"\ncolumns = ["q1", "q2", "label"]\n')
    config = dataclasses.replace(
        run[0], steps=20, checkpoint_every=1000, evaluation=EvaluationConfig(every=3, suite=str(suite))
    )
    done = train(config, tmp_path / "run")
    assert (done.step, done.interrupted) == (3, True)
    assert list(scored(tmp_path / "run")) == [0]
    with Checkpoints(tmp_path / "run" / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.steps == [3] and checkpoints.best is None


def test_a_run_that_goes_on_is_not_scored_again_before_its_next_step(
    run: tuple[TrainConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = run
    shutil.copytree(folder, tmp_path / "run")
    real, seen = checkpoint_scores.evaluate, []
    monkeypatch.setattr(checkpoint_scores, "evaluate", lambda *given: seen.append(given) or real(*given))
    train(dataclasses.replace(config, steps=config.steps + 1), tmp_path / "run")
    assert len(seen) == 1  # that of the last step


def test_a_run_that_is_scored_by_something_else_picks_its_best_anew(
    run: tuple[TrainConfig, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, folder = run
    shutil.copytree(folder, tmp_path / "run")
    evaluation = dataclasses.replace(config.evaluation, metric="b/recall@10")
    train(dataclasses.replace(config, steps=13, evaluation=evaluation), tmp_path / "run")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "best checkpoint" in line]
    assert "told by mean of held out (" in line and "now by b/recall@10 of held out (" in line
    assert best_step(tmp_path / "run") == 13
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", read_only=True)
    assert checkpoints.best == (13, pytest.approx(scored(tmp_path / "run")[13]["b/recall@10"]))
    assert checkpoints.steps == [13]
    checkpoints.close()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("mean", None),
        ("pairs/ap", None),
        ("pairs/threshold", "'pairs/threshold', of which more is not better; expected one of mean, pairs/accuracy"),
        ("bias/gap", "'bias/gap', of which more is not better; expected one of mean, pairs/accuracy"),
        ("bias/difference", "of which more is not better"),
        ("pairs/nothing", "evaluation.metric is 'pairs/nothing'; expected one of mean, pairs/accuracy"),
    ],
)
def test_no_best_is_kept_by_a_score_of_which_more_is_not_better(
    metric: str, message: str | None, tmp_path: Path
) -> None:
    (tmp_path / "pairs.csv").write_text("q1,q2,label\nw1 w2,w2 w1,1\nw3,w4,0\nw5,w5 w6,1\n")
    (tmp_path / "bias.csv").write_text("occupation,anchor,female,male\nnurse,w1 w2,w1 w3,w1 w4\n")
    suite = tmp_path / "suite.toml"
    suite.write_text(
        '[[task]]\nkind = "duplicates"\npath = "pairs.csv"\ncolumns = ["q1", "q2", "label"]\n'
        '[[task]]\nkind = "gender-bias"\npath = "bias.csv"\n'
    )
    base = write_encoder(tmp_path / "base")
    config = TrainConfig(
        name="t", encoder=str(base), mixture="", data="", evaluation=EvaluationConfig(1, str(suite), metric)
    )
    graphdef, state = init_state(load_encoder(base), config)
    evaluation = make_evaluation(config, graphdef, [], tokenizer=load_tokenizer(base), limit=32, pooling="mean")
    assert evaluation is not None and evaluation.measure.startswith(f"{metric} of suite (")
    with nullcontext() if message is None else pytest.raises(ValueError, match=re.escape(message)) as refused:
        assert evaluation.score(state.params).keys() >= {"mean", "bias/gap"}
    assert refused is None or "\n" not in str(refused.value)


def test_data_without_held_out_pairs_needs_a_suite(tmp_path: Path) -> None:
    config = write_run(tmp_path, steps=1, evaluation=EvaluationConfig(every=1))
    splits = {"train": topic_pairs("a", 50, 1)}
    for name in ("a", "b"):
        shutil.rmtree(Path(config.data, name))
        write_dataset(Path(config.data, name), name, splits)
    with pytest.raises(ValueError, match="no dataset of texts holds pairs out"):
        train(config, tmp_path / "run")
