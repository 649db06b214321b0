"""The same contexts under aiohttp and under blocking sockets, and the generations they refuse to use."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from pki.authority import IssuingAuthority
from pki.errors import GenerationError, IdentityError, SecretExposed
from pki.identity import spiffe_id
from pki.tls import client_context, peer_spiffe_id, server_context

GATEWAY, EDGE, PAYMENTS = (
    spiffe_id(name, "countermark.internal") for name in ("gateway", "edge", "payments")
)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory, make_authority: Callable[..., IssuingAuthority]) -> Path:
    folder = tmp_path_factory.mktemp("use") / "certs"
    make_authority(folder, "gateway", "payments", "edge")
    return folder


def live(certs: Path, name: str) -> Path:
    return certs / "live" / name / "current"


async def test_under_aiohttp_only_the_admitted_peer_reaches_the_handler(certs: Path) -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append(peer_spiffe_id(request.transport))
        return web.Response(text="hello")

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    context = server_context(live(certs, "gateway"), admit=frozenset({EDGE}))
    await web.SockSite(runner, listener, ssl_context=context).start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
    async with aiohttp.ClientSession() as session:
        for name in ("edge", "payments", "edge"):
            own = client_context(live(certs, name), expect=frozenset({GATEWAY}))
            if name == "payments":
                with pytest.raises(aiohttp.ClientError):
                    await session.get(url, ssl=own)
            else:
                async with session.get(url, ssl=own) as response:
                    assert await response.text() == "hello"
        wrong = client_context(live(certs, "edge"), expect=frozenset({PAYMENTS}))
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(url, ssl=wrong)
    await runner.cleanup()

    assert seen == [EDGE, EDGE]


@pytest.mark.parametrize(
    ("name", "expected", "served"),
    # Where the client refuses, the server has seen a whole handshake and then an end: it said nothing.
    [("edge", GATEWAY, EDGE), ("payments", GATEWAY, "not admitted"), ("edge", PAYMENTS, EDGE)],
)
def test_blocking_sockets_check_the_same(certs: Path, name: str, expected: str, served: str) -> None:
    server = server_context(live(certs, "gateway"), admit=frozenset({EDGE}))
    client = client_context(live(certs, name), expect=frozenset({expected}))
    outcomes: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        plain, _ = listener.accept()
        plain.settimeout(10)
        try:
            with server.wrap_socket(plain, server_side=True) as connection:
                outcomes.append(peer_spiffe_id(connection))
        except OSError as fault:
            outcomes.append(str(fault))

    thread = threading.Thread(target=serve)
    thread.start()
    with listener, socket.create_connection(listener.getsockname(), timeout=10) as plain:
        if expected == PAYMENTS:
            with pytest.raises(ssl.SSLCertVerificationError, match="not admitted"):
                client.wrap_socket(plain)
        else:
            with client.wrap_socket(plain) as connection:
                proved = peer_spiffe_id(connection)
                # A refusal is an end or a reset here, never a byte.
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    assert connection.recv(1) == b""
            assert proved == GATEWAY
        thread.join()

    assert served in outcomes[0]


def test_a_peer_list_must_name_somebody_of_our_form(certs: Path) -> None:
    for peers in (frozenset[str](), frozenset({"gateway"}), frozenset({"spiffe://countermark.internal"})):
        with pytest.raises(IdentityError):
            server_context(live(certs, "gateway"), admit=peers)
        with pytest.raises(IdentityError):
            client_context(live(certs, "gateway"), expect=peers)


@pytest.fixture
def copy(certs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "generation"
    shutil.copytree(live(certs, "gateway"), folder)
    return folder


def test_a_generation_that_is_not_whole_is_refused(certs: Path, copy: Path) -> None:
    shutil.copy(live(certs, "edge") / "key.pem", copy / "key.pem")
    with pytest.raises(GenerationError, match="not a usable generation"):
        server_context(copy, admit=frozenset({EDGE}))
    for file in ("key.pem", "trust.pem", "cert.pem"):
        (copy / file).unlink()
        with pytest.raises(GenerationError):
            server_context(copy, admit=frozenset({EDGE}))


def test_a_key_open_to_every_account_is_refused(copy: Path) -> None:
    (copy / "key.pem").chmod(0o604)

    with pytest.raises(SecretExposed):
        client_context(copy, expect=frozenset({GATEWAY}))


async def test_a_plain_connection_has_no_peer_identity() -> None:
    left, right = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=left)
    with right, pytest.raises(IdentityError, match="not TLS"):
        peer_spiffe_id(writer.transport)
    writer.close()
    await writer.wait_closed()
