"""A wrong call: one line that says what is missing or unknown, what was likely meant, and how a right one looks."""

from __future__ import annotations

import importlib
import re

import pytest

from pairstream.cli import COMMANDS, main
from pairstream.wrong_call import EXAMPLE, options_of

SIMPLE = [name for name in COMMANDS if name != "preprocess"]


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    return err


@pytest.mark.parametrize(
    ("argv", "missing"),
    [
        (["tokenize"], "DATA, --tokenizer and --output are missing"),
        (["tokenize", "data"], "--tokenizer and --output are missing"),
        (["inspect"], "PATH is missing"),
        (["report"], "FOLDER is missing"),
        (["verify"], "FOLDER is missing"),
        (["plan"], "MIXTURE is missing"),
        (["batches"], "MIXTURE and --data are missing"),
        (["mine"], "ENCODER, DATASET and --output are missing"),
        (["train"], "RUN is missing"),
        (["encode"], "ENCODER is missing"),
        (["search"], "ENCODER, QUERY and --corpus are missing"),
        (["search", "encoder"], "QUERY and --corpus are missing"),
        (["export"], "RUN and FOLDER are missing"),
        (["export", "runs/x"], "FOLDER is missing"),
        (["push"], "OWNER/NAME and FOLDER are missing"),
        (["run"], "RUN is missing"),
        (["preprocess", "reddit"], "--output is missing"),
        (["preprocess", "--config", "x.json"], "--output is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("columns", ["50", "200"])
def test_what_is_missing_is_named_beside_an_example(
    argv: list[str], missing: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = complaint(capsys, *argv)
    assert re.match(rf"pairstream {argv[0]}: {missing}; for example: .*pairstream {argv[0]} ", said)
    assert re.search(rf"; see pairstream {argv[0]}.* --help$", said)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["trian"], "unknown command 'trian'; did you mean train? There are: sources, preprocess,"),
        (["xyz"], "unknown command 'xyz'; expected one of: sources, preprocess,"),
        (["--hlep"], "unknown option '--hlep'; did you mean --help?"),
        (["train", "quickstart", "--sett", "steps=3"], "unknown option --sett; did you mean --set?"),
        (["plan", "--step", "3", "x.json"], "unknown option --step; did you mean --steps?"),
        (["plan", "x.json", "--stops=3"], "unknown option --stops; did you mean --steps?"),
        (["plan", "x.json", "--frobnicate"], "unknown option --frobnicate; see pairstream plan --help"),
        (["export", "a", "b", "--int9"], "unknown option --int9; did you mean --int8?"),
        (["preprocess", "reddit", "--inputt", "x"], "unknown option --inputt, to pairstream and to Beam; did you mean"),
        (["tokenize", "--worker", "3", "data"], "unknown option --worker, to pairstream and to Beam; did you mean"),
        (["train", "quickstart", "extra"], "'extra' is one word too many; a text with spaces stands in quotes"),
        (["search", "e", "read", "a", "file", "--corpus", "x"], "'a' is one word too many"),
        (["plan", "x.json", "--steps"], "--steps is there without its value"),
        (["inspect", "x", "-n"], "-n/--n is there without its value"),
        (["plan", "x.json", "--steps", "many"], "--steps is 'many'; expected a whole number"),
        (["plan", "x.json", "--batch-size", "1.5"], "--batch-size is '1.5'; expected a whole number"),
        (["mine", "a", "b", "--output", "c", "--margin", "x"], "--margin is 'x'; expected a number"),
        (["export", "a", "b", "--dtype", "int4"], "--dtype is 'int4'; expected float32 or bfloat16"),
        (["evaluate", "a", "--sts", "b", "--sts", "c"], "--sts is there twice; expected it once, with all its values"),
        (["preprocess", "csv", "--input", "a", "--input", "b", "--output", "c"], "--input is there twice"),
        (["preprocess", "csv", "--output", "c", "--runner"], "--runner, which is Beam's: expected one argument"),
        (["preprocess", "csv", "b", "--output", "c"], "'b' is one word too many"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_with_what_was_likely_meant(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in complaint(capsys, *argv)


@pytest.mark.parametrize("command", SIMPLE)
def test_the_help_of_every_command_has_an_example_of_its_own_options(command: str) -> None:
    kind = importlib.import_module(f"pairstream.{command.replace('-', '_')}").Arguments
    example = EXAMPLE.search(kind.__doc__ or "")
    assert example is not None
    assert f"pairstream {command} " in example[1]
    assert set(re.findall(r"--[\w-]+", example[1])) <= {*options_of(kind)}


@pytest.mark.parametrize("command", SIMPLE)
def test_no_word_without_an_option_is_called_by_its_type(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    usage = capsys.readouterr().out.split("\n\n")[0]
    assert not re.search(r" (STR|PATH PATH|INT)\b", re.sub(r"\[[^\]]*\]", "", usage))


def test_every_source_has_an_example_that_parses() -> None:
    import shlex

    from pairstream.preprocess import Arguments, _parse, example_of
    from pipelines.catalog import SOURCES

    for name, source in SOURCES.items():
        command, sub, called, *rest = shlex.split(example_of(name, source))
        assert (command, sub, called) == ("pairstream", "preprocess", name)
        arguments, _, beam, _ = _parse(Arguments, source, rest, f"preprocess {name}")
        assert bool(arguments.input) == source.needs_input and not beam


def test_help_and_a_command_is_the_commands_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["help", "train"])
    assert not exit_.value.code and "usage: pairstream train" in capsys.readouterr().out


def test_a_library_that_is_not_installed_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pairstream.sources

    def without(name: str) -> None:
        def absent(_: object) -> None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        monkeypatch.setattr(pairstream.sources, "main", absent)

    without("apache_beam.io")
    assert main(["sources"]) == 1
    assert capsys.readouterr().err == "pairstream sources: apache_beam is not installed here; in a clone: make setup\n"
    without("pairstream.nothing")
    with pytest.raises(ModuleNotFoundError):
        main(["sources"])
