"""Findings: what a bundle proves and what it does not, in the words that `verify.sh` prints as well.

Each sentence stands here and in the script, and a test holds them together. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the bundle proves, or does not prove.

    Attributes:
        proven: whether it does.
        what: a statement, in words.
        by: whose signature proves it, with the key's id or fingerprint; empty if nothing does.
        at: when, and by whose clock; empty if no time is known.
    """

    proven: bool
    what: str
    by: str = ""
    at: str = ""

    def __str__(self) -> str:
        """Return the line that `verify.sh` prints."""
        parts = ["proven" if self.proven else "not proven", ": ", self.what]
        parts += ["; by ", self.by] if self.by else []
        parts += ["; at ", self.at] if self.at else []
        return "".join(parts)


def utc_second(seconds: int) -> str:
    """Return a time of the years 1970 to 9999, given in seconds since the epoch, in words."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
