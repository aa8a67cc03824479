"""Options that the command line passes on to Beam."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser
from collections.abc import Collection, Sequence
from typing import Any

from pairstream.arguments import parse_known
from pairstream.cli import UsageError
from pairstream.wrong_call import options_of, say_unknown, unknown_options


def parse_with_beam(kind: Any, argv: Sequence[str], command: str) -> tuple[Any, list[str]]:
    """The arguments as `kind`, and those that are Beam's.

    Raises UsageError for an option that neither we nor Beam know: Beam itself would drop it in silence.
    """
    ours = options_of(kind)
    try:
        parsed, rest = parse_known(kind, argv, command)
    except UsageError:
        _refuse_unknown(unknown_options(argv, ours), ours)  # it says more than what is missing for its sake
        raise
    _refuse_unknown([word for word in rest if word.startswith("-")], ours)
    if rest:
        _refuse_wrong(rest, command)
    return parsed, rest


def _refuse_unknown(options: Sequence[str], ours: Collection[str]) -> None:
    if not options:
        return  # Beam takes seconds to import
    beams = {name for action in _beam_parser()._actions for name in action.option_strings}
    for word in options:
        if word.startswith("--") and word.split("=")[0] not in beams:
            raise UsageError(say_unknown(word, [*ours, *beams], ", to pairstream and to Beam"))


def _refuse_wrong(options: Sequence[str], command: str) -> None:
    try:
        _, unknown = _beam_parser().parse_known_args(list(options))
    except ArgumentError as error:
        raise UsageError(f"{error.argument_name}, which is Beam's: {error.message}") from None
    if unknown:
        raise UsageError(f"{unknown[0]!r} is one word too many; see pairstream {command} --help")


def _beam_parser() -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve", exit_on_error=False)
    kinds = [PipelineOptions]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "_add_argparse_args" in kind.__dict__:
            kind._add_argparse_args(parser)  # type: ignore[arg-type]
    return parser
