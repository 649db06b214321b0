"""Persons at the record, by their own certificates, and their commands as processes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from compose.derive.process_config import to_toml
from pki.identity import TRUST_DOMAIN_DEFAULT
from services.payments.machine.events import Screened
from tests.integration.payments.payment_world import RULE_PACK, PaymentWorld
from tests.integration.payments.payments_samples import Request
from tests.integration.postgres_server import PostgresServer

ALICE, BRUNO = "operator-alice", "operator-bruno"
ACCOUNT = "acc_review"
LOOK_S = 0.01


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    output: str
    faults: str

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output)
        return found


@dataclass
class Operators:
    """Persons of one database."""

    server: PostgresServer
    database: str
    folder: Path

    @asynccontextmanager
    async def connected(self, person: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await self.server.connect("operator", self.database, person=person)
        try:
            yield connection
        finally:
            await connection.close()

    async def decide(self, person: str, subject_id: str, decision: str, reason: str = "looked at") -> int:
        async with self.connected(person) as connection:
            statement = "select payments.decide_review($1, $2, $3)"
            return int(await connection.fetchval(statement, subject_id, decision, reason))

    async def result(self, person: str, mail_id: int) -> asyncpg.Record | None:
        async with self.connected(person) as connection:
            return await connection.fetchrow("select * from payments.action_result($1)", mail_id)

    async def run(self, person: str, group: str, *arguments: str) -> Ended:
        """Run one command as a process."""
        config = self.folder / f"{person}.toml"
        document = {
            "name": person,
            "cell": "eu",
            "trust_domain": TRUST_DOMAIN_DEFAULT,
            "identity": str(self.server.pki.identity(person)),
            "state_dir": str(self.folder),
            "connection_age_s_max": 10.0,
            "postgres": msgspec.structs.asdict(self.server.reach("operator", self.database)),
        }
        config.write_text(to_toml(document))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.payments", group, "--config", str(config), *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, faults = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), faults.decode())


@asynccontextmanager
async def engine_running(paying: PaymentWorld) -> AsyncIterator[None]:
    """Turns without end, as an engine takes them."""

    async def turns() -> None:
        while True:
            await paying.waiting()
            await asyncio.sleep(LOOK_S)  # The condition is mail; this only spares the processor.

    task = asyncio.create_task(turns())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def in_review(paying: PaymentWorld, amount_minor: int = 5_000) -> str:
    """A collect that the fraud service has put before a person."""
    merchant = await paying.world.owner.fetchval(
        "select merchant_id from payments.account where account_id = $1", ACCOUNT
    )
    if merchant is None:
        merchant = await paying.open_account(ACCOUNT)
    [payment_id] = await paying.accept([Request(ACCOUNT, amount_minor=amount_minor, merchant=merchant)])
    await paying.waiting()
    paying.askings.clear()
    verdict = Screened(
        payment_id=payment_id,
        verdict="review",
        rule_pack=RULE_PACK,
        inputs_digest="0" * 64,
        reasons=("large",),
    )
    await paying.about([verdict])
    assert "in_review" == await paying.status(payment_id)
    return payment_id


async def captured(paying: PaymentWorld, amount_minor: int = 100_000) -> str:
    """A collect that has succeeded."""
    merchant = await paying.open_account(ACCOUNT)
    [payment_id] = await paying.accept([Request(ACCOUNT, amount_minor=amount_minor, merchant=merchant)])
    await paying.submit()
    await paying.answer_all()
    assert "succeeded" == await paying.status(payment_id)
    return payment_id
