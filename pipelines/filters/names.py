"""Names, of subreddits or of sites, that are taken or left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NameRule:
    """Which names (of subreddits, of sites) are taken: those allowed, or all if none is, less those denied.

    Case does not count, nor does a leading `r/` or `/r/`.
    """

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    what: str = "name"
    """What is named, for the reason: `subreddit_denied`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", frozenset(map(_plain_name, self.allow)))
        object.__setattr__(self, "deny", frozenset(map(_plain_name, self.deny)))

    def reason(self, name: str) -> str | None:
        """Why a record with this name goes; None: it stays. What is denied goes even if allowed."""
        if not self.allow and not self.deny:
            return None
        plain = _plain_name(name)
        if plain in self.deny:
            return f"{self.what}_denied"
        return f"{self.what}_not_allowed" if self.allow and plain not in self.allow else None


def _plain_name(name: str) -> str:
    return name.strip().casefold().removeprefix("/").removeprefix("r/")


def load_names(path: str | Path) -> frozenset[str]:
    """The names in a file, one a line; empty lines and what follows a `#` do not count."""
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))
