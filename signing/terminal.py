"""What commands print: data on stdout, words for people on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON object."""
    print(json.dumps(document, indent=2))


def print_lines(document: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    print("\n".join(f"{name.replace('_', '-')}: {value}" for name, value in document.items()))


def say(text: str) -> None:
    """Tell a person."""
    print(text, file=sys.stderr)
