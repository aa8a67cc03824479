"""The command line: finds the command, imports it alone, and turns its errors into one clear line.

Exit status: 0 it worked, 1 it failed, 2 the call was wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper

COMMANDS = {
    "sources": "list the sources that preprocess knows",
    "preprocess": "raw files → shards and a manifest (Beam)",
    "tokenize": "datasets of texts → datasets of token ids (Beam)",
    "inspect": "look into a dataset or a shard",
    "report": "a dataset, or a run and its curves, as one HTML page",
    "verify": "check every checksum of a dataset",
    "plan": "what a mixture will draw: shares, epochs, coverage",
    "batches": "what is in batch s: datasets and digest",
    "mine": "hard negatives for a dataset, by an encoder",
    "train": "train an encoder (Flax)",
    "tpu-check": "would a run fit a TPU: its step compiled without one",
    "evaluate": "score encoders and baselines: similarity, retrieval, duplicates and more",
    "encode": "texts of any file → vectors",
    "search": "find the nearest texts of a corpus",
    "demo": "encoders and a corpus as a page in the browser",
    "export": "checkpoint → encoder folder for sentence-transformers",
    "push": "an encoder or a dataset → Hugging Face Hub",
    "run": "a run's whole road: corpus, base scores, training, scores, encoder",
}

OURS = ("configs", "demo", "pairstream", "pipelines", "reader", "schemas", "trainer")
"""Packages whose absence is a defect, and not a library that someone left out."""

_HELP = """usage: pairstream COMMAND …

{commands}

pairstream COMMAND --help explains one. For example:
  pairstream preprocess reddit --input 'RC_2019-*.zst' --output data/reddit
  pairstream search runs/quickstart/encoder --corpus data/docstrings/docstring_code "read a file line by line"

PAIRSTREAM_TRACEBACK=1 shows where an error came from."""


class UsageError(ValueError):
    """The call was wrong: exit status 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of few letters shows what it can
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(_HELP.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())))
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"pairstream {version('pairstream')}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _complain(_say_unknown(name), 2)
    try:
        importlib.import_module(f"pairstream.{name.replace('-', '_')}").main(rest)
    except KeyboardInterrupt:
        return _complain(f"{name}: interrupted; what was finished is kept, run the same command again", 130)
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        root = (error.name or "").split(".")[0]
        if os.environ.get("PAIRSTREAM_TRACEBACK") or not root or root in OURS:
            raise
        return _complain(f"{name}: {root} is not installed here; in a clone: make setup", 1)
    except Exception as error:
        if os.environ.get("PAIRSTREAM_TRACEBACK"):
            raise
        if not isinstance(error, ValueError | OSError | RuntimeError):
            raise  # a defect of ours: the traceback is what we need
        return _complain(f"{name}: {message_of(error)}", 2 if isinstance(error, UsageError) else 1)
    return 0


def _say_unknown(name: str) -> str:
    """What was likely meant, and all that there is."""
    from difflib import get_close_matches

    what = "option" if name.startswith("-") else "command"
    near = get_close_matches(name, [*COMMANDS, "--help", "--version"], n=2)
    meant = f"did you mean {' or '.join(near)}? There are" if near else "expected one of"
    return f"unknown {what} {name!r}; {meant}: {', '.join(COMMANDS)}"


def message_of(error: Exception) -> str:
    """The error's own words, without what a Beam runner adds; a job's several causes keep their lines."""
    message = re.sub(r" \[while running '[^\n]*'\]", "", str(error)).strip()
    if "Traceback (most recent call last)" in message:  # of a worker's process: its last line says what was raised
        raised = [line for line in message.splitlines() if re.match(r"[\w.]+(Error|Exception): ", line)]
        message = raised[-1].partition(": ")[2] if raised else message
    return message or type(error).__name__


def _complain(message: str, status: int) -> int:
    print(f"pairstream {message}", file=sys.stderr)
    return status
