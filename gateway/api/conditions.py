"""Entity tags, `If-None-Match`, and what a 304 proves (pure).

The condition is a header field that no signature covers: anybody on the way may change it. So a 304 says
itself what it is about, where its receipt covers it: its Content-Type names the sequence that the payment was
found at. Whoever holds another sequence knows that somebody else's condition was answered.
Source: RFC 9110 §8.8.3, §13.1.2.
"""

from __future__ import annotations

import re

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_LIST = re.compile(r'\s*(?:(?:W/)?"[\x21\x23-\x7e]*"\s*(?:,\s*|\Z))+')
CONDITION_CHARS_MAX = 1_024  # A few dozen tags; a client knows one.


def entity_tag(sequence: int, shape: str | None) -> str:
    """Return the tag of what is shown.

    Args:
        sequence: of the last event.
        shape: the version of an older shape; None for the newest.
    """
    return f'"{sequence}"' if shape is None else f'"{sequence}.{shape}"'


def unchanged_type(sequence: int) -> str:
    """Return the Content-Type of a 304: what the receipt covers besides the status."""
    return f"application/json; sequence={sequence}"


def matches(condition: str | None, tag: str) -> bool:
    """Tell whether `If-None-Match` names this tag; what is malformed names none.

    Args:
        condition: the field's value.
        tag: the tag of now, in quotes.
    """
    if condition is None or len(condition) > CONDITION_CHARS_MAX:
        return False
    if condition.strip() == "*":
        return True
    if _LIST.fullmatch(condition) is None:
        return False
    return tag.strip('"') in _TAG.findall(condition)
