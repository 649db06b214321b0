"""Payments for the tests of this folder, and the calls that gateway, engine and operator make."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from compose.launcher.databases import schema_folders
from compose.launcher.release import checkout_root
from gateway.api.payments import DUPLICATE_FORM
from services.node.identifiers import RANDOM_BITS, new_id
from tests.integration.postgres_server import PostgresServer

SCHEMAS = schema_folders(checkout_root())
ROUTE = "POST /v1/payments"
BANKS = ["bank-alpha", "bank-bravo"]

Connection = asyncpg.Connection
Row = asyncpg.Record
Connect = Callable[[str], Awaitable[asyncpg.Connection]]


@asynccontextmanager
async def connections(server: PostgresServer, database: str) -> AsyncIterator[Connect]:
    """A function that opens a connection of a role; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(role: str) -> asyncpg.Connection:
            connection = await server.connect(role, database)
            stack.push_async_callback(connection.close)
            return connection

        yield open_one


def payment_id() -> str:
    return new_id(
        "pay",
        "eu",
        now_ms=int(datetime.now(UTC).timestamp() * 1000),
        random_bits=secrets.randbits(RANDOM_BITS),
    )


def key_of(merchant: str) -> str:
    """The id of the one key that a merchant of these tests has."""
    return base64.urlsafe_b64encode(hashlib.sha256(merchant.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Request:
    """One verified request, as the gateway hands it to the database."""

    account: str
    kind: str = "collect"
    amount_minor: int = 100
    instrument: str = "tok_visa_ok"
    merchant: str = "mer_one"
    currency: str = "EUR"
    capture_method: str = "automatic"
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    content: str = ""
    likeness: UUID | None = None
    looks_again: bool = False
    payment_id: str = field(default_factory=payment_id)
    request_id: str = "req_eu_1"

    @property
    def fingerprint(self) -> bytes:
        text = f"{self.kind} {self.amount_minor} {self.currency} {self.instrument} {self.content}"
        return hashlib.sha256(text.encode()).digest()

    @property
    def body(self) -> bytes:
        return f'{{"id":"{self.payment_id}"}}'.encode()


async def accept(gateway: Connection, requests: Sequence[Request]) -> list[Row]:
    """Accept as role gateway, in one batch."""
    many = len(requests)
    rows: list[Row] = await gateway.fetch(
        f"select * from payments.accept({', '.join(f'${n}' for n in range(1, 26))})",
        [r.merchant for r in requests],
        [ROUTE] * many,
        [hashlib.sha256(r.key.encode()).digest() for r in requests],
        [r.fingerprint for r in requests],
        [r.payment_id for r in requests],
        [r.account for r in requests],
        [r.kind for r in requests],
        [r.amount_minor for r in requests],
        [r.currency for r in requests],
        [r.instrument for r in requests],
        [None] * many,
        [r.body for r in requests],
        [key_of(r.merchant) for r in requests],
        [b"request head"] * many,
        [b"request base"] * many,
        [bytes(64)] * many,
        [b"request body"] * many,
        [b"receipt base"] * many,
        [bytes(64)] * many,
        [datetime.now(UTC)] * many,
        [r.capture_method for r in requests],
        [r.request_id for r in requests],
        [r.likeness for r in requests],
        [r.looks_again for r in requests],
        DUPLICATE_FORM,
    )
    return rows


@dataclass
class World:
    """Connections of the three roles and of the schema's owner, in one database."""

    gateway: Connection
    engine: Connection
    operator: Connection
    owner: Connection

    @classmethod
    async def enter(cls, connect: Connect) -> World:
        roles = ("gateway", "payments", "operator", "migrator")
        return cls(*[await connect(role) for role in roles])

    async def open_account(self, account: str, *, merchant: str | None = None, currency: str = "EUR") -> str:
        """Open an account without money; one merchant an account."""
        merchant = merchant or f"mer_{account}"
        await self.register(merchant)
        await self.operator.execute("select payments.open_account($1, $2, $3)", account, merchant, currency)
        return merchant

    async def register(self, merchant: str) -> None:
        """Let there be this merchant, with its key."""
        await self.owner.execute(
            "insert into registry.merchant values ($1, $1, 'eu', '2026-10-01', now()) on conflict do nothing",
            merchant,
        )
        await self.owner.execute(
            "insert into registry.merchant_key (key_id, merchant_id, jwk, registered_at)"
            " values ($1, $2, '{}', now()) on conflict do nothing",
            key_of(merchant),
            merchant,
        )

    async def make_due(self) -> None:
        """Let every reminder have passed, as time would."""
        await self.owner.execute(
            "update payments.payment set due = now() - interval '1 second' where due is not null"
        )

    async def payment(self, identifier: str) -> Row:
        row = await self.owner.fetchrow("select * from payments.payment where payment_id = $1", identifier)
        assert row is not None
        return row

    async def account(self, identifier: str) -> Row:
        row = await self.owner.fetchrow("select * from payments.account where account_id = $1", identifier)
        assert row is not None
        return row

    async def events(self, identifier: str) -> list[str]:
        rows = await self.owner.fetch(
            "select type from payments.event where payment_id = $1 order by sequence", identifier
        )
        return [row["type"].removeprefix("payment.") for row in rows]

    async def faults(self) -> list[Any]:
        """Everything that the operator's checks find; must be empty, always."""
        return [
            *await self.operator.fetch("select * from payments.reminders_missing()"),
            *await self.operator.fetch("select * from payments.ledger_imbalance()"),
        ]
