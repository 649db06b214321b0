"""Give every record its leaf, and every half second's leaves their signed checkpoint.

Killed at any point it leaves the log as it was before the batch, or after it; the next worker goes on from
there. A record that cannot become a leaf stops the log loudly: an archive with a silent gap proves nothing.
"""

from __future__ import annotations

import asyncio

from services.evidence import counters
from services.evidence.appending import Batch
from services.evidence.store import ROWS_PER_BATCH_MAX, Store
from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from signing.evidence.checkpoint import Checkpoint, checkpoint_body
from signing.evidence.errors import EvidenceRefused
from signing.evidence.note import NoteSigner, make_note, sign_note

# A checkpoint follows within a second: half for the pause, half for a batch on a busy host.
PAUSE_S = 0.4
# While the database is away: often enough to be back well within 10 s.
AWAY_S = 0.5
STOPPED_S = 5.0  # After a record that cannot become a leaf: a person is needed, and is told each time.

_log = get_log("evidence.sequencer")


class Sequencer:
    """One writer of the log; several may run, one at a time writes.

    Args:
        store: The record.
        log_name: The log's name and origin.
        key: Ed25519, signs checkpoints.
    """

    def __init__(self, store: Store, log_name: str, key: NoteSigner) -> None:
        self._store = store
        self._log_name = log_name
        self._key = key
        self.appended = asyncio.Event()  # For whoever waits for a new checkpoint; they clear it.
        self.reached = False

    async def run(self) -> None:
        """Append until cancelled."""
        while True:
            pause_s = await self._append()
            await asyncio.sleep(pause_s)

    async def _append(self) -> float:
        """Append once; return how long to wait."""
        try:
            batch = await self._store.append_next(self._sign)
        except DATABASE_AWAY as fault:
            self.reached = False
            _log.warning("the database is away, records wait", fault=type(fault).__name__)
            return AWAY_S
        except EvidenceRefused as fault:
            self.reached = False
            counters.STOPS.inc()
            _log.error("a record cannot become a leaf, the log stands still", code=fault.code)
            return STOPPED_S
        self.reached = True
        if batch is None:
            return PAUSE_S
        reach("evidence.leaves_committed")
        counters.APPENDED.inc(len(batch.subjects))
        counters.SIZE.set(batch.size)
        self.appended.set()
        return 0.0 if len(batch.subjects) == ROWS_PER_BATCH_MAX else PAUSE_S

    def _sign(self, batch: Batch) -> bytes:
        reach("evidence.checkpoint_due")
        body = checkpoint_body(Checkpoint(self._log_name, batch.size, batch.root))
        return make_note(body, [sign_note(body, self._log_name, self._key)])
