"""Makes docs/pictures/ from the page itself: `python -m tests.demo.pictures [--corpus DIR] [--out DIR] [--all]`.

Without --corpus, the page searches the docstrings of this project.
--all also takes every module in the dark and on a phone, to be looked at.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

from browser import PHONE, chromium, served_at, window
from corpora import write_dataset

from demo.serve import DemoConfig, open_served, warm_up
from schemas.pair import Pair

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ENCODER = "all-MiniLM-L6-v2"
FOLDERS = ("schemas", "pipelines", "reader", "trainer", "pairstream")
"""Each a dataset of its functions."""
TEXTS = 800
WIDTH = 1180
PICTURES = {
    "similarity": ("#/similarity", 620),
    "search": ("#/search?query=which+texts+are+equal", 880),
    "batches": ("#/batches?step=7&size=64", 1240),
}
"""Name → the module's address and how many pixels of it are shown."""
OTHERS = {"answers": ("#/answers", 760), "bias": ("#/bias", 760), "api": ("#/api", 760)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        corpus = given.corpus or write_own_functions(Path(made) / "functions")
        served = open_served(DemoConfig(encoders=(ENCODER,), corpus=corpus, texts=TEXTS))
        warm_up(served)
        assert served.search is not None
        served.search.vectors(served.encoder(None)).wait()
        with served_at(served) as address, chromium() as browser:
            for name, (place, height) in PICTURES.items():
                take(browser, f"{address}/{place}", given.out / f"{name}.png", (WIDTH, height), "light")
            for name, (place, height) in {**PICTURES, **OTHERS}.items() if given.all else ():
                take(browser, f"{address}/{place}", given.out / f"{name}-dark.png", (WIDTH, height), "dark")
                take(browser, f"{address}/{place}", given.out / f"{name}-phone.png", PHONE, "light")


def take(browser: Browser, address: str, path: Path, size: tuple[int, int], scheme: str) -> None:
    """One picture of what a window shows once the page has all its answers."""
    context = browser.new_context(**window(size, color_scheme=scheme, reduced_motion="reduce"))
    page = context.new_page()
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, full_page=size == PHONE)
    context.close()
    print(f"{path}: {path.stat().st_size:,} bytes")


def write_own_functions(folder: Path) -> Path:
    """A dataset for each folder of the project: a function's docstring with the beginning of its source."""
    for name in FOLDERS:
        write_dataset(folder / name, name, {"train": own_pairs(name)})
    return folder


def own_pairs(name: str) -> list[Pair]:
    """(docstring's first paragraph, head) of a folder's functions, each docstring once."""
    found: dict[str, Pair] = {}
    for path in sorted((Path(__file__).parents[2] / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
                said = " ".join(text.split("\n\n")[0].split())
                first = "".join(f"\n    {line}" for one in node.body[1:2] for line in ast.unparse(one).split("\n")[:4])
                code = f"def {node.name}({ast.unparse(node.args)}):{first}"
                found.setdefault(said, Pair(name, said, code, group=f"{path.stem}.{node.name}"))
    return list(found.values())


if __name__ == "__main__":
    main()
