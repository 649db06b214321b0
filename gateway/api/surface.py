"""The whole public interface: every operation, found by method and route."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.api import (
    accounts,
    claims,
    events,
    evidence,
    feed,
    instruments,
    key_commands,
    keys,
    payment_commands,
    payment_reads,
    payments,
    refunds,
    tokens,
    webhook_deliveries,
    webhook_endpoints,
    webhook_reads,
)
from gateway.api.operations import Operation
from gateway.api.problems import CATALOGUE_PATH

PROBLEMS = Operation(
    name="listProblems", method="GET", path=CATALOGUE_PATH, signed=False,
    summary="Every problem type, with its status", answers={200: "application/json"},
)  # fmt: skip
DOCUMENT = Operation(
    name="readDocument", method="GET", path="/.well-known/countermark-openapi.json", signed=False,
    summary="This interface as an OpenAPI 3.1 document", answers={200: "application/json"}, conditional=True,
)  # fmt: skip
PAGE = Operation(
    name="readPage", method="GET", path="/.well-known/countermark-api", signed=False,
    summary="This interface as a page to read", answers={200: "text/html"}, conditional=True,
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (
    *payments.OPERATIONS,
    *payment_reads.OPERATIONS,
    *claims.OPERATIONS,
    *accounts.OPERATIONS,
    *events.OPERATIONS,
    *feed.OPERATIONS,
    *payment_commands.OPERATIONS,
    *instruments.OPERATIONS,
    *refunds.OPERATIONS,
    *keys.OPERATIONS,
    *key_commands.OPERATIONS,
    *tokens.OPERATIONS,
    *webhook_reads.OPERATIONS,
    *webhook_endpoints.OPERATIONS,
    *webhook_deliveries.OPERATIONS,
    *evidence.OPERATIONS,
    PROBLEMS,
    DOCUMENT,
    PAGE,
)


def canonical(path: str) -> str:
    """Return a route as aiohttp names it: without the expressions of its parts."""
    return path.replace("{tile:.+}", "{tile}")


BY_ROUTE: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {(operation.method, canonical(operation.path)): operation for operation in OPERATIONS}
)
if len(BY_ROUTE) != len(OPERATIONS):
    raise ValueError("two operations have one method and route")
