"""The access log's pen: rows are noted on the request's path and written in batches beside it.

A request never waits for its row. What waits is bounded; what cannot be kept is counted, and the next batch
that is written says how many, in the evidence log itself. Whoever proves nothing leaves no row, however
often he asks: such answers are counted, and the next batch says how many, too. A batch of which nobody knows
whether it was committed is sent again under its own name. Only a process that is killed loses rows that
nobody counts: those of its last moments, or all that waited for a record that was away; its batches' numbers
show that none in between is missing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.audit.access import Access
from gateway.errors import CellUnavailable
from services.node.logs import get_log

# How long a row waits for company: what a killed process loses; at 1,000 requests/s 100 rows a batch.
LINGER_S = 0.1
ROWS_PER_BATCH_MAX = 512  # A statement of 33 kB, and 16 ms of the record's time; 100 rows take 3 ms.
# 300 bytes each: 20 s of 1,000 requests/s while the record is away, in 6 MB.
ROWS_WAITING_MAX = 20_000
# Counts of the unproven alone make a batch this often: a flood of them writes as much as silence.
COUNTS_EVERY_S = 60.0
# The record is asked again this often; a request that met it has its 503, and no row needs haste.
AWAY_S = 0.5
# Below what a supervisor waits after the drain; the record answers in milliseconds or is away.
CLOSE_S_MAX = 3.0

_log = get_log("gateway.accesses")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are written together.

    Attributes:
        name: `<writer>-<number>`, numbers from 1 without a gap.
        dropped: how many rows could not be kept since the batch before.
        unproven: how many answers went to nobody proven since the batch before.
        rows: in the order of their answers; none if only counts are told.
    """

    name: str
    dropped: int
    unproven: int
    rows: Sequence[Access]


class AccessLog:
    """Notes accesses, and writes them.

    Args:
        write: records one batch, or finds that it is recorded; raises `CellUnavailable`.
        writer: `acc_…`, an id of this life of this process.
        on_drop: told how many rows were just dropped, for the counter.
    """

    def __init__(
        self, write: Callable[[Batch], Awaitable[None]], writer: str, on_drop: Callable[[int], None]
    ) -> None:
        self._write = write
        self._writer = writer
        self._on_drop = on_drop
        self._waiting: deque[Access] = deque()
        self._dropped = 0
        self._unproven = 0
        self._number = 0
        self._batch: Batch | None = None
        self._noted = asyncio.Event()
        self._pen = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """How many rows are not on record yet."""
        return len(self._waiting) + (len(self._batch.rows) if self._batch is not None else 0)

    def note(self, access: Access) -> None:
        """Keep one row for the next batch, or count it where there is no room; never waits."""
        if len(self._waiting) >= ROWS_WAITING_MAX:
            self._drop(1)
            return
        self._waiting.append(access)
        self._noted.set()

    def count_unproven(self) -> None:
        """Count an answer to somebody who proved nothing; never waits, and never makes haste."""
        self._unproven += 1

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(COUNTS_EVERY_S):
                    await self._noted.wait()
                    await asyncio.sleep(LINGER_S)
            if not await self._write_all():
                await asyncio.sleep(AWAY_S)

    async def close(self) -> None:
        """Write what waits; what the record does not take in time is counted, and told to operators."""
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                while not await self._write_all():  # noqa: ASYNC110 - the record tells nobody that it is back
                    await asyncio.sleep(AWAY_S)
        except TimeoutError:
            lost = self.waiting
            self._on_drop(lost)
            _log.error("accesses could not be written before the stop", rows=lost, dropped=self._dropped)

    async def _write_all(self) -> bool:
        """Write whole batches until nothing waits; return false while the record is away."""
        async with self._pen:
            while self._waiting or self._dropped or self._unproven or self._batch is not None:
                batch = self._batch = self._batch or self._next_batch()
                try:
                    await self._write(batch)
                except CellUnavailable:
                    return False
                except Exception as fault:  # noqa: BLE001 - one batch must not end the process, nor stand in the way
                    places = getattr(fault, "sqlstate", None)
                    _log.error("accesses were refused", fault=type(fault).__qualname__, sqlstate=places)
                    self._batch = None
                    self._number -= 1
                    self._dropped += batch.dropped
                    self._unproven += batch.unproven
                    self._drop(len(batch.rows))
                    return False
                self._batch = None
            self._noted.clear()
            return True

    def _next_batch(self) -> Batch:
        rows = [self._waiting.popleft() for _ in range(min(len(self._waiting), ROWS_PER_BATCH_MAX))]
        dropped, self._dropped = self._dropped, 0
        unproven, self._unproven = self._unproven, 0
        self._number += 1
        return Batch(f"{self._writer}-{self._number}", dropped, unproven, rows)

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._on_drop(count)
        self._noted.set()
