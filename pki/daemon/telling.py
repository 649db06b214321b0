"""What is told to people beyond the log of single steps: events of new ledger lines, rotations under way."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pki.daemon.ledger_events import events_after
from pki.daemon.metrics import stage_since
from pki.errors import LedgerError
from pki.ledger import VerifiedLedger, split_lines, verify_ledger

if TYPE_CHECKING:
    from datetime import datetime

    from pki.certificate_files import CertificateTree
    from pki.daemon.ledger_events import Renewal
    from pki.daemon.steps import Steps
    from pki.daemon.telemetry import EventLog
    from pki.inventory import Inventory

# An operator at work moves a rotation on within minutes; the longest wait in one is the connection age.
ROTATION_STILL: Final = timedelta(minutes=10)


class EventTeller:
    """Hands over what the ledger gains; of what was before the first pass, nothing is told."""

    def __init__(self, tree: CertificateTree, events: EventLog | None) -> None:
        self._tree = tree
        self._events = events
        self._told_seq: int | None = None
        self._read_bytes = 0

    def begin(self, inventory: Inventory) -> None:
        """Begin after the last line that there is, unless it has begun."""
        if self._told_seq is None and isinstance(inventory.ledger, VerifiedLedger):
            self._told_seq = inventory.ledger.head.seq

    def tell(self, renewal: Renewal | None = None) -> None:
        """Hand over the events of new lines; those of leaves are of this renewal, if one is given."""
        if self._events is None or self._told_seq is None:
            return
        # A ledger that does not verify is reported by the look; of it nothing is told.
        with suppress(LedgerError, OSError):
            raw = self._tree.read_ledger()
            if len(raw) == self._read_bytes:  # it only ever grows, and verifying it takes a second per 20 MB
                return
            self._read_bytes = len(raw)
            ledger = verify_ledger(split_lines(raw)[0])
            self._events.emit(events_after(ledger.entries, self._told_seq, renewal))
            self._told_seq = ledger.head.seq


def report_rotation(steps: Steps, inventory: Inventory, now: datetime) -> None:
    """Log a rotation that is under way, and again once it stands still; nothing else is done about it."""
    rotation = inventory.rotation
    place = None if rotation is None else (rotation.kind, rotation.stage)
    kind, stage = place or ("", "")
    steps.say("rotation", place, logging.INFO, "a rotation is under way", kind=kind, stage=stage)
    since = stage_since(inventory)
    stands = place is not None and since is not None and now - since > ROTATION_STILL
    sentence = "a rotation stands still; an operator must resume it or go back"
    steps.say("still", stands and place, logging.ERROR, sentence, kind=kind, stage=stage)
