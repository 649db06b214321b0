"""Take what banks say by themselves: kept first, believed only where it fits, never lost once answered.

Promises: who speaks is who proved it in the handshake, nobody else's words count; 2xx means that the bytes
are durable, and that what they say waits in its payment's mailbox or is in quarantine; anything else means
that the bank should come again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

import asyncpg
import msgspec
from aiohttp import web

from services.banks.callback_messages import CALLBACKS_PATH, BankTold, Callback
from services.banks.counters import CALLBACKS, CALLBACKS_NOT_KEPT
from services.node.crash_points import reach
from services.node.group import Group, GroupFull
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.node.server import CALLER

# Batches follow one another and each holds one connection; one is opened while another is closed by age.
CONNECTIONS_MAX = 2
_TAKE = "select outcome, reason from banks.take_callback($1, $2, $3, $4) order by item"

_log = get_log("banks.callbacks")
_callbacks = msgspec.json.Decoder(Callback, strict=True)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Heard:
    """One callback as it came; `mail` is None where it cannot be read."""

    bank: str
    event_id: str
    body: bytes
    mail: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of it: `taken`, `quarantined` with a reason, or `repeat`."""

    outcome: str
    reason: str | None


def hear(bank: str, body: bytes) -> Heard:
    """Read a callback. What cannot be read is named by its bytes, so that it too is kept once."""
    try:
        said = _callbacks.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Heard(bank, f"sha256:{sha256(body).hexdigest()}", body, None)
    told = BankTold(
        payment_id=said.end_to_end_id,
        bank=bank,
        what=said.what,
        bank_event_id=said.event_id,
        attempt_id=said.attempt_id,
        amount_minor=said.amount_minor,
        currency=said.currency,
        bank_reference=said.bank_reference,
        decline_code=said.decline_code,
        dispute_reference=said.dispute_reference,
    )
    return Heard(bank, said.event_id, body, _encoder.encode(told).decode())


class CallbackDesk:
    """The route that banks call, over a pool of the role `banks`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._group = Group[Heard, Kept](self._keep)

    def add_route(self, app: web.Application) -> None:
        """Serve callbacks."""
        app.router.add_post(CALLBACKS_PATH, self._take)

    async def close(self) -> None:
        """Let what was submitted be kept."""
        await self._group.close()

    async def _take(self, request: web.Request) -> web.Response:
        heard = hear(request[CALLER], await request.read())
        reach("banks.callback_heard")
        try:
            kept = await self._group.submit(heard)
        except (*DATABASE_AWAY, GroupFull) as fault:
            CALLBACKS_NOT_KEPT.inc()
            _log.warning("a callback cannot be kept now", bank=heard.bank, fault=type(fault).__name__)
            return web.json_response(
                {"code": "unavailable"}, status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"retry-after": "1"}
            )
        reach("banks.callback_kept")
        CALLBACKS.labels(heard.bank, kept.outcome, kept.reason or "").inc()
        if kept.outcome == "quarantined":
            _log.error(
                "a callback is in quarantine", bank=heard.bank, event_id=heard.event_id, reason=kept.reason
            )
        return web.json_response({"outcome": kept.outcome}, status=HTTPStatus.ACCEPTED)

    async def _keep(self, batch: list[Heard]) -> Sequence[Kept]:
        rows = await self._pool.fetch(
            _TAKE,
            [heard.bank for heard in batch],
            [heard.event_id for heard in batch],
            [heard.body for heard in batch],
            [heard.mail for heard in batch],
        )
        return [Kept(row["outcome"], row["reason"]) for row in rows]


@asynccontextmanager
async def open_desk(pool: asyncpg.Pool) -> AsyncIterator[CallbackDesk]:
    """A desk; at the end everything that it took is kept."""
    desk = CallbackDesk(pool)
    try:
        yield desk
    finally:
        await desk.close()
