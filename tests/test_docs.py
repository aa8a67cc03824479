"""The documents say what the code does: commands, targets, modules."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from pairstream.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_is_in_the_readme() -> None:
    for command in COMMANDS:
        if command != "run":  # `make train` is its name there
            assert re.search(rf"pairstream {command}\b", README), command


def calls_of_the_pages() -> list[tuple[str, str, str]]:
    """(page, command, the rest of the call) of each call in a block of code."""
    found = []
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for call in re.findall(r"\bpairstream (.*)", block.replace("\\\n", " ")):
                command, _, rest = call.split("   #")[0].split("|")[0].partition(" ")
                if command in COMMANDS:
                    found.append((page.name, command, rest))
    return found


def test_the_pages_call_commands_by_options_that_they_have() -> None:
    from pairstream.preprocess import FolderArguments
    from pairstream.wrong_call import options_of
    from pipelines.catalog import SOURCES
    from pipelines.decontaminate import EvalOptions
    from pipelines.filters.options import FilterOptions

    calls = calls_of_the_pages()
    assert len(calls) > 30
    for page, command, rest in calls:
        if command == "preprocess":
            source = SOURCES.get(rest.split()[0])
            kinds = [FolderArguments, FilterOptions, EvalOptions] + ([type(source.options)] if source else [])
            known = {name for kind in kinds for name in options_of(kind)} | {"--runner"}
        else:
            known = set(options_of(importlib.import_module(f"pairstream.{command.replace('-', '_')}").Arguments))
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest))
        assert named <= known, f"{page}: {command} {rest}"


def test_every_command_has_a_module() -> None:
    assert {path.stem for path in (ROOT / "pairstream").glob("*.py")} >= {
        command.replace("-", "_") for command in COMMANDS
    }


def test_the_readme_names_only_commands_and_folders_that_exist() -> None:
    assert set(re.findall(r"bin/pairstream ([\w-]+)", README)) <= set(COMMANDS)
    for folder in re.findall(r"^\| [^|]+ \| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_design_names_every_module() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    for folder in ("schemas", "pipelines", "reader", "trainer", "demo"):
        for path in (ROOT / folder).glob("*.py"):
            if path.stem != "__init__":
                assert f"`{path.stem}`" in design, f"{folder}/{path.name}"


def test_no_tracked_file_names_a_machine() -> None:
    suspicious = re.compile(r"/(?:work|root|home/\w+)/|127\.0\.0\.1|file:///")
    for path in [*ROOT.glob("*.*"), *ROOT.glob("docs/*"), *ROOT.glob("constraints/*"), *ROOT.glob("configs/*")]:
        if path.is_file() and path.name != ".git":  # which is a file in a second working tree
            assert not suspicious.search(path.read_text(errors="ignore")), path
