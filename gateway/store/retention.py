"""Forgetting idempotency keys in time: small batches, one worker of the cell at a time, none in anyone's way.

How old an answer and a tombstone become is the record's to say (`commands.answer_age_max`); this asks it
often enough that it keeps up, and never asks for more than a batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.errors import CellUnavailable
from services.node.logs import get_log

ROWS_PER_BATCH_MAX = 500  # Milliseconds of work, and of locks on rows that nobody asks for.
# Between two batches while there is work: with a worker alone 1,000 rows a second, which is what a busy
# machine accepts. And between two looks when there is none: answers are kept for a month, an hour is nothing
# to it.
PAUSE_S = 0.5
REST_S = 3600.0

_log = get_log("gateway.retention")


class Retention:
    """Asks for batches.

    Args:
        prunes: each takes how many rows a batch may have, and returns how many were changed; raises
            `CellUnavailable`.
    """

    def __init__(self, prunes: Sequence[Callable[[int], Awaitable[int]]]) -> None:
        self._prunes = prunes

    async def run(self) -> None:
        """Prune until cancelled."""
        while True:
            changed = await self.prune()
            await asyncio.sleep(PAUSE_S if changed else REST_S)

    async def prune(self) -> int:
        """Prune one batch of each; return how many rows changed."""
        changed = 0
        for prune in self._prunes:
            try:
                changed += await prune(ROWS_PER_BATCH_MAX)
            except CellUnavailable:
                _log.warning("forgetting idempotency keys waits for the record")
        return changed
