"""GET /v1/keys and POST /v1/keys/{id}/revoke: what a merchant knows of its keys, and how it ends one.

A key is replaced by registering another and revoking it: both may sign meanwhile, so that nothing stands
still. A revocation is for ever, counts for every acceptance from its commit on and for every read within a
second, and changes nothing about what was signed before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.act_shapes import Keys, ListedKey
from gateway.api.operations import Bound, Operation, Scope, require_scope
from gateway.api.parsing import parse_command
from gateway.api.performing import Effect, Performing
from gateway.api.queries import Page, page_body, parse_query
from gateway.api.replies import json_reply
from gateway.errors import FieldFault, NotFound, ValidationFailed
from gateway.store.registry import ListedKey as KeyRow
from gateway.store.registry import Registry
from signing.evidence.entry import utc_text
from signing.profile import KEY_ID

REASON_DEFAULT = "revoked by its merchant"
# It becomes one line of a statement in the log, as an operator's does.
Reason = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{1,200}\Z")]


class RevokeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a revocation.

    Attributes:
        reason: one line; it goes into the key's history and into the evidence log.
        compromised_since: seconds since the epoch; what the owner claims, which an arbiter is told and which
            changes no verdict.
    """

    reason: Reason | None = None
    compromised_since: Annotated[int, msgspec.Meta(ge=0, le=10**10 - 1)] | None = None


LIST = Operation(
    name="listKeys", method="GET", path="/v1/keys", scope=Scope.READ, query=Page,
    summary="The merchant's keys with their scopes and histories, the newest first", answers={200: Keys},
    problems=frozenset({"both_cursors", "validation_failed"}),
)  # fmt: skip
REVOKE = Operation(
    name="revokeKey", method="POST", path="/v1/keys/{key_id}/revoke", body=RevokeOrder,
    summary="Revoke a key for ever: by a key that may manage keys, or by itself", answers={200: ListedKey},
    problems=frozenset({"not_found", "state_conflict"}),
)  # fmt: skip
OPERATIONS = (LIST, REVOKE)


class KeyCommandHandlers:
    """The handlers of what is done with registered keys.

    Args:
        registry: where keys are recorded.
        performing: does commands once per idempotency key.
        now: seconds since the epoch, UTC.
    """

    def __init__(
        self, *, registry: Registry, performing: Performing, now: Callable[[], float] = time.time
    ) -> None:
        self._registry = registry
        self._performing = performing
        self._now = now

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((LIST, self.list), (REVOKE, self.revoke))

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/keys."""
        known, target_uri = request[EXCHANGE].require_reader()
        page = parse_query(target_uri, Page)
        rows = await self._registry.keys_of(
            known.merchant_id, after=page.starting_after, before=page.ending_before, rows_max=page.limit + 1
        )
        shown = [_shown(known.merchant_id, row, row.revoked_at) for row in rows]
        return json_reply(msgspec.json.encode(page_body("/v1/keys", shown, page)))

    async def revoke(self, request: web.Request) -> web.Response:
        """POST /v1/keys/{id}/revoke."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", RevokeOrder)
        now = self._now()
        if order.compromised_since is not None and order.compromised_since > now:
            raise ValidationFailed(
                "nobody knows of a compromise to come", FieldFault("/compromised_since", "a time in the past")
            )
        key_id = request.match_info["key_id"]
        if key_id != verified.key_id:
            require_scope(known.scopes, Scope.MANAGE_KEYS)
        row = await self._registry.key_of(known.merchant_id, key_id) if KEY_ID.fullmatch(key_id) else None
        if row is None:
            raise NotFound("there is no such key")
        return await self._performing.perform(
            exchange,
            Effect(
                name="key_revocation",
                arguments={
                    "key_id": key_id,
                    "reason": order.reason or REASON_DEFAULT,
                    "compromised_since": order.compromised_since,
                },
                resource_id=key_id,
                body=_shown(known.merchant_id, row, datetime.fromtimestamp(now, UTC)),
                status=HTTPStatus.OK,
            ),
        )


def _shown(merchant_id: str, row: KeyRow, revoked_at: datetime | None) -> ListedKey:
    return ListedKey(
        key_id=row.key.key_id,
        merchant_id=merchant_id,
        alg=row.key.alg,
        status="active" if revoked_at is None else "revoked",
        scopes=sorted(row.scopes),
        registered_at=utc_text(row.registered_at),
        revoked_at=None if revoked_at is None else utc_text(revoked_at),
    )
