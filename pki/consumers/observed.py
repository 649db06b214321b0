"""What a deployment's listeners serve right now, for an inventory: seen in a handshake each, in parallel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pki.consumers.access import Access
from pki.consumers.probing import look, probe_context
from pki.consumers.running_fleet import LOOKS_AT_ONCE_MAX
from pki.errors import ConsumerAway, PKIError

if TYPE_CHECKING:
    from pathlib import Path

    from pki.consumers.deployment import Deployment, Listener


def served_serials(deployment: Deployment, certs: Path) -> dict[str, str]:
    """Return the serial number (hex) that each workload presents; one that is away is left out.

    A workload with several listeners counts by the first that answers.
    """
    access = Access(certs, deployment.trust_domain, deployment.processes_file)
    wanted = [(c.name, listener) for c in deployment.consumers for listener in c.listeners]

    def see(pair: tuple[str, Listener]) -> tuple[str, str | None]:
        name, listener = pair
        try:
            context = probe_context(access.trust_of(name), None)
            return name, look(listener, access.identity(name), context, ask=False).serial
        except (ConsumerAway, PKIError):
            return name, None

    with ThreadPoolExecutor(LOOKS_AT_ONCE_MAX) as pool:
        seen = list(pool.map(see, wanted))
    found: dict[str, str] = {}
    for name, serial in seen:
        if serial is not None:
            found.setdefault(name, serial)
    return found
