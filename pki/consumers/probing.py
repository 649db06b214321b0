"""Probes of one listener: whose certificate it serves, and whether it accepts a client's.

In TLS 1.3 the client's handshake ends before the server has judged the client, so a finished handshake proves
who the server is and nothing about the client. The client's side is judged by bytes: a request is written,
and one byte or more that comes back means accepted, an end or an alert means refused, silence is neither.
An error message is a byte, too: what is judged is the certificate, not what its holder may do.
A refusal counts only next to a good certificate that the same listener accepted (`listener_look`).
Source: RFC 8446 §4.4.2.4, §7.1; measured against every server that is deployed here.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from pki.errors import ConsumerAway, GenerationError, IdentityError, PKIError
from pki.identity import WorkloadIdentity
from pki.tls import peer_spiffe_id

if TYPE_CHECKING:
    from pki.consumers.contract import Credential
    from pki.consumers.deployment import Listener

# Handshake and answer together take 5 ms on loopback and 100 ms on a machine at its limit.
PROBE_S_MAX: Final = 2.0
# Enough to tell an HTTP status, a PostgreSQL message or a Redis error apart; the rest is not read.
ANSWER_BYTES_MAX: Final = 64
# PostgreSQL protocol 3.2, "SSLRequest" and "StartupMessage": length, then 1234.5679 and 3.0.
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
_STARTUP_VERSION: Final = 196608


class Answer(Enum):
    """What a listener made of the client's certificate."""

    NOT_ASKED = "was not asked"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENT = "neither answered nor refused in time"


@dataclass(frozen=True, slots=True)
class Sight:
    """What one connection showed.

    Attributes:
        serial: hex, of the leaf served; its chain and SPIFFE id were verified.
        answer: to the client's certificate.
        first_bytes: of the server's answer, at most `ANSWER_BYTES_MAX`; empty unless accepted.
    """

    serial: str
    answer: Answer
    first_bytes: bytes = b""


class ProbeContexts:
    """TLS contexts of one look, each built once: parsing PEM costs more than the handshake's share of it.

    Contexts never outlive the look, so nothing of an older trust bundle or certificate can stay in use.
    """

    def __init__(self) -> None:
        self._built: dict[tuple[bytes, str], ssl.SSLContext] = {}

    def context(self, trust: bytes, credential: Credential | None) -> ssl.SSLContext:
        """Return the context that trusts these roots and presents this credential.

        Safe from several threads: at worst one is built twice.

        Raises:
            GenerationError: the roots or the credential are not usable.
        """
        key = (hashlib.sha256(trust).digest(), credential.serial if credential else "")
        if key not in self._built:
            self._built[key] = probe_context(trust, credential)
        return self._built[key]


def probe_context(trust: bytes, credential: Credential | None) -> ssl.SSLContext:
    """Build a client context from memory; the key reaches OpenSSL by a file without a name.

    CRLs are left out on purpose: which certificate is served is the question here, and whether it is the
    right one is answered by its serial number.

    Args:
        trust: PEM, roots only.
        credential: what to present; None presents nothing.

    Raises:
        GenerationError: the roots or the credential are not usable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # The SPIFFE id is the name here; `_verified_serial` compares it.
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=trust.decode("ascii"))
        if credential is not None:
            _present(context, credential)
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
        raise GenerationError(
            "a probe's certificate or trust bundle cannot be used: run `python -m pki status`"
        ) from fault
    return context


def _present(context: ssl.SSLContext, credential: Credential) -> None:
    descriptors: list[int] = []
    try:
        for content in (credential.chain, credential.key):
            descriptor = os.memfd_create("probe", os.MFD_CLOEXEC)
            descriptors.append(descriptor)
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(content)
        chain, key = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
        context.load_cert_chain(chain, key)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def look(listener: Listener, server: WorkloadIdentity, context: ssl.SSLContext, *, ask: bool) -> Sight:
    """Connect once.

    Args:
        listener: where.
        server: who must answer there.
        context: from `ProbeContexts` or `probe_context`.
        ask: write a request and read, which judges the credential of the context; False only looks at the
            server's certificate.

    Raises:
        ConsumerAway: the server did not prove that it is `server`, or cannot be reached; says what was seen.
    """
    deadline = time.monotonic() + PROBE_S_MAX
    try:
        with socket.create_connection((listener.host, listener.port), timeout=PROBE_S_MAX) as plain:
            if listener.protocol == "postgres":
                _ask_postgres_for_tls(plain, deadline)
            plain.settimeout(_left(deadline))
            with context.wrap_socket(plain, server_hostname=server.dns_name) as connection:
                serial = _verified_serial(connection, server)
                if not ask:
                    return Sight(serial, Answer.NOT_ASKED)
                return _judged(connection, serial, _request(listener, server), deadline)
    except (OSError, IdentityError) as fault:
        raise ConsumerAway(_reason(fault)) from fault


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline of the probe is over")
    return left


def _ask_postgres_for_tls(plain: socket.socket, deadline: float) -> None:
    plain.sendall(_SSL_REQUEST)
    plain.settimeout(_left(deadline))
    # Exactly one byte: what a stranger slipped in behind it must not be taken for part of the handshake.
    if plain.recv(1) != b"S":
        raise ConnectionError("it does not offer TLS")


def _verified_serial(connection: ssl.SSLSocket, server: WorkloadIdentity) -> str:
    """Return the hex serial of a server whose chain OpenSSL verified, if it is who it must be."""
    if (found := peer_spiffe_id(connection)) != str(server):
        raise IdentityError(f"it proved to be {found}, which is somebody else")
    certificate = connection.getpeercert()
    assert certificate is not None  # verify_mode is CERT_REQUIRED
    return f"{int(str(certificate['serialNumber']), 16):x}"


def _judged(connection: ssl.SSLSocket, serial: str, request: bytes, deadline: float) -> Sight:
    try:
        connection.settimeout(_left(deadline))
        if request:
            connection.sendall(request)
        connection.settimeout(_left(deadline))
        answer = connection.recv(ANSWER_BYTES_MAX)
    except TimeoutError:
        return Sight(serial, Answer.SILENT)
    except OSError:  # An alert, a reset, an end in the middle: not one byte of the application's came.
        return Sight(serial, Answer.REFUSED)
    return Sight(serial, Answer.ACCEPTED, answer) if answer else Sight(serial, Answer.REFUSED)


def _request(listener: Listener, server: WorkloadIdentity) -> bytes:
    """Return the shortest thing that an accepted client of this protocol gets an answer to."""
    match listener.protocol:
        case "http" | "https":
            return f"GET /healthz HTTP/1.1\r\nhost: {server.dns_name}\r\nconnection: close\r\n\r\n".encode()
        case "postgres":
            fields = f"user\0{listener.admits}\0database\0{listener.admits}\0\0".encode()
            return struct.pack("!ii", 8 + len(fields), _STARTUP_VERSION) + fields
        case "redis":
            return b"PING\r\n"
        case _:
            return b""  # NATS speaks first: its INFO comes once the handshake has accepted the client.


def _reason(fault: OSError | PKIError) -> str:
    match fault:
        case ssl.SSLCertVerificationError():
            return f"its certificate does not verify ({fault.verify_message})"
        case ssl.SSLError():
            return f"its handshake failed ({fault.reason or 'it ended the connection'})"
        case TimeoutError():
            return f"it did not answer within {PROBE_S_MAX:g} s"
        case IdentityError():
            return str(fault)
        case _:
            return f"it cannot be reached ({getattr(fault, 'strerror', None) or fault})"
