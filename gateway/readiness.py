"""Whether requests should be sent here: the whole path of one is tried once a second, so that asking is free.

What a payment needs must be well: the record answers as the gateway's role, may be written, and looks keys
up; the receipt key signs what its public half verifies; our clock and the record's agree. Redis is not needed
for a right answer: without it we are degraded, and ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from gateway.errors import CellUnavailable
from gateway.store.record import ACQUIRE_S_MAX, connected
from services.node.logs import get_log
from signing import Signer, VerifyingKey

INTERVAL_S = 1.0  # Whoever asks does so every second or more; a second old is as good as now.
# Signatures are judged by our clock and deadlines by the record's: hosts under NTP agree within milliseconds,
# and a clock that is wrong by seconds refuses honest requests.
CLOCK_DIFFERENCE_S_MAX = 5.0
NEEDED = ("record", "signing_key", "clock")
OK = "ok"

# The look-up that every request begins with, of a key that nobody has; whether a payment could be written.
_LOOK = "select count(*) from registry.find_keys(array['readiness'])"
_STATE = "select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', clock_timestamp()"

_log = get_log("gateway.readiness")


class Readiness:
    """Knows how each thing was when it was last tried.

    Args:
        pool: connections of the role `gateway`.
        ping: asks Redis; what it raises means that it is away.
        key: signs receipts.
        published: the key that merchants verify receipts with.
        now_s: seconds since the epoch, UTC.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        ping: Callable[[], Awaitable[object]],
        key: Signer,
        published: VerifyingKey,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._ping = ping
        self._key = key
        self._published = published
        self._now_s = now_s
        self._found: dict[str, str] = dict.fromkeys((*NEEDED, "redis"), "not asked yet")

    @property
    def ready(self) -> bool:
        """Whether everything that a payment needs is well."""
        return all(self._found[name] == OK for name in NEEDED)

    def found(self) -> Mapping[str, str]:
        """Return what was found, by name: `ok`, or a word for what is wrong."""
        return dict(self._found)

    async def run(self) -> None:
        """Try until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(INTERVAL_S)

    async def ask(self) -> None:
        """Try everything once."""
        before = dict(self._found)
        self._found["signing_key"] = self._try_key()
        self._found["record"], difference_s = await self._try_record()
        if difference_s is not None:
            self._found["clock"] = OK if abs(difference_s) <= CLOCK_DIFFERENCE_S_MAX else "differs"
        self._found["redis"] = await self._try_redis()
        if before != self._found:
            _log.info("readiness changed", ready=self.ready, **self._found)

    def _try_key(self) -> str:
        probe = (
            b"countermark-readiness"  # Of no form that a receipt's base has: this signature proves nothing.
        )
        try:
            self._published.verify(self._key.sign(probe), probe)
        except Exception as fault:  # noqa: BLE001 - whatever it is, no receipt can be made
            _log.error("the receipt key does not sign", fault=type(fault).__qualname__)
            return "broken"
        return OK

    async def _try_record(self) -> tuple[str, float | None]:
        """Return what was found, and how far the record's clock is ahead of ours, seconds, if it told."""
        try:
            async with connected(self._pool) as connection:
                began_s = self._now_s()
                row = await connection.fetchrow(_STATE, timeout=ACQUIRE_S_MAX)
                ended_s = self._now_s()
                await connection.fetchval(_LOOK, timeout=ACQUIRE_S_MAX)
        except CellUnavailable:
            return "away", None
        except asyncpg.PostgresError as fault:
            _log.error("the record refuses the first look-up", sqlstate=fault.sqlstate)
            return "refuses", None
        assert row is not None
        read_only, told = row
        # It told the time somewhere between the question and the answer.
        difference_s = told.timestamp() - min(max(told.timestamp(), began_s), ended_s)
        return ("read-only" if read_only else OK), difference_s

    async def _try_redis(self) -> str:
        try:
            await self._ping()
        except Exception as fault:  # noqa: BLE001 - a cache that cannot be used, for whatever reason, is away
            _log.debug("redis does not answer", fault=type(fault).__qualname__)
            return "away"
        return OK
