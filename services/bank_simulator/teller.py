"""Does what the bank planned for later, and tells it to the banks service until that has taken it.

Promises: what is due is done once, in one transaction with its callback; a callback is sent again, with
growing pauses, until it is answered with 2xx; a restart goes on where it ended.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from http import HTTPStatus

from services.bank_simulator.books import Books
from services.bank_simulator.ledger import Clock, do_what_is_due
from services.banks.callback_messages import CALLBACKS_PATH
from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_client import HopClient
from services.node.logs import get_log

TELL_S_MAX = 3.0  # The banks service answers when it has stored a callback, which takes milliseconds.
_AT_ONCE_MAX = 64  # Callbacks under way at once; more wait for these.
_PAUSE_S_MIN = 0.2
_PAUSE_S_MAX = 10.0  # Within 10 s of its return the other side hears everything.
_LOOK_AGAIN_S_MAX = 60.0

_log = get_log("bank_simulator.teller")


class Teller:
    """One bank's voice.

    Args:
        hop: A started client to the banks service, or None: then nothing is told.
    """

    def __init__(self, books: Books, hop: HopClient | None, clock: Clock) -> None:
        self._books = books
        self._hop = hop
        self._clock = clock
        self._woken = asyncio.Event()
        self._awaited: dict[str, asyncio.Event] = {}

    def wake(self) -> None:
        """Something was planned, or the script has changed."""
        self._woken.set()

    async def told(self, event_id: str, wait_s_max: float) -> None:
        """Wait until this was taken, but no longer than that."""
        if self._hop is None:
            return
        taken = self._awaited.setdefault(event_id, asyncio.Event())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s_max):
                    await taken.wait()
        finally:
            self._awaited.pop(event_id, None)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._woken.clear()
            done = 0
            if self._books.later_due() <= self._clock():
                done = await self._books.write(self._do)
            if not done + await self._send():
                pause_s = min(self._next_due() - self._clock(), _LOOK_AGAIN_S_MAX)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause_s)):
                        await self._woken.wait()

    def _do(self, tables: sqlite3.Connection) -> int:
        return do_what_is_due(tables, self._books.script, self._clock(), _AT_ONCE_MAX)

    def _next_due(self) -> float:
        later = self._books.later_due()
        return later if self._voice() is None else min(later, self._books.callback_due())

    def _voice(self) -> HopClient | None:
        """A bank that is down says nothing either."""
        return None if self._books.script.down else self._hop

    async def _send(self) -> int:
        """Send what is due; return how many were sent."""
        hop = self._voice()
        if hop is None:
            return 0
        due = self._books.callbacks_due(self._clock(), _AT_ONCE_MAX)
        if not due:
            return 0
        taken = await asyncio.gather(*(self._tell(hop, body) for _, _, body, _ in due))
        now = self._clock()

        def note(tables: sqlite3.Connection) -> None:
            for (number, _, _, tries), is_taken in zip(due, taken, strict=True):
                again = now + min(_PAUSE_S_MIN * 2 ** min(tries, 16), _PAUSE_S_MAX)
                tables.execute(
                    "update callback set taken = ?, tries = tries + 1, due = ? where number = ?",
                    (is_taken, again, number),
                )

        await self._books.write(note)
        for (_, event_id, _, _), is_taken in zip(due, taken, strict=True):
            if is_taken and event_id in self._awaited:
                self._awaited[event_id].set()
        return len(due)

    async def _tell(self, hop: HopClient, body: bytes) -> bool:
        try:
            answer = await hop.call("POST", CALLBACKS_PATH, body)
        except (HopUnsent, HopUnknown) as fault:
            _log.info("a callback is not through", reason=str(fault))
            return False
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return True
        _log.warning("a callback was not taken", status=answer.status)
        return False
