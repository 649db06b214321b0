"""The OpenAPI 3.1 document of everything that `gateway.api.surface` declares (pure).

Source: OpenAPI 3.1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.api.operations import Operation
from gateway.api.surface import OPERATIONS, canonical
from gateway.api.versions import API_VERSION, CHANGES
from gateway.openapi.examples import example_of
from gateway.openapi.fields import component_headers
from gateway.openapi.parameters import component_parameters, parameters_of
from gateway.openapi.responses import JSON, component_responses, problem_schema, responses_of
from gateway.openapi.schemas import component_schemas, reference
from gateway.openapi.wording import DESCRIPTION, idempotency, security_schemes

# First parts of paths to what they are about, in the order in which a reader needs them.
TAGS: tuple[tuple[str, str, str], ...] = (
    ("payments", "Payments", "Accept, capture, cancel, give back, and what came of it."),
    ("refunds", "Refunds", "What of a payment goes back."),
    ("disputes", "Disputes", "What a payer contests."),
    ("instruments", "Instruments", "Cards and bank accounts, kept by the vault, named by tokens."),
    ("accounts", "Accounts", "One for each currency, with its balance."),
    ("events", "Events", "What happened, for whoever missed a webhook."),
    ("feed", "Events", "What happened, for whoever missed a webhook."),
    ("webhook_endpoints", "Webhooks", "Where events are delivered, and how that went."),
    ("deliveries", "Webhooks", "Where events are delivered, and how that went."),
    ("keys", "Keys", "Your keys, what they may do, and their end."),
    ("oauth", "Tokens", "For dashboards: they read, for minutes."),
    (".well-known", "Public", "What anyone may read, without a signature."),
)


def build_document(
    origins: Sequence[str] = (), operations: Sequence[Operation] = OPERATIONS
) -> dict[str, Any]:
    """Return the document.

    Args:
        origins: of the gateway, `https://host`; they are part of what is signed. None: the reader's own.
        operations: the declared surface.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(canonical(operation.path), {})[operation.method.lower()] = _described(operation)
    bodies = [kind for each in operations for kind in (each.body, *each.answers.values())]
    kinds = {kind for kind in bodies if isinstance(kind, type) and issubclass(kind, msgspec.Struct)}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Countermark",
            "version": API_VERSION.isoformat(),
            "summary": "Payments that can be proven: signed requests, signed answers, kept evidence.",
            "description": DESCRIPTION,
        },
        "servers": [{"url": origin} for origin in origins] or [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in _tags(operations).items()],
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": component_parameters(),
            "headers": component_headers(),
            "responses": component_responses(),
            "schemas": {
                **component_schemas(sorted(kinds, key=lambda each: each.__name__)),
                "Problem": problem_schema(),
            },
        },
        "x-idempotency": idempotency(),
        "x-countermark-versions": [
            {"version": change.version, "changed": sorted(change.ways_back)} for change in CHANGES
        ]
        or [{"version": API_VERSION.isoformat(), "changed": []}],
    }


def tag_of(operation: Operation) -> str:
    """Return the name of the group that an operation is shown in.

    Raises:
        ValueError: none of `TAGS` is for its path.
    """
    parts = operation.path.split("/")
    first = parts[1] if parts[1] == ".well-known" else parts[2]
    found = [name for part, name, _ in TAGS if part == first]
    if not found:
        raise ValueError(f"{operation.name} is in no group of the page: add {first} to TAGS")
    return found[0]


def _tags(operations: Sequence[Operation]) -> dict[str, str]:
    used = {tag_of(operation) for operation in operations}
    return {name: about for _, name, about in TAGS if name in used}


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [tag_of(operation)],
        "summary": operation.summary,
        "security": _security(operation),
    }
    if parameters := parameters_of(operation):
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": reference(operation.body), "example": example_of(operation.body)}},
        }
    return {**described, "responses": responses_of(operation)}


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """What proves who asks: one of the list, and of that one everything."""
    if not operation.signed:
        return []
    scopes = [] if operation.scope is None else [operation.scope.value]
    needed = {"signature": scopes, "signatureInput": [], **({"contentDigest": []} if operation.acts else {})}
    return [needed, *([{"accessToken": scopes, "proof": []}] if operation.admits_tokens else [])]
