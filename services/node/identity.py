"""What this process proves itself with: the generation in force, and everybody who must hear of the next one.

`current` is looked at four times a second. It is resolved once per load, so that certificate, key, trust and
CRLs are of one generation; a generation that is broken changes nothing and is tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from pki.errors import GenerationError, PKIError
from pki.identity import spiffe_id
from pki.tls import server_context
from services.node.client_connections import ClientConnections
from services.node.config_file import NodeConfig
from services.node.logs import get_log

LOOK_S = 0.25  # A rotation waits for this at each stage; one link is read, so looking costs microseconds.

_log = get_log("node.identity")


@dataclass(frozen=True, slots=True)
class LoadedGeneration:
    """One generation that was found whole.

    Attributes:
        folder: `.../live/<name>/gen-NNNN`, resolved: contexts are built from it, never through the link.
        serial: Of the leaf; lower-case hex without leading zeros.
        trust_sha256: Hex digest of trust.pem.
        crl_sha256: Hex digest of crl.pem; empty where there is none.
    """

    folder: Path
    serial: str
    trust_sha256: str
    crl_sha256: str


Subscriber = Callable[[LoadedGeneration], Awaitable[None]]


def load_generation(path: Path, own: str) -> LoadedGeneration:
    """Read the generation that `path` leads to, and try it.

    Args:
        path: `live/<name>/current`, or a generation itself.
        own: Our SPIFFE id.

    Raises:
        GenerationError: Files are missing or unreadable, or certificate and key do not match.
        SecretExposed: The key file is open to every account.
    """
    folder = path.resolve()
    try:
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        trust = (folder / "trust.pem").read_bytes()
        crl_file = folder / "crl.pem"
        crl = crl_file.read_bytes() if crl_file.exists() else None
    except (OSError, ValueError) as fault:
        raise GenerationError(f"{folder} cannot be read ({fault}): run `python -m pki status`") from fault
    server_context(folder, admit=frozenset({own}))  # Thrown away: it proves that the files belong together.
    return LoadedGeneration(
        folder,
        f"{certificate.serial_number:x}",
        hashlib.sha256(trust).hexdigest(),
        "" if crl is None else hashlib.sha256(crl).hexdigest(),
    )


class IdentityInForce:
    """Watches one `current` for as long as anybody wants to hear of it.

    Args:
        path: `live/<name>/current`.
        own: Our SPIFFE id.

    Attributes:
        generation: The newest one that was found whole; new connections are opened with it.
        clients: Whoever opens connections with this identity, for the report.
    """

    def __init__(self, path: Path, own: str) -> None:
        self._path = path
        self._own = own
        self.generation = load_generation(path, own)
        self.clients: list[ClientConnections] = []
        self._told: dict[Subscriber, LoadedGeneration] = {}
        self._watch: asyncio.Task[None] | None = None
        self._complaints: set[str] = set()

    def subscribe(self, subscriber: Subscriber) -> LoadedGeneration:
        """Return the generation in force, and call `subscriber` with each one after it.

        Raises:
            PKIError: The generation in force cannot be used, and nobody has used it before.
        """
        if self._watch is None:
            if self._has_moved():
                self.generation = load_generation(self._path, self._own)
            self._watch = asyncio.get_running_loop().create_task(self._keep_looking())
        self._told[subscriber] = self.generation
        return self.generation

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Say that the subscriber has gone; the last one ends the watch."""
        self._told.pop(subscriber, None)
        if not self._told and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def look(self) -> None:
        """Look once: load what is new, then tell each subscriber that has not taken it yet."""
        if self._has_moved():
            try:
                self.generation = load_generation(self._path, self._own)
            except PKIError as fault:
                self._complain("a generation cannot be used, the old one stays in force", fault)
            else:
                self._complaints.clear()
                _log.info("a new generation is in force", generation=self.generation.folder.name)
        for subscriber, told in list(self._told.items()):
            if told is not self.generation:
                await self._tell(subscriber, self.generation)

    async def _tell(self, subscriber: Subscriber, generation: LoadedGeneration) -> None:
        try:
            await subscriber(generation)
        except Exception as fault:  # noqa: BLE001 - one that fails must not keep the others on old certificates.
            self._complain("a generation was not taken, it is offered again", fault)
            return
        if subscriber in self._told:
            self._told[subscriber] = generation

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    def _has_moved(self) -> bool:
        return self._path.resolve() != self.generation.folder

    def _complain(self, event: str, fault: Exception) -> None:
        """Log each complaint once: it comes back with every look until somebody has acted."""
        complaint = f"{self._path.resolve().name}: {fault}"
        if complaint not in self._complaints:
            self._complaints.add(complaint)
            _log.error(event, fault=type(fault).__name__, reason=str(fault)[:300])


_in_force: dict[str, IdentityInForce] = {}


def identity_in_force(config: NodeConfig) -> IdentityInForce:
    """Return this process's one instance for this identity.

    Raises:
        PKIError: There is no usable generation.
    """
    found = _in_force.get(config.identity)
    if found is None:
        own = spiffe_id(config.name, config.trust_domain)
        found = _in_force[config.identity] = IdentityInForce(Path(config.identity), own)
    return found
