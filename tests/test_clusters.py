"""The job beyond one process: what workers install, what the graph refers to, other runners, their metrics."""

from __future__ import annotations

import ast
import base64
import bz2
import json
import pickletools
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.local_job_service import LocalJobServicer

from pairstream.wheel import PACKAGES, requirements, write_wheel
from pipelines import preprocess
from pipelines.files import InputFile
from pipelines.job import Job
from pipelines.preprocess import build, run
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit
from schemas.manifest import Manifest

ROOT = Path(__file__).parents[1]
NOT_ON_WORKERS = {"pairstream", "reader", "trainer", "configs", "jax", "flax", "optax", "tensorflow", "tyro", "rich"}
DATAFLOW = (
    "--runner=DataflowRunner",
    "--project=a-project",
    "--region=a-region",
    "--temp_location=gs://bucket/tmp",
    "--no_save_main_session",
)


@pytest.fixture(scope="module")
def dump(tmp_path_factory) -> Path:
    """600 comments: 60 threads of a comment and nine replies to it or to one another."""
    rows = [
        {
            "id": f"c{thread}x{place}",
            "link_id": f"t3_{thread}",
            "parent_id": f"t1_c{thread}x{(place - 1) // 2}" if place else f"t3_{thread}",
            "body": f"comment {place} of {thread}, long enough",
            "subreddit": f"sub{thread % 40}",
            "author": f"author{thread}",
        }
        for thread in range(60)
        for place in range(10)
    ]
    path = tmp_path_factory.mktemp("dump") / "RC_2006-01"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheel"))


# The wheel


def test_the_wheel_holds_what_workers_import_and_nothing_of_training(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sources = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
        about = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    assert set(sources) == {
        path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {module.split(".")[0] for module in modules} & NOT_ON_WORKERS, name
    required = {re.split("[=;]", line)[0] for line in re.findall("^Requires-Dist: (.*)$", about, re.MULTILINE)}
    assert {"orjson", "xxhash", "lxml", "google-crc32c"} <= required
    assert not required & (NOT_ON_WORKERS | {"tensorflow-cpu", "apache-beam", "numpy", "protobuf"})


def test_workers_get_the_versions_that_stand_here():
    from importlib.metadata import version

    pins = dict(line.split("==") for line in requirements())
    assert pins["orjson"] == version("orjson") and all(version(name) == pin for name, pin in pins.items())


def test_the_same_sources_make_the_same_wheel(wheel, tmp_path):
    assert write_wheel(tmp_path / "again").read_bytes() == wheel.read_bytes()


# make preprocess


@pytest.fixture
def make(tmp_path):
    """make preprocess with a .venv whose programs print their arguments."""
    (tmp_path / "bin").mkdir()
    for name in (".ready", ".ready-gcp", "bin/python", "bin/pairstream", "bin/uv"):
        path = tmp_path / name
        path.write_text('#!/bin/sh\ncase "$2" in *wheel) echo a.whl;; *) printf "%s\\n" "$@";; esac\n')
        path.chmod(0o755)

    def call(*variables: str) -> subprocess.CompletedProcess[str]:
        line = ["make", "-s", "preprocess", f"VENV={tmp_path}", f"PYTHON={sys.executable}", *variables]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)

    return call


def test_make_hands_dataflow_its_options_and_the_wheel(make):
    done = make(
        *("RUNNER=DataflowRunner", "PROJECT=p", "REGION=r", "BUCKET=gs://b", "SOURCE=reddit"),
        *("INPUT=gs://b/RC_*.zst", "OUTPUT=gs://b/reddit", "ARGS=--max_num_workers 9"),
    )
    given = done.stdout.split("\n")
    assert done.returncode == 0 and given[:2] == ["preprocess", "reddit"], done.stderr
    options = dict(zip(given[2::2], given[3::2], strict=False))
    assert options["--input"] == "gs://b/RC_*.zst" and options["--output"] == "gs://b/reddit"
    assert options["--project"] == "p" and options["--region"] == "r"
    assert options["--temp_location"] == "gs://b/tmp" and options["--staging_location"] == "gs://b/staging"
    assert given[-6:-1] == ["--no_save_main_session", "--extra_package", "a.whl", "--max_num_workers", "9"]


def test_make_leaves_a_local_run_alone(make):
    assert make("SOURCE=docstrings", "OUTPUT=data/d").stdout.split() == [
        *("preprocess", "docstrings", "--output", "data/d")
    ]


@pytest.mark.parametrize("missing", ["PROJECT", "REGION", "BUCKET"])
def test_make_says_in_one_line_what_dataflow_needs(make, missing):
    given = {"PROJECT": "p", "REGION": "r", "BUCKET": "b", "SOURCE": "reddit", "OUTPUT": "gs://b/o"}
    done = make("RUNNER=DataflowRunner", *(f"{name}={value}" for name, value in given.items() if name != missing))
    usage, *_ = done.stderr.splitlines()
    assert done.returncode == 2 and usage.startswith("usage: make preprocess RUNNER=DataflowRunner PROJECT=")
    assert not done.stdout


# The graph


def pickles_of(graph: beam_runner_api_pb2.Pipeline) -> Iterator[bytes]:
    """The functions that a graph holds, as pickles."""
    for transform in graph.components.transforms.values():
        function = beam_runner_api_pb2.FunctionSpec()
        if transform.spec.urn == "beam:transform:pardo:v1":
            function = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload).do_fn
        elif transform.spec.urn.startswith("beam:transform:combine"):
            function = beam_runner_api_pb2.CombinePayload.FromString(transform.spec.payload).combine_fn
        if "pickled" in function.urn:
            yield bz2.decompress(base64.b64decode(function.payload))


def packages_named_in(pickled: bytes) -> set[str]:
    words = {argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)}
    return {re.split(r"[. ]", word)[0] for word in words}


def graph_of(job: Job, folder: Path) -> beam_runner_api_pb2.Pipeline:
    layout = preprocess._lay_out(job, [InputFile("gs://bucket/RC", 1)], job.targets(), str(folder), None, None)
    pipeline = beam.Pipeline(options=job.beam)
    build(pipeline, job, layout)
    return pipeline.to_runner_api()  # type: ignore[return-value]


@pytest.mark.parametrize("source", [Reddit(), Docstrings()], ids=lambda source: type(source).__name__)
def test_all_that_the_graph_for_dataflow_refers_to_is_on_its_workers(source, tmp_path):
    aside = str(tmp_path / "aside")
    job = Job(source, ("gs://bucket/RC",), str(tmp_path), dedup="near", keep_rejects=aside, beam_options=DATAFLOW)
    assert not job.is_local
    pickles = list(pickles_of(graph_of(job, tmp_path)))
    named = set().union(*map(packages_named_in, pickles))
    assert len(pickles) > 20 and "pipelines" in named
    assert not named & ({"__main__", "tests", "test_clusters"} | NOT_ON_WORKERS)


def test_a_function_of_main_would_be_seen(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import apache_beam as beam\n"
        "class Mine(beam.DoFn):\n    def process(self, element):\n        yield element\n"
        "pipeline = beam.Pipeline()\n"
        "pipeline | beam.Create([1], reshuffle=False) | beam.ParDo(Mine())\n"
        "sys.stdout.buffer.write(pipeline.to_runner_api().SerializeToString())\n"
    )
    done = subprocess.run([sys.executable, script, ROOT], capture_output=True, check=True)
    graph = beam_runner_api_pb2.Pipeline.FromString(done.stdout)
    assert "__main__" in set().union(*map(packages_named_in, pickles_of(graph)))


# Another runner: Beam's own job service, as a cluster's, with workers beside it

WORKERS = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.path[0] = {wheel!r}
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
import pipelines
assert pipelines.__file__.startswith({wheel!r}), pipelines.__file__
address, server = BeamFnExternalWorkerPoolServicer.start()
print(address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def workers(wheel) -> Iterator[str]:
    """Address of a pool of workers in a process that has our wheel, not our folder."""
    code = WORKERS.format(absent=NOT_ON_WORKERS, wheel=str(wheel))
    with subprocess.Popen(
        [sys.executable, "-c", code],
        text=True,
        cwd=wheel.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def job_service() -> Iterator[str]:
    service = LocalJobServicer()
    yield f"localhost:{service.start_grpc_server()}"
    service.stop()


def reddit(output: Path, *inputs: Path, **changes) -> Manifest:
    (manifest,) = run(Job(Reddit(), tuple(map(str, inputs)), str(output), **{"shard_size": 20_000, **changes}))
    return manifest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


@pytest.mark.slow
def test_workers_that_have_the_wheel_alone_write_the_same_bytes(dump, workers, job_service, tmp_path):
    options = ("--runner=PortableRunner", f"--job_endpoint={job_service}", "--no_save_main_session")
    external = (*options, "--environment_type=EXTERNAL", f"--environment_config={workers}")
    here, there = reddit(tmp_path / "here", dump), reddit(tmp_path / "there", dump, beam_options=external)
    assert here.parts[0].funnel == there.parts[0].funnel
    assert contents(tmp_path / "here") == contents(tmp_path / "there") and len(contents(tmp_path / "here")) > 6


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"dedup": "near", "max_per_text": 2}], ids=["published", "near"])
def test_a_job_service_writes_the_same_bytes_of_real_months(shared_data, job_service, tmp_path, changes):
    months = sorted((shared_data / "reddit").glob("RC_2006-0*.bz2"))
    options = ("--runner=PortableRunner", f"--job_endpoint={job_service}", "--environment_type=LOOPBACK")
    here = reddit(tmp_path / "here", *months, **changes)
    there = reddit(tmp_path / "there", *months, beam_options=options, **changes)
    assert here.parts[0].funnel == there.parts[0].funnel
    assert contents(tmp_path / "here") == contents(tmp_path / "there") and len(contents(tmp_path / "here")) > 30


# Metrics


def test_a_runner_is_told_records_bytes_drops_and_times(dump, tmp_path, monkeypatch):
    results = []

    class Watched(beam.Pipeline):
        def run(self, *arguments):
            results.append(super().run(*arguments))
            return results[-1]

    monkeypatch.setattr(beam, "Pipeline", Watched)
    manifest = reddit(tmp_path / "reddit", dump)
    (part,) = manifest.parts
    found = results[0].metrics().query()
    counters = {(one.key.metric.namespace, one.key.metric.name): one.committed for one in found["counters"]}
    drops = {(stage.name, f"reddit: {reason}"): n for stage in part.funnel for reason, n in stage.drops.items()}
    written = {
        ("written", f"reddit: {name} {unit}"): count
        for name, split in part.splits.items()
        for unit, count in (("records", split.records), ("bytes", split.bytes))
    }
    assert drops and counters == {("read", "reddit"): 600} | drops | written
    spread = {(one.key.metric.namespace, one.key.metric.name): one.committed for one in found["distributions"]}
    stages = ("stage0", "stage1", "cells", "shards")
    assert all(spread[stage, "milliseconds"].count > 0 for stage in stages)
    assert spread["stage0", "blob bytes"].sum > 600 * len("comment 0 of 0, long enough")
