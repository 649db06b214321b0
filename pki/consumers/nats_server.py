"""NATS: reloads on SIGHUP; a pair that does not match is refused and the one before it stays.

It neither checks CRLs nor ends the connections of one peer: ending any means stopping the server, which its
supervisor starts again at once. Nothing is lost, for the outbox in PostgreSQL is the truth.
Source: NATS documentation, "Signals"; tried on 2.15.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from pki.consumers.access import Access
from pki.consumers.processes import send_signal


@dataclass(frozen=True, slots=True)
class NatsConsumer:
    """One NATS server."""

    access: Access
    process: str

    def load(self) -> None:
        """Make it read its files again.

        Raises:
            ConsumerAway: there is no such process of ours.
        """
        send_signal(self.access.processes_file, self.process, signal.SIGHUP)

    def disconnect(self) -> None:
        """Stop it, which ends all of its connections.

        Raises:
            ConsumerAway: there is no such process of ours.
        """
        send_signal(self.access.processes_file, self.process, signal.SIGTERM)
