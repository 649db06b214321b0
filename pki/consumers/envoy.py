"""Envoy: takes a generation by itself, and says on its admin socket what every TLS context holds.

Envoy watches the folder of `current`, so there is nothing to tell it. `/certs` lists the leaf and the roots
of each context, listeners and clusters alike; the dump of its secrets holds the bundle and the CRLs that were
loaded. Envoy cannot end one peer's connections: ending any means stopping that Envoy, which its supervisor
starts again at once; callers see a connection that failed, and repeat what was not sent.
Source: Envoy documentation, "Administration interface"; tried on 1.40.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pki.consumers.access import QUESTION_S_MAX, Access
from pki.consumers.processes import send_signal
from pki.errors import ConsumerAway

_SECRETS: Final = "/config_dump?resource=dynamic_active_secrets"  # Keys are redacted there.
_FAILURES: Final = "/stats?format=json&filter=key_rotation_failed"
# A sidecar with ten hops answers some 100 KiB; whatever is larger is not Envoy.
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EnvoyLoaded:
    """What one Envoy holds.

    Attributes:
        serials: hex, of the leaf of each TLS context; one, unless a generation is just being taken.
        bundles: hex serials of the roots of each context that trusts any; one set, unless as above.
        trust_sha256: hex, of the bundle loaded; empty where it trusts nobody.
        crl_sha256: hex, of the CRLs loaded; empty where there are none.
        rotations_failed: generations that were refused since it started, such as a pair that did not match.
    """

    serials: frozenset[str]
    bundles: frozenset[frozenset[str]]
    trust_sha256: str
    crl_sha256: str
    rotations_failed: int


@dataclass(frozen=True, slots=True)
class EnvoyConsumer:
    """One Envoy."""

    access: Access
    process: str
    admin_socket: Path

    def load(self) -> None:
        """Do nothing: it watches its own folder."""

    def loaded(self) -> EnvoyLoaded:
        """Ask what it holds.

        Raises:
            ConsumerAway: its admin socket does not answer, or not like Envoy's.
        """
        try:
            certs, secrets, stats = self._ask("/certs", _SECRETS, _FAILURES)
            trust, crl = _validation(secrets)
            return EnvoyLoaded(
                serials=frozenset().union(*_chains(certs, "cert_chain")),
                bundles=_chains(certs, "ca_cert"),
                trust_sha256=_sha256(trust),
                crl_sha256=_sha256(crl),
                rotations_failed=sum(entry["value"] for entry in stats["stats"]),
            )
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ConsumerAway(
                f"its admin socket {self.admin_socket} does not answer as Envoy's does "
                f"({getattr(fault, 'strerror', None) or type(fault).__name__})"
            ) from fault

    def loaded_serial(self) -> str:
        """Return the hex serial of its leaf.

        Raises:
            ConsumerAway: see `loaded`; or its contexts hold different leaves at this moment.
        """
        serials = self.loaded().serials
        if len(serials) != 1:
            raise ConsumerAway(f"its TLS contexts hold {len(serials)} different leaves")
        return next(iter(serials))

    def disconnect(self) -> None:
        """Stop it, which ends all of its connections; its supervisor starts it again.

        Raises:
            ConsumerAway: there is no such process of ours.
        """
        send_signal(self.access.processes_file, self.process, signal.SIGTERM)

    def _ask(self, *paths: str) -> list[Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plain:
            plain.settimeout(QUESTION_S_MAX)
            plain.connect(str(self.admin_socket))
            connection = http.client.HTTPConnection("envoy")
            connection.sock = plain
            answers = []
            for path in paths:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read(ANSWER_BYTES_MAX)
                if response.status != http.HTTPStatus.OK:
                    raise http.client.HTTPException(f"status {response.status}")
                answers.append(json.loads(body))
            return answers


def _chains(certs: dict[str, Any], field: str) -> frozenset[frozenset[str]]:
    """Return the serials of each TLS context that has any in this field."""
    chains = [context.get(field, []) for context in certs["certificates"]]
    return frozenset(
        frozenset(f"{int(entry['serial_number'], 16):x}" for entry in chain) for chain in chains if chain
    )


def _validation(secrets: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the bundle and the CRLs that this Envoy checks peers with, as it read them."""
    for entry in secrets.get("configs", []):
        if found := entry["secret"].get("validation_context"):
            return _content(found.get("trusted_ca")), _content(found.get("crl"))
    return b"", b""


def _content(source: dict[str, str] | None) -> bytes:
    return base64.b64decode(source["inline_bytes"], validate=True) if source else b""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if content else ""
