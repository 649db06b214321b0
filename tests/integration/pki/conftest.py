"""Authorities on disk for the tests of this folder, and a listener that tells what its handler saw."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pki.authority import IssuingAuthority, initialise, renew_lists
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.issuing import refresh_bundles
from pki.seal import ScryptCost
from pki.tls import peer_spiffe_id

DOMAIN = "countermark.internal"
PASSPHRASE = b"a passphrase of the tests"
# The least that is accepted: the tests seal dozens of keys, and none of them protects anything.
CHEAP = ScryptCost(n=2**14)
KEEPER = PassphraseKeeper(PASSPHRASE, CHEAP)


@dataclass(frozen=True)
class Listener:
    """A server on a port of its own; `seen` holds (peer, bytes) of each connection that got through."""

    port: int
    seen: list[tuple[str, bytes]] = field(default_factory=list)


Listen = Callable[[ssl.SSLContext], AbstractAsyncContextManager[Listener]]
Ask = Callable[[Listener, ssl.SSLContext], Coroutine[Any, Any, bytes]]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an authority without leaves; tests copy it, for sealing takes most of a test's time."""
    certs = tmp_path_factory.mktemp("template") / "certs"
    initialise(certs, trust_domain=DOMAIN, root=KEEPER, issuing=KEEPER, now=datetime.now(UTC))
    return certs


@pytest.fixture(scope="session")
def make_authority(template: Path) -> Callable[..., IssuingAuthority]:
    """Return a function that puts an authority into a folder and issues the named leaves now.

    A new folder gets a copy of the template, unless it must be older or of another trust domain.
    """

    def make(
        certs: Path,
        *names: str,
        trust_domain: str = DOMAIN,
        age: timedelta = timedelta(0),
        expired: tuple[str, ...] = (),
    ) -> IssuingAuthority:
        now = datetime.now(UTC)
        if trust_domain == DOMAIN and not age and not certs.exists():
            shutil.copytree(template, certs)
        else:
            initialise(certs, trust_domain=trust_domain, root=KEEPER, issuing=KEEPER, now=now - age)
            if expired:
                before = now - timedelta(days=8)
                IssuingAuthority.open(certs, KEEPER).issue(expired, owners={}, now=before)
            renew_lists(certs, issuing=KEEPER, root=None, now=now)
            refresh_bundles(CertificateTree(certs), expired, {})
        authority = IssuingAuthority.open(certs, KEEPER)
        authority.issue(names, owners={}, now=now)
        return authority

    return make


@pytest.fixture
def listen() -> Listen:
    """Return a context manager that serves an echo: it reads first, and answers what it read."""

    @asynccontextmanager
    async def serve(context: ssl.SSLContext) -> AsyncIterator[Listener]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = peer_spiffe_id(writer.transport)
            line = await reader.read(100)
            listener.seen.append((peer, line))
            writer.write(line)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        listener = Listener(server.sockets[0].getsockname()[1])
        async with server:
            yield listener

    return serve


@pytest.fixture
def ask() -> Ask:
    """Return a client: the bytes that came back, none if the connection ended; TLS errors are raised."""

    async def connect(listener: Listener, context: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=context, server_hostname="gateway.countermark.internal"
        )
        try:
            writer.write(b"hello")
            return await reader.read(100)
        finally:
            writer.transport.abort()

    return connect


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Return a runner for one coroutine, on each event loop that a service may use."""

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(asyncio.wait_for(coroutine, timeout=20))

    return runner
