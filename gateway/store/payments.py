"""Calls of the functions of the schema `payments`: accept in groups, find one, find accounts.

Concurrent acceptances share one transaction. If that transaction fails for what is in it, each item gets
one of its own, so that one bad item cannot fail the others; idempotency makes the second try harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from gateway.errors import CellUnavailable, IdempotencyKeyReused
from gateway.store.record import connected, reaching_record
from services.node.crash_points import reach
from services.node.group import Group
from signing import KeyRevoked

ITEMS_PER_TRANSACTION_MAX = 128  # The knee that was measured on PostgreSQL; `payments.accept` takes no more.


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One payment to be accepted, with its answer and its evidence; the fields are those of the function."""

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


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the record holds now: this payment, or the one that was accepted under the same key before."""

    repeat: bool
    response_status: int
    response_body: bytes
    payment_id: str


@dataclass(frozen=True, slots=True)
class _Reused:
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class _Revoked:
    """The key that signed is not valid any more."""


_Decided = Accepted | _Reused | _Revoked


_ACCEPT = (
    "select * from payments.accept($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[],"
    " $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bytea[],"
    " $13::text[], $14::bytea[], $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bytea[],"
    " $20::timestamptz[], $21::text[])"
)


class Payments:
    """The payments through one pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._group: Group[Acceptance, _Decided | Exception] = Group(
            self._accept_group, items_max=ITEMS_PER_TRANSACTION_MAX
        )

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """Accept a payment durably, once per idempotency key.

        Raises:
            IdempotencyKeyReused: the key was used for another request.
            KeyRevoked: the key that signed was revoked meanwhile; nothing was recorded.
            CellUnavailable: nobody knows whether it was recorded; the same request sent again will tell.
        """
        async with reaching_record():
            result = await self._group.submit(acceptance)
        if isinstance(result, Exception):
            raise result
        if isinstance(result, _Revoked):
            raise KeyRevoked("this key was revoked", signature_base=acceptance.request_base)
        if isinstance(result, _Reused):
            raise IdempotencyKeyReused("this idempotency key was used for another payment: take a new one")
        return result

    async def close(self) -> None:
        """Wait until everything submitted has been answered."""
        await self._group.close()

    async def _accept_group(self, items: list[Acceptance]) -> list[_Decided | Exception]:
        try:
            return await self._accept_together(items)
        except CellUnavailable:
            raise  # for all alike: one by one it would only take longer
        except asyncpg.PostgresError:
            return [await self._accept_alone(item) for item in items]

    async def _accept_alone(self, item: Acceptance) -> _Decided | Exception:
        try:
            return (await self._accept_together([item]))[0]
        except (CellUnavailable, asyncpg.PostgresError) as fault:
            return fault

    async def _accept_together(self, items: list[Acceptance]) -> list[_Decided | Exception]:
        columns = [[getattr(item, name) for item in items] for name in Acceptance.__slots__]
        async with connected(self._pool) as connection:
            reach("gateway.accept_begins")
            rows = await connection.fetch(_ACCEPT, *columns)
        reach("gateway.accept_committed")
        return [_decided(row) for row in sorted(rows, key=lambda row: int(row["item"]))]

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


def _decided(row: asyncpg.Record) -> _Decided:
    match row["outcome"]:
        case "revoked":
            return _Revoked()
        case "mismatch":
            return _Reused()
        case outcome:
            repeat = outcome == "repeat"
            return Accepted(repeat, row["response_status"], row["response_body"], row["payment_id"])
