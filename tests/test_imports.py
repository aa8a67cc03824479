"""The import table of docs/design.md, enforced."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"schemas", "pipelines", "reader", "trainer", "demo", "pairstream", "configs", "benchmarks", "tests"}
MAY_IMPORT = {
    "schemas": set(),
    "pipelines": {"schemas"},
    "reader": {"schemas"},
    "trainer": {"schemas"},
    "configs": {"trainer"},
    "demo": {"schemas", "reader", "trainer"},
    "pairstream": {"schemas", "pipelines", "reader", "trainer", "demo", "configs"},
}
DEMO_READS = {"reader.plan", "reader.files", "reader.rows", "reader.windows"}
FRAMEWORKS = {"apache_beam": {"pipelines"}, "jax": {"trainer", "demo"}, "tensorflow": {"reader"}}


def python_files() -> list[Path]:
    return sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    """Modules a file imports anywhere in it, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; expected the full name"
            names |= {node.module or ""}
    return names


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_folder_may(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[folder] | {folder}
    if path == ROOT / "trainer" / "train.py":
        allowed |= {"reader"}
    if folder == "configs":
        assert {name for name in imported_names(path) if name.split(".")[0] == "trainer"} <= {"trainer.config"}
    for name in imported_names(path):
        root = name.split(".")[0]
        assert root not in OURS or root in allowed, f"imports {name}"
        if folder == "demo" and root == "reader":
            assert name in DEMO_READS, "the page reads single batches, without TensorFlow"
        if root in FRAMEWORKS:
            # The command line asks Beam which options it knows: it parses for it.
            may = FRAMEWORKS[root] | ({"pairstream"} if root == "apache_beam" else set())
            assert folder in may, f"imports {name}"
        if root == "tensorflow":
            assert path == ROOT / "reader" / "stream.py"


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import pairstream.cli", {"jax", "tensorflow", "apache_beam", "numpy", "rich", "tyro"}),
        ("import configs.quickstart", {"jax", "tensorflow", "apache_beam", "numpy"}),
        ("import schemas.shards, schemas.example, schemas.mixture, schemas.pack", {"jax", "tensorflow", "apache_beam"}),
        ("import reader.plan", {"jax", "tensorflow", "apache_beam"}),
        (
            "import trainer.step, trainer.checkpoint, trainer.encode, trainer.export, trainer.evaluate.retrieval",
            {"tensorflow", "apache_beam"},
        ),
        ("import pipelines.preprocess, pipelines.catalog", {"jax", "tensorflow"}),
        ("import pipelines.catalog, pipelines.filters, pipelines.decontaminate", {"apache_beam"}),
        ("import demo.app, demo.serve", {"tensorflow", "apache_beam"}),
    ],
)
def test_importing_stays_light(statement: str, absent: set[str]) -> None:
    assert not modules_loaded_by(statement) & absent


def test_every_package_is_in_the_wheel() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in python_files() if path.name == "__init__.py"}
    assert listed == found
