"""Calls of the functions of the schema `payments`: accept in groups, find one, find accounts.

Concurrent acceptances share one transaction. If that transaction fails for what is in it, each item gets
one of its own, so that one bad item cannot fail the others; idempotency makes the second try harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from gateway.errors import CellUnavailable, IdempotencyKeyInProgress, StoredRefusal
from gateway.store.key_outcomes import key_refusal
from gateway.store.record import connected, reaching_record
from services.node.crash_points import reach
from services.node.group import Group
from services.node.pacing import Pace
from signing import KeyRevoked

ITEMS_PER_TRANSACTION_MAX = 128  # The knee that was measured on PostgreSQL; `payments.accept` takes no more.
# A transaction for each payment costs five times what one of ten does; a merchant waits 30 ms at the most.
ACCEPTING = Pace(factor=3.0, rest_s_max=0.03)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One payment to be accepted, with its answer and its evidence; the fields are those of the function.

    Attributes:
        likeness: see `gateway.idempotency.likeness`; None for a payment that is like no other.
        looks_again: it may look like an earlier one.
    """

    merchant_id: str
    route: str
    key_hash: bytes
    fingerprint: bytes
    payment_id: str
    account_id: str
    kind: str
    amount_minor: int
    currency: str
    instrument: str
    merchant_reference: str | None
    response_body: bytes
    evidence_key_id: str
    request_head: bytes
    request_base: bytes
    request_signature: bytes
    request_body: bytes
    receipt_base: bytes
    receipt_signature: bytes
    accepted_at: datetime
    capture_method: str = "automatic"
    request_id: str
    likeness: UUID | None
    looks_again: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the record holds now: this payment, or the one that was accepted under the same key before.

    Attributes:
        request_id: of the request that was answered first; None of an old one that did not keep it.
    """

    repeat: bool
    response_status: int
    response_body: bytes
    payment_id: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Refundable:
    """What can still be given back of a payment, refunds that were asked for already taken off."""

    currency: str
    headroom_minor: int


_Decided = Accepted | Exception

_ACCEPT = (
    "select * from payments.accept($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[],"
    " $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bytea[],"
    " $13::text[], $14::bytea[], $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bytea[],"
    " $20::timestamptz[], $21::text[], $22::text[], $23::uuid[], $24::boolean[], $25::text)"
)


class Payments:
    """The payments through one pool of connections.

    Args:
        pool: of connections to the record.
        duplicate_form: the body of the refusal of a payment that looks like an earlier one, with
            `{request_id}` and `{payment_id}` where the record fills them in.
    """

    def __init__(self, pool: asyncpg.Pool, duplicate_form: str) -> None:
        self._pool = pool
        self._duplicate_form = duplicate_form
        self._group: Group[Acceptance, _Decided] = Group(
            self._accept_group, items_max=ITEMS_PER_TRANSACTION_MAX, pace=ACCEPTING
        )

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """Accept a payment durably, once per idempotency key.

        Raises:
            IdempotencyKeyReused: the key was used for another request.
            IdempotencyKeyExpired: it was used so long ago that the answer is gone.
            IdempotencyKeyInProgress: the request that used it is not answered yet.
            StoredRefusal: it looks like an earlier payment, or repeats a request that was refused for that.
            KeyRevoked: the key that signed was revoked meanwhile; nothing was recorded.
            CellUnavailable: nobody knows whether it was recorded; the same request sent again will tell.
        """
        async with reaching_record():
            result = await self._group.submit(acceptance)
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        """Wait until everything submitted has been answered."""
        await self._group.close()

    async def prune(self, rows_max: int) -> int:
        """Forget old idempotency keys; return how many rows that changed, 0 when there is nothing to do.

        Raises:
            CellUnavailable: the record is away.
        """
        async with connected(self._pool) as connection:
            return int(await connection.fetchval("select payments.prune_keys($1)", rows_max))

    async def _accept_group(self, items: list[Acceptance]) -> list[_Decided]:
        try:
            decided = await self._accept_together(items)
        except CellUnavailable:
            raise  # for all alike: one by one it would only take longer
        except asyncpg.PostgresError:
            return [(await self._accept_apart([item]))[0] for item in items]
        if not isinstance(decided[0], IdempotencyKeyInProgress):
            return decided
        # One key is held by somebody else: the others need not wait for it, and its own repeats wait
        # together.
        by_key: dict[tuple[str, str, bytes], list[int]] = {}
        for place, item in enumerate(items):
            by_key.setdefault((item.merchant_id, item.route, item.key_hash), []).append(place)
        if len(by_key) > 1:
            for places in by_key.values():
                again = await self._accept_apart([items[place] for place in places])
                for place, each in zip(places, again, strict=True):
                    decided[place] = each
        return decided

    async def _accept_apart(self, items: list[Acceptance]) -> list[_Decided]:
        try:
            return await self._accept_together(items)
        except (CellUnavailable, asyncpg.PostgresError) as fault:
            return [fault] * len(items)

    async def _accept_together(self, items: list[Acceptance]) -> list[_Decided]:
        columns = [[getattr(item, name) for item in items] for name in Acceptance.__slots__]
        async with connected(self._pool) as connection:
            reach("gateway.accept_begins")
            rows = await connection.fetch(_ACCEPT, *columns, self._duplicate_form)
        reach("gateway.accept_committed")
        rows.sort(key=lambda row: int(row["item"]))
        return [_decided(row, item) for row, item in zip(rows, items, strict=True)]

    async def accounts_of(self, merchant_id: str) -> Mapping[str, str]:
        """Return the merchant's accounts: currency to account id.

        Raises:
            CellUnavailable: the record is away.
        """
        async with connected(self._pool) as connection:
            rows = await connection.fetch("select * from payments.accounts_of($1)", merchant_id)
        return {row["currency"]: row["account_id"] for row in rows}

    async def find(self, merchant_id: str, payment_id: str) -> asyncpg.Record | None:
        """Return the merchant's payment as `payments.find_payment` gives it; None if it is not theirs.

        Raises:
            CellUnavailable: the record is away.
        """
        async with connected(self._pool) as connection:
            return await connection.fetchrow(
                "select * from payments.find_payment($1, $2)", merchant_id, payment_id
            )

    async def refundable(self, merchant_id: str, payment_id: str) -> Refundable | None:
        """Return what can be given back of the merchant's payment; None if it is not theirs.

        Raises:
            CellUnavailable: the record is away.
        """
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(
                "select * from payments.refundable($1, $2)", merchant_id, payment_id
            )
        return None if row is None else Refundable(row["currency"], row["headroom_minor"])


def _decided(row: asyncpg.Record, item: Acceptance) -> _Decided:
    match row["outcome"]:
        case "revoked":
            return KeyRevoked("this key was revoked", signature_base=item.request_base)
        case "new" | "refused" | "repeat" as outcome:
            repeat, status, body = outcome == "repeat", row["response_status"], row["response_body"]
            if row["refusal"] is not None:
                return StoredRefusal(row["refusal"], status, body, row["request_id"], is_repeat=repeat)
            return Accepted(repeat, status, body, row["payment_id"], row["request_id"])
        case outcome:
            return key_refusal(outcome)
