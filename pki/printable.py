"""Text of others as it may be shown. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text without what would steer a terminal; a ledger's words are data."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
