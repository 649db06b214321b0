"""What acts once per idempotency key, for tests that hold for all of it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from gateway.idempotency import key_hash
from signing import Request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request, post
from tests.integration.gateway.payment_states import authorized, mail_of


@dataclass(frozen=True)
class Act:
    """Something that acts once per key: its request, and another one under the same key."""

    request: Request
    other: Request
    table: str
    at: str
    key: str
    payment_id: str | None = None

    async def count(self, stack: Gateway) -> int:
        """How often it was done."""
        if self.payment_id is not None:
            return len(await mail_of(stack, self.payment_id))
        reference = json.loads(self.request.body or b"")["merchant_reference"]
        found = await stack.query("select from payments.payment where merchant_reference = $1", reference)
        return len(found)

    async def age(self, stack: Gateway, days: int) -> None:
        """Let it have been done so many days ago."""
        statement = f"update {self.table} set {self.at} = now() - $2 * interval '1 day' where key_hash = $1"
        await stack.query(statement, key_hash(self.key), days)

    async def rows(self, stack: Gateway) -> list[dict[str, object]]:
        found = await stack.query(f"select * from {self.table} where key_hash = $1", key_hash(self.key))
        return [dict(row) for row in found]


def a_payment() -> Act:
    key = secrets.token_urlsafe(24)
    request = payment_request(key=key)
    other = payment_request(key=key, amount=1)
    return Act(request, other, "payments.idempotency_key", "accepted_at", key)


async def a_capture(stack: Gateway) -> Act:
    payment_id, key = await authorized(stack), secrets.token_urlsafe(24)
    path = f"/v1/payments/{payment_id}/capture"
    one, other = post(path, b'{"amount":1}', key=key), post(path, b'{"amount":2}', key=key)
    return Act(one, other, "commands.request", "at", key, payment_id)


async def prune_all(stack: Gateway) -> None:
    """As the gateway's own role, which is given nothing but the door."""
    connection = await stack.server.connect("gateway", stack.database)
    try:
        for door in ("payments.prune_keys", "commands.prune"):
            while await connection.fetchval(f"select {door}(500)"):
                pass
    finally:
        await connection.close()
