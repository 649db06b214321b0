"""What requests carry beside a body: parts of the path, the query, header fields (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.api.operations import Operation
from gateway.api.preferences import WAIT_S_MAX
from gateway.api.surface import canonical
from gateway.openapi.schemas import Schema, ecma_pattern, member_schemas
from gateway.openapi.signing_example import IDEMPOTENCY_KEY
from signing import profile

_CHARACTERS = "[0-9a-hjkmnp-tv-z]"  # Crockford's base32, as ids are written in.
_OWN_CELL = "[a-z]{2,8}"
# What a value in a query may hold, because the target is signed and has one spelling; ids need no more.
_QUERY_VALUE = "^[A-Za-z0-9_.-]*$"
_FREE_TEXT = frozenset({"merchant_reference"})
_PART = re.compile(r"\{([a-z_]+)\}")


def _id(prefix: str, what: str, *, derived: bool = False) -> tuple[str, str]:
    first = _CHARACTERS if derived else "[0-7]"
    return f"^{prefix}_{_OWN_CELL}_{first}{_CHARACTERS}{{25}}$", f"The id of the {what}."


# Parts of paths: the form of what exists, and what it is. Another form is answered 404.
PATH_PARTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "account_id": _id("acc", "account"),
        "delivery_id": _id("whd", "delivery", derived=True),
        "dispute_id": _id("dsp", "dispute", derived=True),
        "event_id": (
            f"^evt_{_OWN_CELL}_[0-7]{_CHARACTERS}{{25}}_[1-9][0-9]{{0,8}}$",
            "The id of the event, as webhooks carry it.",
        ),
        "instrument_id": _id("tok", "instrument: the token that payments take"),
        "key_id": (f"^{profile.KEY_ID.pattern}$", "The RFC 7638 thumbprint of the key."),
        "payment_id": _id("pay", "payment"),
        "refund_id": _id("ref", "refund", derived=True),
        "tile": (
            "^[0-9]+(?:/x[0-9]{3})*/[0-9]{3}(?:\\.p/[0-9]+)?$",
            "Level, index and perhaps width of a tile (C2SP tlog-tiles); slashes are sent as they are.",
        ),
        "webhook_endpoint_id": _id("whe", "webhook endpoint"),
    }
)  # fmt: skip


def parameters_of(operation: Operation) -> list[dict[str, Any]]:
    """Return an operation's parameters: path, query, header fields."""
    found = [_path_part(name) for name in _PART.findall(canonical(operation.path))]
    if operation.query is not None:
        found += [_query(name, schema) for name, schema in member_schemas(operation.query).items()]
    names = [
        *(["idempotencyKey"] if operation.acts else []),
        *(["ifNoneMatch"] if operation.conditional else []),
        *(["prefer"] if operation.waits else []),
    ]
    return [*found, *({"$ref": f"#/components/parameters/{name}"} for name in names)]


def component_parameters() -> dict[str, Any]:
    """Return the header fields that several operations take."""
    return {
        "idempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": True,
            "description": "A key of your own for this one act, in quotes; draw it at random. It is signed. "
            "The same request under the same key acts once and is answered the same.",
            "schema": {"type": "string", "pattern": f"^{ecma_pattern(profile.IDEMPOTENCY_KEY.pattern)}$"},
            "example": IDEMPOTENCY_KEY,
        },
        "ifNoneMatch": {
            "name": "If-None-Match", "in": "header", "required": False,
            "description": "An entity tag of before; 304 if it still holds (RFC 9110 §13.1.2).",
            "schema": {"type": "string"}, "example": '"3"',
        },
        "prefer": {
            "name": "Prefer", "in": "header", "required": False,
            "description": "`wait=N`: answer when the payment has ended or waits for you, or when there is "
            f"an event, at the latest after N seconds; N is at most {WAIT_S_MAX} (RFC 7240 §4.3). A wish, "
            "which is not signed.",
            "schema": {"type": "string"}, "example": "wait=10",
        },
    }  # fmt: skip


def _path_part(name: str) -> dict[str, Any]:
    if name not in PATH_PARTS:
        raise ValueError(f"nothing says which form {name} in a path has: add it to PATH_PARTS")
    pattern, about = PATH_PARTS[name]
    return {
        "name": name, "in": "path", "required": True, "description": about,
        "schema": {"type": "string", "pattern": pattern},
    }  # fmt: skip


def _query(name: str, schema: Schema) -> dict[str, Any]:
    if (about := schema.pop("description", None)) is None:
        raise ValueError(f"nothing says what {name} in a query means: add it to QUERY_MEANINGS")
    if name in _FREE_TEXT:
        schema = {"allOf": [schema, {"pattern": _QUERY_VALUE}]}
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}
