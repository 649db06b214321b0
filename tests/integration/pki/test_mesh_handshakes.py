"""Who gets through a hop's handshake: real sockets, both event loops, and the handler's own account.

A TLS 1.3 client's handshake ends before the server has judged it, so the criterion is what the handler saw
and what came back. Every refusal stands between two good connections to the same listener.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID

from pki.authority import IssuingAuthority
from pki.identity import WorkloadIdentity, spiffe_id
from pki.profiles import LEAF, extensions
from pki.tls import client_context, server_context

DOMAIN = "countermark.internal"
GATEWAY, EDGE, PAYMENTS = (spiffe_id(name, DOMAIN) for name in ("gateway", "edge", "payments"))
OTHER_EDGE = spiffe_id("edge", "other.internal")
REFUSALS = (ssl.SSLError, ConnectionError)

Run = Callable[[Coroutine[Any, Any, None]], None]


@dataclass(frozen=True)
class Mesh:
    """Our authority, made ten days ago so that one of its leaves is expired, and two foreign ones."""

    authority: IssuingAuthority
    certs: Path
    twin: Path
    other: Path

    def live(self, name: str) -> Path:
        return self.certs / "live" / name / "current"

    def server(self, *admitted: str) -> ssl.SSLContext:
        return server_context(self.live("gateway"), admit=frozenset(admitted or (EDGE,)))

    def client(self, name: str, *expected: str) -> ssl.SSLContext:
        return client_context(self.live(name), expect=frozenset(expected or (GATEWAY,)))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, make_authority: Callable[..., IssuingAuthority]) -> Mesh:
    folder = tmp_path_factory.mktemp("mesh")
    ours, twin, other = folder / "ours", folder / "twin", folder / "other"
    authority = make_authority(
        ours, "gateway", "payments", "edge", age=timedelta(days=10), expired=("reporting",)
    )
    make_authority(twin, "edge", "gateway", age=timedelta(days=1))
    make_authority(other, "edge", "gateway", trust_domain="other.internal")
    return Mesh(authority, ours, twin, other)


def lenient(trust: Path, own: Path | None) -> ssl.SSLContext:
    """Return a client that checks the chain and nothing else, as an attacker or a careless tool would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trust / "trust.pem")
    if own is not None:
        context.load_cert_chain(own / "cert.pem", own / "key.pem")
    return context


def forged(mesh: Mesh, folder: Path, names: list[x509.GeneralName]) -> ssl.SSLContext:
    """Return a client whose leaf our own intermediate signed off the record, without the lint."""
    issuer, issuer_key = mesh.authority._opened.certificate, mesh.authority._opened.key
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer.subject,
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")]),
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(minutes=1),
        now + timedelta(days=1),
    )
    for extension, critical in extensions(
        LEAF,
        trust_domain=DOMAIN,
        identity=WorkloadIdentity(DOMAIN, "edge"),
        public_key=key.public_key(),
        issuer_key_id=x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key()).digest,
    ):
        chosen = (
            x509.SubjectAlternativeName(names)
            if extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME
            else extension
        )
        builder = builder.add_extension(chosen, critical=critical)
    leaf = builder.sign(issuer_key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(leaf.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return lenient(mesh.live("edge"), folder)


def test_both_sides_prove_who_they_are_and_talk(mesh: Mesh, run: Run, listen: Any, ask: Any) -> None:
    async def scene() -> None:
        async with listen(mesh.server()) as listener:
            assert await ask(listener, mesh.client("edge")) == b"hello"
        assert listener.seen == [(EDGE, b"hello")]

    run(scene())


def strangers(mesh: Mesh, folder: Path) -> dict[str, ssl.SSLContext]:
    """Return a client for each way of not being admitted."""
    trust = mesh.live("edge")
    foreign = lenient(trust, None)
    trustme.CA().issue_cert("edge.countermark.internal").configure_cert(foreign)
    old = lenient(trust, trust)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    dns = x509.DNSName(f"edge.{DOMAIN}")
    folders = {name: folder / name for name in ("two", "none", "outside")}
    for path in folders.values():
        path.mkdir()
    uri = x509.UniformResourceIdentifier
    return {
        "no certificate": lenient(trust, None),
        "a public-style CA": foreign,
        "our names from another CA": lenient(trust, mesh.twin / "live/edge/current"),
        "another trust domain": lenient(trust, mesh.other / "live/edge/current"),
        "a valid chain, another workload": mesh.client("payments"),
        "an expired leaf": mesh.client("reporting"),
        "TLS 1.2": old,
        "two URI names": forged(mesh, folders["two"], [uri(EDGE), uri(PAYMENTS), dns]),
        "no URI name": forged(mesh, folders["none"], [dns]),
        "a name outside the constraints": forged(mesh, folders["outside"], [uri(OTHER_EDGE), dns]),
    }


@pytest.mark.parametrize(
    "who",
    [
        "no certificate",
        "a public-style CA",
        "our names from another CA",
        "another trust domain",
        "a valid chain, another workload",
        "an expired leaf",
        "TLS 1.2",
        "two URI names",
        "no URI name",
        "a name outside the constraints",
    ],
)
def test_a_peer_that_is_not_admitted_never_reaches_the_handler(
    mesh: Mesh, tmp_path: Path, who: str, run: Run, listen: Any, ask: Any
) -> None:
    stranger = strangers(mesh, tmp_path)[who]
    # The other domain's id is admitted: only the name constraints stand before the forged leaf.
    admitted = (EDGE, OTHER_EDGE, spiffe_id("reporting", DOMAIN))

    async def scene() -> None:
        async with listen(mesh.server(*admitted)) as listener:
            assert await ask(listener, mesh.client("edge")) == b"hello"
            try:
                answer = await ask(listener, stranger)
            except REFUSALS:
                answer = b""
            assert answer == b""
            assert await ask(listener, mesh.client("edge")) == b"hello"
        assert listener.seen == [(EDGE, b"hello")] * 2

    run(scene())


def test_a_foreign_root_in_the_bundle_does_not_admit_its_names(
    mesh: Mesh, tmp_path: Path, run: Run, listen: Any, ask: Any
) -> None:
    # The chain of the other trust domain verifies here, so the identity check alone decides.
    for name in ("cert.pem", "key.pem", "trust.pem", "crl.pem"):
        (tmp_path / name).write_bytes((mesh.live("gateway") / name).read_bytes())
        (tmp_path / name).chmod(0o600)
    for name in ("trust.pem", "crl.pem"):
        with (tmp_path / name).open("ab") as bundle:
            bundle.write((mesh.other / "live/edge/current" / name).read_bytes())
    stranger = lenient(mesh.live("edge"), mesh.other / "live/edge/current")

    async def scene() -> None:
        async with listen(server_context(tmp_path, admit=frozenset({EDGE, OTHER_EDGE}))) as listener:
            assert await ask(listener, stranger) == b"hello"
        async with listen(server_context(tmp_path, admit=frozenset({EDGE}))) as strict:
            try:
                answer = await ask(strict, stranger)
            except REFUSALS:
                answer = b""
            assert answer == b""
            assert await ask(strict, mesh.client("edge")) == b"hello"
        assert strict.seen == [(EDGE, b"hello")]

    run(scene())


def test_a_client_refuses_a_server_of_another_name(mesh: Mesh, run: Run, listen: Any, ask: Any) -> None:
    async def scene() -> None:
        async with listen(mesh.server()) as listener:
            with pytest.raises(ssl.SSLCertVerificationError, match="not admitted"):
                await ask(listener, mesh.client("edge", PAYMENTS))
            assert await ask(listener, mesh.client("edge")) == b"hello"
        assert listener.seen == [(EDGE, b"hello")]

    run(scene())


def test_a_client_refuses_our_names_from_another_ca(mesh: Mesh, run: Run, listen: Any, ask: Any) -> None:
    impostor = server_context(mesh.twin / "live/gateway/current", admit=frozenset({EDGE}))

    async def scene() -> None:
        async with listen(impostor) as listener:
            with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
                await ask(listener, mesh.client("edge"))
        assert listener.seen == []

    run(scene())


def test_a_client_refuses_a_server_that_speaks_tls_1_2(mesh: Mesh, run: Run, listen: Any, ask: Any) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(mesh.live("gateway") / "cert.pem", mesh.live("gateway") / "key.pem")

    async def scene() -> None:
        async with listen(old) as listener:
            with pytest.raises(REFUSALS):
                await ask(listener, mesh.client("edge"))
        assert listener.seen == []

    run(scene())


def test_a_new_context_serves_the_new_generation_and_an_old_one_stays_whole(
    tmp_path: Path, make_authority: Callable[..., IssuingAuthority], run: Run, listen: Any, ask: Any
) -> None:
    certs = tmp_path / "certs"
    authority = make_authority(certs, "gateway", "edge")
    live = certs / "live/gateway/current"
    before = server_context(live, admit=frozenset({EDGE}))
    client = client_context(certs / "live/edge/current", expect=frozenset({GATEWAY}))
    [leaf] = authority.issue(["gateway"], owners={}, now=datetime.now(UTC))
    after = server_context(live, admit=frozenset({EDGE}))

    async def serial(context: ssl.SSLContext) -> str:
        seen: list[str] = []

        class Watching(client.sslobject_class):  # type: ignore[name-defined,misc]  # a class made per context
            def do_handshake(self) -> None:
                super().do_handshake()
                seen.append(self.getpeercert()["serialNumber"].lower())

        watching = client_context(certs / "live/edge/current", expect=frozenset({GATEWAY}))
        watching.sslobject_class = Watching
        async with listen(context) as listener:
            assert await ask(listener, watching) == b"hello"
        return seen[0]

    async def scene() -> None:
        assert leaf.serial == await serial(after)
        assert leaf.serial != await serial(before)

    run(scene())


def test_the_server_gives_no_session_ticket(mesh: Mesh, run: Run, listen: Any) -> None:
    async def scene() -> None:
        async with listen(mesh.server()) as listener:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", listener.port, ssl=mesh.client("edge")
            )
            writer.write(b"hello")
            assert await reader.read(100) == b"hello"
            session = writer.get_extra_info("ssl_object").session
            writer.transport.abort()

        assert not session.has_ticket

    run(scene())
