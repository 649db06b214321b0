"""Hearing of revocations: a connection of its own on which PostgreSQL tells each one when it is committed.

While it is heard, nothing that was revoked is remembered as good. That it is heard is proved twice a second
by an answer on the same connection, which comes after whatever was told before it; a connection that has
ended, or is silent, proves nothing, and whoever remembers keys trusts them for a second only. Connections
age: the next one listens before the last one is given back, and the last one has to answer once more then, so
that nothing is missed in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import asyncpg

from gateway.store.record import ACQUIRE_S_MAX, is_away
from services.node.ageing import CLOSING_BEGINS_SHARE
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY

CHANNEL = "registry_key_revoked"  # As in gateway/schema/0006_keys_of_merchants.sql.
CONNECTIONS_MAX = 2  # The one that listens, and the next one.
PROOF_EVERY_S = 0.4
# How long one proof holds, from when it was asked for. With it a revocation that is not heard of counts
# within a second all the same: what is remembered is then no older than this.
PROOF_S_MAX = 0.9
# A connection is given back in the first half of the time that it may be used for, so that it is never cut.
HELD_SHARE = CLOSING_BEGINS_SHARE / 2
# And no longer than this, so that one of an older certificate generation is soon given back, and ended.
HELD_S_MAX = 2.0
RETRY_S = 0.5

_log = get_log("gateway.revocations")


class Listener(Protocol):
    """Who remembers keys."""

    def forget(self, key_id: str) -> None:
        """This key was revoked."""

    def hear_from_now(self) -> None:
        """From now on every revocation is told; what was remembered before may have been missed."""

    def hear_until(self, moment: float) -> None:
        """Up to this moment of the monotonic clock every revocation has been told, or will be in time."""


class Revocations:
    """Listens for as long as it runs.

    Args:
        pool: for this alone, of `CONNECTIONS_MAX` connections.
        listener: is told.
        connection_age_s_max: how old a connection may become.
        clock: monotonic seconds, the listener's.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        listener: Listener,
        connection_age_s_max: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._listener = listener
        self._held_s = min(connection_age_s_max * HELD_SHARE, HELD_S_MAX)
        self._clock = clock

    async def run(self) -> None:
        """Listen until cancelled, on one connection after the other."""
        current: asyncpg.pool.PoolConnectionProxy | None = None
        try:
            while True:
                try:
                    current = await self._follow(current)
                except Exception as fault:
                    if not is_away(fault):
                        raise
                    current = None
                    _log.warning("revocations are not heard: keys are looked up every second")
                    await asyncio.sleep(RETRY_S)
        finally:
            if current is not None:
                await self._give_back(current)

    async def _follow(
        self, last: asyncpg.pool.PoolConnectionProxy | None
    ) -> asyncpg.pool.PoolConnectionProxy:
        """Listen on a connection for its time, give back the last one, and return this one."""
        fresh = None
        try:
            fresh = await self._pool.acquire(timeout=ACQUIRE_S_MAX)
            await fresh.add_listener(CHANNEL, self._heard)
            if last is None:
                self._listener.hear_from_now()
            else:
                # Told until here, on the one or on the other: that it still answers is the proof.
                await self._prove(last)
        except BaseException:
            # Neither of the two proves anything from here on; the next one begins anew.
            for each in (last, fresh):
                if each is not None:
                    await self._give_back(each)
            raise
        if last is not None:
            await self._give_back(last)
        try:
            until = self._clock() + self._held_s
            while self._clock() < until:
                await self._prove(fresh)
                await asyncio.sleep(PROOF_EVERY_S)
        except BaseException:
            await self._give_back(fresh)
            raise
        return fresh

    async def _prove(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        asked = self._clock()
        await connection.execute("select 1", timeout=PROOF_S_MAX)
        self._listener.hear_until(asked + PROOF_S_MAX)

    async def _give_back(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        with suppress(*DATABASE_AWAY):
            await connection.remove_listener(CHANNEL, self._heard)
        with suppress(*DATABASE_AWAY):
            await self._pool.release(connection, timeout=ACQUIRE_S_MAX)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._listener.forget(str(payload))
