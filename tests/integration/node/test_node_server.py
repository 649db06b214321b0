"""The node's listener: who gets through the handshake, which caller reaches which route, for how long."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from services.node.config_file import ListenConfig
from services.node.server import CALLER, serve
from tests.integration.node.mtls import as_client, connected, node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

AS_EDGE = ("x-forwarded-client-cert", f"By={spiffe('gateway-sidecar')};URI={spiffe('edge')}")
AS_SUPERVISOR = ("x-forwarded-client-cert", f"URI={spiffe('supervisor')}")
CALLERS: Mapping[str, frozenset[str]] = {"/v1/things": frozenset({"edge"})}


@dataclass
class Node:
    """A running listener of `gateway`; `handled` is who reached a handler."""

    pki: ThrowAwayPki
    port: int
    folder: Path
    handled: list[str] = field(default_factory=list)
    is_ready: bool = True

    @asynccontextmanager
    async def running(
        self, *, age_s_max: float = 60.0, behind_sidecar: bool = True, admit: str = "gateway-sidecar"
    ) -> AsyncIterator[None]:
        async def handle(request: web.Request) -> web.Response:
            self.handled.append(request[CALLER])
            return web.Response(text=request[CALLER])

        app = web.Application()
        app.router.add_get("/v1/things", handle)
        app.router.add_get("/v1/things/{name}", handle)
        app.router.add_get("/v1/unlisted", handle)
        listen = ListenConfig(host="127.0.0.1", port=self.port, admit=[spiffe(admit)])
        config = node_config(self.pki, "gateway", self.folder, age_s_max=age_s_max)
        async with serve(
            app, config, listen, callers=CALLERS, ready=lambda: self.is_ready, behind_sidecar=behind_sidecar
        ):
            yield

    async def status_for(self, path: str, *fields: tuple[str, str], name: str = "gateway-sidecar") -> int:
        """Status of one request on a connection of its own; 0 when not one byte was answered."""
        async with connected(self.port, as_client(self.pki, name)) as connection:
            answer = await connection.ask(path, *fields)
            return answer.status if answer else 0


@pytest.fixture
def node(pki: ThrowAwayPki, port: int, tmp_path: Path) -> Node:
    return Node(pki, port, tmp_path)


async def test_a_listed_caller_behind_the_own_sidecar_reaches_the_handler(node: Node) -> None:
    async with node.running(), connected(node.port, as_client(node.pki, "gateway-sidecar")) as connection:
        answer = await connection.ask("/v1/things", AS_EDGE)
        tls = connection.writer.get_extra_info("ssl_object")

        assert answer is not None
        assert (200, b"edge") == (answer.status, answer.body)
        assert "TLSv1.3" == tls.version()
        assert 200 == await node.status_for("/v1/things/one", AS_EDGE)


@pytest.mark.parametrize("name", ["payments", "supervisor", "gateway"])
async def test_a_peer_that_is_not_admitted_gets_no_byte(node: Node, name: str) -> None:
    async with node.running():
        before = await node.status_for("/v1/things", AS_EDGE)
        refused = await node.status_for("/v1/things", AS_EDGE, name=name)
        after = await node.status_for("/v1/things", AS_EDGE)

    assert (200, 0, 200) == (before, refused, after)
    assert ["edge", "edge"] == node.handled


def without_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def with_foreign_certificate() -> ssl.SSLContext:
    context = without_certificate()
    trustme.CA().issue_cert("gateway-sidecar.countermark.internal").configure_cert(context)
    return context


def in_tls_1_2(pki: ThrowAwayPki) -> ssl.SSLContext:
    context = without_certificate()
    context.load_cert_chain(
        pki.identity("gateway-sidecar") / "cert.pem", pki.identity("gateway-sidecar") / "key.pem"
    )
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.mark.parametrize("kind", ["no certificate", "foreign certificate", "TLS 1.2", "plaintext"])
async def test_whoever_cannot_prove_an_identity_gets_no_byte(node: Node, kind: str) -> None:
    contexts: dict[str, ssl.SSLContext | None] = {
        "no certificate": without_certificate(),
        "foreign certificate": with_foreign_certificate(),
        "TLS 1.2": in_tls_1_2(node.pki),
        "plaintext": None,
    }
    context = contexts[kind]
    async with node.running():
        before = await node.status_for("/v1/things", AS_EDGE)
        answer = None
        try:
            async with connected(node.port, context) as connection:
                answer = await connection.ask("/v1/things", AS_EDGE)
        except OSError:
            pass  # Refused inside the handshake already.
        after = await node.status_for("/v1/things", AS_EDGE)

    assert (200, None, 200) == (before, answer, after)
    assert ["edge", "edge"] == node.handled


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/things", []),
        ("/v1/things", [("x-forwarded-client-cert", "")]),
        ("/v1/things", [("x-forwarded-client-cert", f"URI={spiffe('banks')}")]),
        ("/v1/things", [("x-forwarded-client-cert", "URI=spiffe://elsewhere.internal/edge")]),
        ("/v1/things", [("x-forwarded-client-cert", "URI=https://countermark.internal/edge")]),
        ("/v1/things", [AS_EDGE, AS_EDGE]),
        ("/v1/things", [AS_EDGE, ("X-Forwarded-Client-Cert", f"URI={spiffe('banks')}")]),
        ("/v1/things", [AS_SUPERVISOR]),
        ("/v1/unlisted", [AS_EDGE]),  # there is a handler, and no caller is listed for it
        ("/v1/thingsother", [AS_EDGE]),
        ("//v1/things", [AS_EDGE]),
        ("/v1/missing", [AS_EDGE]),  # whether a route exists is not told either
        ("/healthz", [AS_EDGE]),
    ],
)
async def test_what_is_not_listed_is_refused(node: Node, path: str, fields: list[tuple[str, str]]) -> None:
    async with node.running():
        async with connected(node.port, as_client(node.pki, "gateway-sidecar")) as connection:
            answer = await connection.ask(path, *fields)

        assert answer is not None
        assert (403, b'{"code": "peer-refused"}') == (answer.status, answer.body)
        assert [] == node.handled


async def test_health_is_for_the_supervisor_and_says_whether_it_is_ready(node: Node) -> None:
    async with node.running():
        ready = await node.status_for("/healthz", AS_SUPERVISOR)
        node.is_ready = False
        starting = await node.status_for("/healthz", AS_SUPERVISOR)

    assert (200, 503) == (ready, starting)


async def test_without_a_sidecar_the_caller_is_the_tls_peer_whatever_a_header_says(node: Node) -> None:
    async with node.running(behind_sidecar=False, admit="banks"):
        claimed = await node.status_for("/v1/things", AS_EDGE, name="banks")
    async with node.running(behind_sidecar=False, admit="supervisor"):
        proved = await node.status_for("/healthz", AS_EDGE, name="supervisor")

    assert (403, 200) == (claimed, proved)
    assert [] == node.handled


async def test_a_connection_is_closed_with_the_first_answer_after_most_of_its_time(node: Node) -> None:
    loop = asyncio.get_running_loop()
    async with (
        node.running(age_s_max=1.0),
        connected(node.port, as_client(node.pki, "gateway-sidecar")) as connection,
    ):
        began = loop.time()
        answers = 0
        while loop.time() - began < 10:
            answer = await connection.ask("/v1/things", AS_EDGE)
            assert answer is not None
            assert 200 == answer.status
            answers += 1
            if answer.headers.get("connection") == "close":
                break
        age_s = loop.time() - began

        assert await connection.is_ended_by_the_server()
        assert answers > 1
        assert 0.6 < age_s < 1.0
        assert 200 == await node.status_for("/v1/things", AS_EDGE)


async def test_a_young_connection_stays_open(node: Node) -> None:
    async with node.running(), connected(node.port, as_client(node.pki, "gateway-sidecar")) as connection:
        answers = [await connection.ask("/v1/things", AS_EDGE) for _ in range(3)]

    assert [None] * 3 == [answer.headers.get("connection") for answer in answers if answer]


async def test_nothing_listens_after_the_end(node: Node) -> None:
    async with node.running():
        assert 200 == await node.status_for("/v1/things", AS_EDGE)

    with pytest.raises(ConnectionRefusedError):
        await node.status_for("/v1/things", AS_EDGE)
