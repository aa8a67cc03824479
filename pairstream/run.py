"""`pairstream run`: a run's whole road, each stage a process of its own.

corpus → base scores → training → encoder folder → its scores → a table. A run from random weights has no base
to score, and BM25 is scored alone. What an earlier call finished is used again: a corpus as long as its manifests
are there, the other stages as long as what they were made of, which a digest says, is the same.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairstream.arguments import Run, parse, print_json
from pairstream.load_run import load_run, run_folder
from pairstream.run_page import SUMMARY
from pairstream.train import Settings
from trainer.encoders.digest import encoder_digest
from trainer.encoders.fetch import IN_A_RUN, resolve_encoder

WEIGHTS = "model.safetensors"

if TYPE_CHECKING:
    from schemas.manifest import Manifest
    from trainer.config import TrainConfig


@dataclass(frozen=True)
class Arguments:
    """Corpus, base scores, training, encoder folder and scores, in one command.

    For example: pairstream run quickstart --set steps=200 --output runs/longer
    """

    run: Run
    """A preset's name, a Python file that defines `config`, or a config.json that a run saved."""
    set: Settings = ()
    """Change one field of the config, of those listed below; may be repeated."""
    output: Path | None = None
    """The run's folder; by default runs/NAME."""
    json: bool = False
    """Print the figures as one JSON document; what the stages say goes to stderr."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "run")
    from schemas.manifest import Manifest

    config = load_run(arguments.run, arguments.set)
    folder = run_folder(config, arguments.output)
    stages = Stages(folder, on_stderr=arguments.json)

    _make_corpus(config, stages)
    manifests = [Manifest.load(path) for path in _dataset_folders(config)]
    tested = [manifest for manifest in manifests if manifest.records("test")]
    if not tested:
        raise ValueError(f"{config.data}: nothing is held out to evaluate on; preprocess with --test-fraction 0.1")
    data = [manifest.content_hash for manifest in manifests]
    evaluation = ("--candidates", str(config.evaluation_queries), "--retrieval", *(m.folder for m in tested), "--json")
    bases = [config.encoder] if config.initial == "pretrained" else []
    digests = [encoder_digest(resolve_encoder(name, IN_A_RUN)) for name in bases]
    before = stages.scores("base scores", ("evaluate", *bases, "bm25", *evaluation), [*data, *digests])

    trained_on = [*data, json.dumps(config.to_json(), sort_keys=True)]
    changes = [part for change in arguments.set for part in ("--set", change)]
    last = folder / "checkpoints" / str(config.steps)
    stages.run("train", ("train", arguments.run, *changes, "--output", str(folder)), [last], of=trained_on)
    encoder = folder / "encoder"
    best = ("--best",) if config.evaluation.every else ()
    stages.run("export", ("export", str(folder), str(encoder), *best), [encoder / WEIGHTS], of=trained_on)
    trained = stages.scores("scores", ("evaluate", str(encoder), *evaluation), [*data, encoder_digest(encoder)])
    scores = {"base": before.get(config.encoder), "trained": trained[str(encoder)], "bm25": before["bm25"]}
    scores = {name: of_one for name, of_one in scores.items() if of_one is not None}
    from trainer.card_scores import put_scores  # it brings JAX, which the stages load for themselves

    titles = {"trained": "this encoder", "base": config.encoder, "bm25": "BM25"}
    titled = {title: scores[name] for name, title in titles.items() if name in scores}
    put_scores(encoder, titled, dict.fromkeys(scores["trained"], "retrieval"))

    metrics = {
        "pairs": sum(manifest.records("train") for manifest in manifests),
        "steps": config.steps,
        "stages": stages.seconds,
        "overlap": sum(overlap(manifests).values()),
        **scores,
    }
    _write_json(folder / "metrics.json", metrics)
    if arguments.json:
        print_json(metrics)
    else:
        _print_summary(metrics, encoder, config)


class StageError(RuntimeError):
    """A stage's process ended with an error, which it has explained on stderr."""


class Stages:
    """Runs commands of ours as processes and remembers, in the run's folder, what each took and gave.

    What they say, and which of them ran, goes to stdout, or to stderr.
    """

    def __init__(self, folder: Path, *, on_stderr: bool = False) -> None:
        self._told, self._stdout = (sys.stderr, 2) if on_stderr else (sys.stdout, None)
        self._path = folder / "stages.json"
        self._done: dict[str, Any] = json.loads(self._path.read_text()) if self._path.is_file() else {}
        self._run: list[str] = []

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage of this road, when it last really ran."""
        return {name: self._done[name]["seconds"] for name in self._run if name in self._done}

    def run(self, name: str, command: Sequence[str], makes: Sequence[Path] = (), of: Sequence[str] = ()) -> None:
        """Run a command, unless all it makes is there and, where `of` says of what, was made of the same."""
        key = _digest(of)
        there = bool(makes) and all(path.exists() for path in makes)
        if there and (not of or self._done.get(name, {}).get("key") == key):
            print(f"── {name}: done before", file=self._told, flush=True)
        else:
            self._start(name, command, key, capture=False)
        self._run.append(name)

    def scores(self, name: str, command: Sequence[str], inputs: Sequence[str]) -> dict[str, Any]:
        """The JSON a command prints, from the last time it ran on the same inputs."""
        key = _digest([*command, *inputs])
        if self._done.get(name, {}).get("key") == key:
            print(f"── {name}: done before", file=self._told, flush=True)
        else:
            self._start(name, command, key, capture=True)
        self._run.append(name)
        return self._done[name]["result"]

    def _start(self, name: str, command: Sequence[str], key: str, *, capture: bool) -> None:
        print(f"── {name}: pairstream {shlex.join(command)}", file=self._told, flush=True)
        since = time.perf_counter()
        status, output = _call(command, subprocess.PIPE if capture else self._stdout)
        if status == 130:
            raise KeyboardInterrupt
        if status:
            raise StageError(f"stage {name!r} failed; mend what it said above and run the same command again")
        seconds = round(time.perf_counter() - since, 1)
        self._done[name] = {"key": key, "seconds": seconds, "result": json.loads(output) if capture else None}
        _write_json(self._path, self._done)


def _call(command: Sequence[str], stdout: int | None) -> tuple[int, bytes]:
    """(exit status, stdout if piped) of a command of ours, which is let finish when interrupted."""
    with subprocess.Popen([sys.executable, "-m", "pairstream", *command], stdout=stdout) as process:
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            process.terminate()  # Ctrl-C reached it as well, but a signal to us alone did not
            process.wait()
            raise
    return process.returncode, output or b""


def _make_corpus(config: TrainConfig, stages: Stages) -> None:
    """Preprocess the run's corpus where its recipe is known and its manifests are not all there."""
    if not config.corpus:
        return
    manifests = [folder / "manifest.json" for folder in _dataset_folders(config)]
    source, *options = config.corpus
    command = ["preprocess", source, "--output", config.data, *options]
    if any(path.exists() for path in manifests):
        command.append("--overwrite")  # an interrupted job: datasets that are whole are made again with the others
    stages.run("corpus", command, manifests)


def _dataset_folders(config: TrainConfig) -> list[Path]:
    from schemas.mixture import Mixture

    try:
        mixture = Mixture.load(config.mixture)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; --set mixture=PATH says where the run's lies") from None
    return [Path(config.data) / name for name in mixture.drawn]


def overlap(manifests: Sequence[Manifest]) -> dict[str, int]:
    """For each dataset, its train pairs with a text that stands, normalised, in any test split."""
    from schemas.example import decode_pair
    from schemas.pair import text_fingerprint
    from schemas.shards import read_shard

    def texts(manifest: Manifest, split: str) -> Any:
        for path, _ in manifest.shards(split):
            for record in read_shard(path):
                pair, _ = decode_pair(record)
                yield {text_fingerprint(text) for text in pair.texts}

    held_out = {text for manifest in manifests for of_pair in texts(manifest, "test") for text in of_pair}
    return {
        manifest.dataset: sum(not held_out.isdisjoint(of_pair) for of_pair in texts(manifest, "train"))
        for manifest in manifests
    }


def _print_summary(metrics: dict[str, Any], encoder: Path, config: TrainConfig) -> None:
    from pairstream.evaluate import print_scores

    print()
    titles = {"base": f"base: {config.encoder}", "trained": "trained", "bm25": "BM25"}
    print_scores({title: metrics[name] for name, title in titles.items() if name in metrics})
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in metrics["stages"].items())
    first = _dataset_folders(config)[0]
    print(f"{metrics['pairs']:,} training pairs, {metrics['steps']:,} steps, {metrics['overlap']} overlapping; {took}")
    print(f"encoder: {encoder}\n\nnext:")
    print(f'  .venv/bin/pairstream search {encoder} --corpus {first} "read a file line by line"')
    print(f"  .venv/bin/pairstream inspect {first}")
    print(f"  open {encoder.parent / SUMMARY} in a browser: the curves of the training")
    print(f"  .venv/bin/tensorboard --logdir {encoder.parent}/tensorboard")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def _write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.replace(path)
