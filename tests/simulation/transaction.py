"""One transaction at the simulated server, and how it ends when its client does not end it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.payments.machine.events import Snapshot
from tests.simulation.loop import Node
from tests.simulation.mailbox import Turn

if TYPE_CHECKING:
    from tests.simulation.database import Database


class Transaction:
    """One transaction of one client."""

    def __init__(self, database: Database, node: Node | None) -> None:
        self.database = database
        self.now = database.now()
        self.held: list[str] = []
        self.is_broken = False
        self.is_ended = False
        self.is_committing = False
        self.snapshot: Snapshot | None = None
        self.turn = Turn([])
        self.retried: list[str] = []  # Payments that are not set aside any more once this has committed.
        self.waits_for: asyncio.Future[None] | None = None
        database.open[self] = None
        if node is not None:
            node.at_death.append(self.abandon)

    def abandon(self) -> None:
        """The client is gone: the server notices, and rolls back what was not being committed."""
        if not self.is_committing:
            self.database.loop.later(self.database.weather.seconds(0.0, 0.01), self.end)

    def end(self) -> None:
        """Release what is held. Ending twice changes nothing."""
        if not self.is_ended:
            self.is_ended = True
            self.database.open.pop(self, None)
            self.database.release(self)
