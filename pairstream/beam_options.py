"""Options that the command line passes on to Beam."""

from __future__ import annotations

from typing import Any

from pairstream.cli import UsageError


def refuse_unknown(options: list[str]) -> None:
    """An option that neither we nor Beam know is an error: Beam itself would drop it in silence."""
    from argparse import ArgumentParser

    from apache_beam.options.pipeline_options import PipelineOptions

    parser: Any = ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve", exit_on_error=False)
    kinds = [PipelineOptions]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "_add_argparse_args" in kind.__dict__:
            kind._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(options)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]}; neither the source nor Beam has it, see --help")
