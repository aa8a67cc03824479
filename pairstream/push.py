"""`pairstream push`: an encoder or a dataset to the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from pairstream.arguments import Folder, parse, print_json
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries


@dataclass(frozen=True)
class Arguments:
    """Send an encoder folder, or a dataset with a card made of its manifest, to the Hugging Face Hub in one commit.

    For example: pairstream push me/quickstart runs/quickstart/encoder --dry-run
    """

    repo_id: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="OWNER/NAME")]]
    """OWNER/NAME on the Hub; made if it is not there."""
    folder: Folder
    """Encoder folder, or folder of a dataset."""
    private: bool = False
    """Of a repository that is made."""
    message: str = ""
    """Of the commit."""
    dry_run: bool = False
    """Say what would be sent, and send nothing; needs no network."""
    json: bool = False
    """Print one JSON document instead of text."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "push")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments.repo_id):
        raise UsageError(f"{arguments.repo_id}: expected OWNER/NAME of a repository on the Hub")
    quiet_libraries()
    from trainer.push import plan_upload, push

    upload = plan_upload(arguments.folder)
    sent = None if arguments.dry_run else push(upload, arguments.repo_id, **_options(arguments))
    if arguments.json:
        print_json(
            {
                "repo_id": arguments.repo_id,
                "repo_type": upload.kind,
                "files": upload.sizes,
                "metadata": upload.metadata,
                "commit": sent,
            }
        )
        return
    print(f"{arguments.repo_id} ({upload.kind}): {len(upload.files)} files, {sum(upload.sizes.values()):,} bytes")
    for name, size in upload.sizes.items():
        print(f"  {size:>15,}  {name}")
    print("metadata of the card:")
    for name, value in upload.metadata.items():
        print(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    print("nothing was sent (--dry-run)" if sent is None else f"sent: {sent}")


def _options(arguments: Arguments) -> dict:
    return {"private": arguments.private, "message": arguments.message}
