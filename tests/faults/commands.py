"""What is asked for after a payment was accepted.

Merchants ask over the edge, persons by their own doors: in the ways that the product has, and under the same
names however often they ask.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final, TypeAlias

import asyncpg

from services.node.identifiers import RANDOM_BITS, new_id
from services.payments.machine.model import REFUND_FINAL
from tests.faults.client_log import PAYMENTS_PATH, Promise
from tests.faults.command_log import Action, Command, CommandLog
from tests.faults.doors import Doors
from tests.faults.observed import OUTCOMES
from tests.mesh.enrolled_merchant import EnrolledMerchant

Send: TypeAlias = Callable[[str, bytes], Awaitable[Promise | None]]

REFUNDS_PATH: Final = "/v1/refunds"
GATEWAY: Final = "gateway"
ALICE, BRUNO = "operator-alice", "operator-bruno"
OWNER: Final = "migrator"
# Longer than any fault that the load meets; the mailbox is read again within a second of its end.
TAKEN_S_MAX: Final = 60.0
LOOK_EVERY_S: Final = 0.2
_ROUTES: Final = {"capture": "capture", "void": "cancel"}
_WAITS_FOR_SOMEBODY: Final = ("authorized", "in_review")
_MOVING: Final = f"""
    select status, payment_id, payment_id as subject_id from payments.payment
    where status <> all ('{{{",".join(OUTCOMES)}}}'::text[])
    union all
    select status, payment_id, refund_id from payments.refund
    where status <> all ('{{{",".join(sorted(REFUND_FINAL))}}}'::text[])
"""
_REFUSED: Final = (
    asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.InsufficientPrivilegeError,
    asyncpg.UniqueViolationError, asyncpg.NoDataFoundError,
)  # fmt: skip


class Commander:
    """Asks in the name of one merchant and of two persons.

    Args:
        send: a path and a body, until there is a 202; returns what was promised, or None after a refusal.
        log: is written as soon as there is a result.
    """

    def __init__(self, doors: Doors, merchant: EnrolledMerchant, send: Send, log: CommandLog) -> None:
        self._doors = doors
        self._send = send
        self._merchant = merchant
        self._log = log
        self._cell = merchant.stack.mesh.cell

    def refund_id(self) -> str:
        """A name for a new refund."""
        return self._id("ref")

    async def tell(self, action: Action, payment_id: str, amount_minor: int | None = None) -> Command | None:
        """Capture or void as merchants do, over the edge; None if it was too late.

        Wait for what the engine says.
        """
        body = {} if amount_minor is None else {"amount": amount_minor}
        path = f"{PAYMENTS_PATH}/{payment_id}/{_ROUTES[action]}"
        promise = await self._send(path, json.dumps(body).encode())
        if promise is None:
            return None
        return await self._until_taken(self._asked(action, payment_id, payment_id, amount_minor, promise))

    async def refund(self, payment_id: str, amount_minor: int, *, is_withdrawn: bool = False) -> str | None:
        """Ask for a refund as merchants do, and withdraw it at once or not; None if there is too little left.

        Wait for what the engine says, and return the refund's id.
        """
        body = {"amount": amount_minor, "reason": "sent back"}
        promise = await self._send(f"{PAYMENTS_PATH}/{payment_id}/refunds", json.dumps(body).encode())
        if promise is None:
            return None
        refund_id = promise.made_id
        asked = self._asked("refund", payment_id, refund_id, amount_minor, promise)
        withdrawal = [self._withdraw(payment_id, refund_id)] if is_withdrawn else []
        await asyncio.gather(self._until_taken(asked), *withdrawal)
        return refund_id

    async def _withdraw(self, payment_id: str, refund_id: str) -> Command | None:
        promise = await self._send(f"{REFUNDS_PATH}/{refund_id}/cancel", b"{}")
        if promise is None:
            return None
        return await self._until_taken(self._asked("cancel", payment_id, refund_id, None, promise))

    def _asked(
        self, action: Action, payment_id: str, subject_id: str, amount_minor: int | None, promise: Promise
    ) -> Command:
        key_id = self._merchant.key.key_id
        return Command(action, payment_id, subject_id, key_id, amount_minor, GATEWAY, promise.payment_id)

    async def as_person(
        self,
        person: str,
        action: Action,
        payment_id: str,
        amount_minor: int | None = None,
        refund_id: str | None = None,
    ) -> Command | None:
        """Ask for a capture, void or refund by a person's certificate; None if the record refused it."""
        request_id = refund_id or self._id("ask")
        source_id = f"{action}/{request_id}"
        query = "select payments.ask($1, $2, $3, $4, $5)"
        try:
            await self._doors.fetch(person, query, action, payment_id, request_id, amount_minor, "they rang")
        except _REFUSED:
            return None
        subject_id = refund_id or payment_id
        return await self._until_taken(
            Command(action, payment_id, subject_id, person, amount_minor, person, source_id)
        )

    async def decide(self, person: str, action: Action, payment_id: str, subject_id: str) -> Command | None:
        """Approve or reject what is in review; None if the record refused it.

        That somebody has decided before is what a person hears who asks again after a lost answer: then the
        decision is the one that was kept.
        """
        query = "select payments.decide_review($1, $2, $3)"
        source_id = f"review/{subject_id}"
        try:
            await self._doors.fetch(person, query, subject_id, action, "looked at")
        except _REFUSED:
            kept = "select body ->> 'decision' from payments.mail where (source, source_id) = ($1, $2)"
            rows = await self._doors.fetch(OWNER, kept, person, source_id)
            if [action] != [row[0] for row in rows]:
                return None
        return await self._until_taken(
            Command(action, payment_id, subject_id, person, None, person, source_id)
        )

    async def status(self, payment_id: str) -> str:
        """How the payment stands."""
        query = "select status from payments.payment where payment_id = $1"
        [row] = await self._doors.fetch(OWNER, query, payment_id)
        return str(row[0])

    async def refund_status(self, refund_id: str) -> str:
        """How the refund stands; empty if there is none."""
        query = "select status from payments.refund where refund_id = $1"
        rows = await self._doors.fetch(OWNER, query, refund_id)
        return str(rows[0][0]) if rows else ""

    async def left_open(self) -> list[tuple[str, str, str]] | None:
        """What waits for a merchant or a person: its state, its payment, and its own id.

        Returns:
            None if no payment and no refund is on its way any more, not even by itself.
        """
        moving = await self._doors.fetch(OWNER, _MOVING)
        return [tuple(row) for row in moving if row["status"] in _WAITS_FOR_SOMEBODY] if moving else None

    async def _until_taken(self, command: Command) -> Command:
        query = "select result from payments.mail where (source, source_id) = ($1, $2)"
        async with asyncio.timeout(TAKEN_S_MAX):
            while True:
                [row] = await self._doors.fetch(OWNER, query, command.source, command.source_id)
                if row["result"] is not None:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        taken = Command(**{**asdict(command), "result": row["result"]})
        self._log.write(taken)
        return taken

    def _id(self, prefix: str) -> str:
        bits = secrets.randbits(RANDOM_BITS)
        return new_id(prefix, self._cell, now_ms=int(time.time() * 1000), random_bits=bits)
