"""Operators who drain banks and resume them, and how workers hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.simulation.database import Database


class Operators:
    """What was said about each bank, in the record.

    Attributes:
        since: Banks that are drained, and since when, in virtual seconds.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.since: dict[str, float] = {}
        self.said = 0
        self._listening: list[asyncio.Future[None]] = []

    def drain(self, bank: str) -> None:
        """Keep new payments from a bank."""
        if bank not in self.since:
            self.since[bank] = self.database.loop.time()
            self._say("drain", bank)

    def resume(self, bank: str) -> None:
        """Let a bank have new payments again."""
        if self.since.pop(bank, None) is not None:
            self._say("resume", bank)

    def _say(self, what: str, bank: str) -> None:
        self.said += 1
        self.database.trace.note("operator", what, bank)
        self.wake()

    def wake(self) -> None:
        """Let those who listen ask anew: something was said, or their connections have broken."""
        listening, self._listening = self._listening, []
        for each in listening:
            if not each.done():
                each.set_result(None)

    async def until_more(self) -> None:
        """Wait until it is worth asking again."""
        arrival: asyncio.Future[None] = self.database.loop.create_future()
        self._listening.append(arrival)
        await arrival


class Ear:
    """What one worker has heard; the product asks for it each second.

    A question whose answer would be the one before is answered once there is another, or once the database
    has gone away: idle virtual days cost nothing.

    Attributes:
        drained: The banks that it was told are drained; None before it was told anything.
    """

    def __init__(self, operators: Operators) -> None:
        self.operators = operators
        self.drained: frozenset[str] | None = None
        self._heard: int | None = None

    async def controls(self) -> Mapping[str, bool]:
        """As `bank_health.Controls`.

        Raises:
            DATABASE_AWAY: One of them.
        """
        operators = self.operators
        if self._heard == operators.said and not operators.database.is_away:
            await operators.until_more()
        self._heard = None
        await operators.database.trip()
        self._heard = operators.said
        self.drained = frozenset(operators.since)
        return dict.fromkeys(sorted(self.drained), True)
