"""Wakes those who wait for something to do, so that nobody has to look every few milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from tests.simulation.loop import VirtualLoop


class Clock(Protocol):
    """What the database knows of time."""

    loop: VirtualLoop

    def now(self) -> datetime: ...


class Watch:
    """Those who wait for one kind of work; one look serves them all.

    Args:
        is_there: Whether there is some now.
        due: When there will be, if nothing happens until then.
    """

    def __init__(
        self, clock: Clock, is_there: Callable[[], bool], due: Callable[[], datetime | None]
    ) -> None:
        self.clock = clock
        self.is_there = is_there
        self.due = due
        self.waiters: list[asyncio.Future[None]] = []
        self.timer: tuple[datetime, asyncio.TimerHandle] | None = None

    def look(self) -> None:
        """Wake everyone if there is work, or set the clock for when there will be."""
        if self.is_there():
            waiters, self.waiters = self.waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        elif (when := self.due()) is not None and (self.timer is None or self.timer[0] != when):
            if self.timer is not None:
                self.timer[1].cancel()
            wait_s = (when - self.clock.now()).total_seconds()
            self.timer = (when, self.clock.loop.later(wait_s, self._ring))

    def _ring(self) -> None:
        self.timer = None
        self.look()
