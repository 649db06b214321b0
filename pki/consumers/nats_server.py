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
from pki.errors import ConsumerAway


@dataclass(frozen=True, slots=True)
class NatsConsumer:
    """One NATS server, or every node of a cluster: they have one certificate.

    Attributes:
        processes: names in the supervisor's record.
    """

    access: Access
    processes: tuple[str, ...]

    def load(self) -> None:
        """Make each read its files again.

        Raises:
            ConsumerAway: there is no such process of ours; the others were told.
        """
        self._signal(signal.SIGHUP)

    def disconnect(self) -> None:
        """Stop each, which ends all of its connections, those between nodes among them.

        Raises:
            ConsumerAway: there is no such process of ours; the others were stopped.
        """
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        away: list[ConsumerAway] = []
        for process in self.processes:
            try:
                send_signal(self.access.processes_file, process, number)
            except ConsumerAway as fault:
                away.append(fault)
        if away:
            raise ConsumerAway("; ".join(str(fault) for fault in away))
