"""Python processes: watch `current` by themselves, and report what their listener and clients use.

The report is asked for over mutual TLS with the rotation's own leaf, at the sidecar or at the process itself.
It is the only witness of the client side: which certificate, bundle and CRLs new connections are opened with,
and with which ones the open connections were. Whatever is not of the agreed form counts as no report.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pki.consumers.access import QUESTION_S_MAX, Access
from pki.errors import ConsumerAway

if TYPE_CHECKING:
    from pki.consumers.deployment import Report

# A process with a thousand peers reports some 200 KiB.
REPORT_BYTES_MAX: Final = 4 * 1024 * 1024
CONNECTIONS_PATH: Final = "/connections"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one listener or client of a process opens new connections with.

    Attributes:
        name: `server`, or the client's name in the process.
        serial: hex, of the leaf presented.
        trust_sha256: hex, of the bundle.
        crl_sha256: hex, of the CRLs; empty where it has none to check.
    """

    name: str
    serial: str
    trust_sha256: str
    crl_sha256: str


@dataclass(frozen=True, slots=True)
class OpenPeer:
    """Connections that are open, by the certificate that opened them.

    Attributes:
        name: `server` for the peers of the listener, or the client's name for its own connections.
        serial: hex, of the peer's leaf at the listener; of the own leaf at a client.
        issuer_key_id: hex; empty where only the serial is known.
        open: how many, at least 1.
    """

    name: str
    serial: str
    issuer_key_id: str
    open: int


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What one process says of itself."""

    name: str
    loaded: tuple[Loaded, ...]
    open: tuple[OpenPeer, ...]


@dataclass(frozen=True, slots=True)
class PythonConsumer:
    """One Python process."""

    access: Access
    name: str
    report: Report

    def load(self) -> None:
        """Do nothing: it watches its own folder."""

    def loaded(self) -> ProcessReport:
        """Ask what it uses.

        Raises:
            ConsumerAway: it does not answer, or not with a report of its own.
        """
        body = self._ask("GET", self.report.path)
        try:
            found = parse_report(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ConsumerAway(f"its report is not of the agreed form ({type(fault).__name__})") from fault
        if found.name != self.name:
            raise ConsumerAway(f"the report is that of {found.name[:64]!r}")
        return found

    def loaded_serial(self) -> str:
        """Return the hex serial of the leaf that its listener presents, as it says itself.

        Raises:
            ConsumerAway: see `loaded`.
        """
        return self.loaded().loaded[0].serial

    def disconnect(self, *, serial: str = "", issuer_key_id: str = "") -> None:
        """End connections at its listener that were opened with this leaf, or below this CA.

        Args:
            serial: hex; or else
            issuer_key_id: hex.

        Raises:
            ConsumerAway: it does not answer, or refuses.
        """
        chosen = f"serial={serial}" if serial else f"issuer_key_id={issuer_key_id}"
        self._ask("DELETE", f"{CONNECTIONS_PATH}?{chosen}")

    def _ask(self, method: str, target: str) -> bytes:
        connection = http.client.HTTPSConnection(
            self.report.host,
            self.report.port,
            timeout=QUESTION_S_MAX,
            context=self.access.context_to(self.report.expect),
        )
        try:
            connection.request(method, target)
            response = connection.getresponse()
            body = response.read(REPORT_BYTES_MAX)
        except (OSError, http.client.HTTPException) as fault:
            reason = getattr(fault, "strerror", None) or type(fault).__name__
            raise ConsumerAway(f"{method} {target} was not answered ({reason})") from fault
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ConsumerAway(f"{method} {target} was answered with status {response.status}")
        return body


def parse_report(document: dict[str, Any]) -> ProcessReport:
    """Read a report (pure).

    Raises:
        KeyError: or ValueError, TypeError, AttributeError: it is not of the agreed form.
    """
    server, clients = document["server"], document["clients"]
    loaded = [_loaded("server", server), *(_loaded(str(client["name"]), client) for client in clients)]
    peers = [
        OpenPeer("server", _hex(peer["serial"]), _hex(peer["issuer_key_id"]), int(peer["open"]))
        for peer in server["peers"]
    ]
    own = [
        OpenPeer(str(client["name"]), _hex(serial), "", int(count))
        for client in clients
        for serial, count in client["serials_open"].items()
    ]
    return ProcessReport(str(document["name"]), tuple(loaded), tuple(p for p in [*peers, *own] if p.open > 0))


def _loaded(name: str, table: dict[str, Any]) -> Loaded:
    crl = table["crl_sha256"]
    return Loaded(name, _hex(table["serial"]), _hex(table["trust_sha256"]), _hex(crl) if crl else "")


def _hex(text: str) -> str:
    int(text, 16)
    return text
