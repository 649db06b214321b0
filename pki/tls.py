"""TLS contexts for one hop, both sides: TLS 1.3, a certificate from both, and the peer's identity checked.

The identity is checked inside the handshake (a subclass of `ssl.SSLObject`), so a peer with a valid chain
and the wrong name never reaches a handler, whatever server runs on top. A context belongs to one generation
for ever: after a rotation build a new one and publish it. Mutating a live context, or swapping through
`sni_callback`, keeps parts of the old trust alive. Source: RFC 8446; SPIFFE X509-SVID §5; DECISIONS.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pki.errors import GenerationError, IdentityError, SecretExposed
from pki.identity import WorkloadIdentity

if TYPE_CHECKING:
    import asyncio

# Anything a stranger could do with the key file: read, write or replace it.
_MODE_OTHERS = 0o007


def _only_uri(connection: object) -> str:
    """Return the one URI name of the peer's verified certificate.

    Raises:
        IdentityError: no certificate, no URI name, or several.
    """
    certificate = connection.getpeercert()  # type: ignore[attr-defined]  # SSLObject or SSLSocket: no shared type
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    if len(uris) != 1:
        raise IdentityError(f"the peer's certificate has {len(uris)} URI names; exactly one is required")
    return str(uris[0])


def _verify_peer(connection: object, admitted: frozenset[str]) -> None:
    """Check the identity that the finished handshake proved.

    Raises:
        ssl.SSLCertVerificationError: the type that asyncio, uvloop and blocking sockets close for.
    """
    try:
        found = _only_uri(connection)
    except IdentityError as fault:
        raise ssl.SSLCertVerificationError(1, str(fault)) from fault
    if found not in admitted:
        raise ssl.SSLCertVerificationError(1, f"peer {found[:256]!r} is not admitted on this hop")


def _checked_object(admit: frozenset[str]) -> type[ssl.SSLObject]:
    class PeerCheckedObject(ssl.SSLObject):
        admitted: ClassVar[frozenset[str]] = admit

        def do_handshake(self) -> None:
            super().do_handshake()
            _verify_peer(self, self.admitted)

    return PeerCheckedObject


def _checked_socket(admit: frozenset[str]) -> type[ssl.SSLSocket]:
    # Blocking callers get the same check: no context is strict under asyncio and lax elsewhere.
    class PeerCheckedSocket(ssl.SSLSocket):
        admitted: ClassVar[frozenset[str]] = admit

        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _verify_peer(self, self.admitted)

    return PeerCheckedSocket


def _context(generation: Path, protocol: int, peers: frozenset[str]) -> ssl.SSLContext:
    if not peers:
        raise IdentityError("a hop must name at least one peer: an empty list would admit nobody, silently")
    for peer in peers:
        WorkloadIdentity.parse(peer)

    # Resolved once: certificate, key and trust come from one generation even if `current` moves meanwhile.
    folder = Path(generation).resolve()
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the SPIFFE id is the name here; DNS names route, they do not prove
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.sslobject_class = _checked_object(peers)
    context.sslsocket_class = _checked_socket(peers)
    try:
        if (folder / "key.pem").stat().st_mode & _MODE_OTHERS:
            raise SecretExposed(
                f"{folder}/key.pem is open to every account: issue this workload again, its key may be known"
            )
        context.load_verify_locations(folder / "trust.pem")
        # Every CA of a chain must have a list in force: a peer whose revocation cannot be judged is refused.
        context.load_verify_locations(folder / "crl.pem")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    except OSError as fault:  # ssl.SSLError is one: a pair that does not match ends here too
        raise GenerationError(
            f"{folder} is not a usable generation ({fault.strerror or fault}): run `python -m pki status`"
        ) from fault
    return context


def server_context(generation: Path, *, admit: frozenset[str]) -> ssl.SSLContext:
    """Build the accepting side of a hop.

    Args:
        generation: `<certs>/live/<name>/current`, or a generation itself.
        admit: the SPIFFE ids that may connect; a peer must have exactly one URI name, and it must be in here.

    Returns:
        A context for asyncio, uvloop or blocking sockets; TLS 1.3 only, no session tickets.

    Raises:
        IdentityError: nobody is admitted, or an id is malformed.
        GenerationError: files are missing, unreadable, or certificate and key do not match.
        SecretExposed: the key file is open to every account.
    """
    context = _context(generation, ssl.PROTOCOL_TLS_SERVER, admit)
    context.num_tickets = 0  # a ticket outlives the trust that it was issued under
    return context


def client_context(generation: Path, *, expect: frozenset[str]) -> ssl.SSLContext:
    """Build the connecting side of a hop.

    With TLS 1.3 the client's handshake ends before the server has judged the client: a refusal shows as an
    end of stream or a reset on the first read, not as a TLS error here.

    Args:
        generation: `<certs>/live/<name>/current`, or a generation itself.
        expect: the SPIFFE ids, one of which the server must prove.

    Raises:
        IdentityError: nobody is expected, or an id is malformed.
        GenerationError: files are missing, unreadable, or certificate and key do not match.
        SecretExposed: the key file is open to every account.
    """
    return _context(generation, ssl.PROTOCOL_TLS_CLIENT, expect)


def peer_spiffe_id(connection: asyncio.BaseTransport | ssl.SSLObject | ssl.SSLSocket) -> str:
    """Return the SPIFFE id that the peer proved on this connection.

    Raises:
        IdentityError: not a TLS connection, or the peer has not exactly one SPIFFE id of our form.
    """
    if not isinstance(connection, (ssl.SSLObject, ssl.SSLSocket)):
        connection = connection.get_extra_info("ssl_object")
        if connection is None:
            raise IdentityError("this connection is not TLS, so its peer has proved nothing")
    return str(WorkloadIdentity.parse(_only_uri(connection)))
