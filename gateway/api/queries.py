"""The query of a read to a typed structure, and pages of lists (pure).

Parameters are plain, once each, in any order; one that the operation does not know is refused, because a
misspelt filter that is ignored answers another question than the one that was asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.errors import BothCursors, FieldFault, ValidationFailed

PAGE_ITEMS_DEFAULT = 10
PAGE_ITEMS_MAX = 100  # A page of payments stays below 100 kB: one answer, one receipt.

Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_ITEMS_MAX)]
# Ids, and whatever else one of ours could be; what it names is looked for within the merchant's own.
Cursor = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
# Seconds since the epoch, UTC; the last one is in the year 2286.
EpochS = Annotated[int, msgspec.Meta(ge=0, le=9_999_999_999)]
_PARAMETERS_MAX = 16  # No operation has more than ten.

QueryT = TypeVar("QueryT", bound=msgspec.Struct)


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which part of a list: newest first, after or before an item that is not included."""

    limit: Limit = PAGE_ITEMS_DEFAULT
    starting_after: Cursor | None = None
    ending_before: Cursor | None = None


def parse_query(target_uri: str, kind: type[QueryT]) -> QueryT:
    """Read the query of a verified target.

    Raises:
        ValidationFailed: an unknown, repeated or malformed parameter; its pointer is `?name`.
        BothCursors: a page cannot lie after one item and before another.
    """
    text = urlsplit(target_uri).query
    pairs = [pair.partition("=") for pair in text.split("&")] if text else []
    given = {name: value for name, _, value in pairs}
    if len(given) != len(pairs) or len(pairs) > _PARAMETERS_MAX:
        raise ValidationFailed("each query parameter may stand once", FieldFault("?", "each parameter once"))
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    if not known.issuperset(given):
        expected = f"one of {', '.join(sorted(known))}" if known else "no parameters"
        raise ValidationFailed("there is a query parameter that this operation does not know",
                               FieldFault("?", expected))  # fmt: skip
    for name, value in given.items():
        # One spelling for a number: what looks alike must be alike.
        if name in _NUMBERS and _PLAIN_NUMBER.fullmatch(value) is None:
            raise ValidationFailed("a number is digits alone", FieldFault(f"?{name}", "a plain number"))
    try:
        query = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as fault:
        expected, _, path = str(fault).partition(" - at `$.")
        pointer = f"?{path.removesuffix('`')}" if path else "?"
        raise ValidationFailed(
            "the query does not fit this operation", FieldFault(pointer, expected)
        ) from None
    if isinstance(query, Page) and query.starting_after is not None and query.ending_before is not None:
        raise BothCursors("a page begins after one item or ends before one: send one of the two cursors")
    return query


_NUMBERS = frozenset({"limit", "created_gte", "created_lte"})
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


def page_body(url: str, rows: Sequence[Any], query: Page) -> dict[str, Any]:
    """Return a list as it is sent.

    Args:
        url: the list's own path.
        rows: up to `limit` + 1 of them, in the order in which they were looked up: newest first, or of a
            page that ends before an item, oldest first from that item.
        query: which page it is.
    """
    shown = list(rows[: query.limit])
    if query.ending_before is not None:
        shown.reverse()
    return {"object": "list", "url": url, "has_more": len(rows) > query.limit, "data": shown}
