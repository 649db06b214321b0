"""What became of a call is told truthfully: answered, definitely unsent, or unknown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from pki.tls import server_context
from services.node.config_file import EgressConfig
from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_client import ANSWER_BYTES_MAX, UNSENT_HEADER, HopClient
from tests.integration.node.mtls import node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

Behave = Callable[[asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"attempt_id":"att_1"}'
PATIENCE_S = 5.0
# Half of it is for the handshake, which takes milliseconds on a quiet machine.
IMPATIENCE_S = 1.0


@dataclass
class Callee:
    """A server that reads one whole request, then does as it is told."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext, behave: Behave) -> AsyncIterator[None]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.requests.append(head + await reader.readexactly(_length_of(head)))
                    await behave(writer)
            except (asyncio.IncompleteReadError, OSError):
                pass  # The client is gone.
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", self.port, ssl=context, reuse_port=True)
        async with server:
            try:
                yield
            finally:
                self.over.set()
                await asyncio.sleep(0)


def _length_of(head: bytes) -> int:
    lengths = [
        line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    ]
    return int(lengths[0]) if lengths else 0


@dataclass(frozen=True)
class Hop:
    """One client of identity `payments`, and the callee that it expects to be `gateway-sidecar`."""

    pki: ThrowAwayPki
    callee: Callee
    folder: Path

    def proving(self, name: str = "gateway-sidecar", *, admit: str = "payments") -> ssl.SSLContext:
        return server_context(self.pki.identity(name), admit=frozenset({spiffe(admit)}))

    @asynccontextmanager
    async def client(
        self, *, timeout_s: float = PATIENCE_S, believes_unsent: bool = True
    ) -> AsyncIterator[HopClient]:
        egress = EgressConfig(f"https://127.0.0.1:{self.callee.port}", spiffe("gateway-sidecar"))
        client = HopClient(
            node_config(self.pki, "payments", self.folder),
            egress,
            timeout_s=timeout_s,
            believes_unsent=believes_unsent,
        )
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    async def fault(self, *, timeout_s: float = PATIENCE_S) -> type[Exception]:
        """Call once and return the kind of fault."""
        async with self.client(timeout_s=timeout_s) as client:
            with pytest.raises((HopUnsent, HopUnknown)) as raised:
                await client.call("POST", "/v1/attempts", BODY)
        return raised.type


@pytest.fixture
def hop(pki: ThrowAwayPki, port: int, tmp_path: Path) -> Hop:
    return Hop(pki, Callee(port), tmp_path)


def answering(head: str, body: bytes = b"", *, length: int | None = None) -> Behave:
    async def behave(writer: asyncio.StreamWriter) -> None:
        size = len(body) if length is None else length
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {size}\r\n\r\n".encode() + body)
        await writer.drain()

    return behave


async def resetting(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def never(writer: asyncio.StreamWriter) -> None:
    raise AssertionError("no request may arrive here")


async def test_an_answer_is_returned_with_status_body_and_lower_case_fields(hop: Hop) -> None:
    behave = answering("201 Created\r\nX-Thing: Value", b'{"outcome":"confirmed"}')
    async with hop.callee.running(hop.proving(), behave), hop.client() as client:
        answer = await client.call("POST", "/v1/attempts?x=%2F", BODY, headers={"x-more": "1"})

    assert (201, b'{"outcome":"confirmed"}', "Value") == (
        answer.status,
        answer.body,
        answer.headers["x-thing"],
    )
    (request,) = hop.callee.requests
    assert request.startswith(b"POST /v1/attempts?x=%2F HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n" + BODY)
    assert b"x-more: 1" in request
    assert b"accept-encoding: identity" in request.lower()


@pytest.mark.parametrize("status", [200, 307, 404, 500, 503])
async def test_whatever_the_status_a_whole_answer_is_an_answer(hop: Hop, status: int) -> None:
    behave = answering(f"{status} Some\r\nlocation: https://127.0.0.1:1/", b"{}")
    async with hop.callee.running(hop.proving(), behave), hop.client() as client:
        assert status == (await client.call("GET", "/v1/attempts/x")).status


async def test_an_answer_in_many_pieces_is_read_to_its_end(hop: Hop) -> None:
    body = bytes(range(256)) * (ANSWER_BYTES_MAX // 256)
    async with hop.callee.running(hop.proving(), answering("200 OK", body)), hop.client() as client:
        answer = await client.call("GET", "/v1/attempts/x")

    assert ANSWER_BYTES_MAX == len(answer.body)
    assert body == answer.body


async def test_unsent_when_nothing_listens(hop: Hop) -> None:
    assert HopUnsent is await hop.fault()


async def test_only_our_own_sidecar_may_say_that_nothing_was_forwarded(hop: Hop) -> None:
    behave = answering("503 Away\r\nx-countermark-unsent: 1", b"{}")
    async with hop.callee.running(hop.proving(), behave):
        async with hop.client() as trusting:
            with pytest.raises(HopUnsent):
                await trusting.call("POST", "/v1/attempts", BODY)
        async with hop.client(believes_unsent=False) as wary:
            answer = await wary.call("POST", "/v1/attempts", BODY)

    assert 503 == answer.status


async def test_unsent_when_the_client_was_never_started(hop: Hop) -> None:
    egress = EgressConfig(f"https://127.0.0.1:{hop.callee.port}", spiffe("gateway-sidecar"))
    client = HopClient(
        node_config(hop.pki, "payments", hop.folder), egress, timeout_s=1, believes_unsent=True
    )

    with pytest.raises(HopUnsent):
        await client.call("GET", "/")


async def test_unsent_when_the_callee_proves_another_identity(hop: Hop) -> None:
    async with hop.callee.running(hop.proving("banks"), never):
        assert HopUnsent is await hop.fault()

    assert [] == hop.callee.requests


async def test_unsent_when_the_callee_is_of_a_foreign_authority(hop: Hop) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("gateway-sidecar.countermark.internal").configure_cert(context)
    async with hop.callee.running(context, never):
        assert HopUnsent is await hop.fault()

    assert [] == hop.callee.requests


async def test_unsent_when_the_next_hop_vouches_that_it_forwarded_nothing(hop: Hop) -> None:
    behave = answering(f"503 Service Unavailable\r\n{UNSENT_HEADER}: 1", b"{}")
    async with hop.callee.running(hop.proving(), behave):
        assert HopUnsent is await hop.fault()

    assert 1 == len(hop.callee.requests)


async def test_unknown_when_the_callee_resets_after_reading_the_request(hop: Hop) -> None:
    async with hop.callee.running(hop.proving(), resetting):
        assert HopUnknown is await hop.fault()

    assert 1 == len(hop.callee.requests)


async def test_unknown_when_the_callee_answers_late(hop: Hop) -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        await hop.callee.over.wait()

    async with hop.callee.running(hop.proving(), late):
        assert HopUnknown is await hop.fault(timeout_s=IMPATIENCE_S)

    assert 1 == len(hop.callee.requests)


async def test_unknown_when_the_second_half_of_the_answer_is_late(hop: Hop) -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        await answering("200 OK", b'{"outcome":', length=100)(writer)
        await hop.callee.over.wait()

    async with hop.callee.running(hop.proving(), half):
        assert HopUnknown is await hop.fault(timeout_s=IMPATIENCE_S)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"outcome":"confirmed"}',
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n17\r\n{"outcome":"confirmed"}\r\n',
        b"not HTTP at all\r\n\r\n",
    ],
)
async def test_unknown_when_the_answer_is_cut_short_or_no_answer(hop: Hop, sent: bytes) -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.close()
        await hop.callee.over.wait()

    async with hop.callee.running(hop.proving(), cut):
        assert HopUnknown is await hop.fault()

    assert 1 == len(hop.callee.requests)


async def test_unknown_when_the_answer_is_too_large(hop: Hop) -> None:
    behave = answering("200 OK", b"x" * (ANSWER_BYTES_MAX + 1))
    async with hop.callee.running(hop.proving(), behave):
        assert HopUnknown is await hop.fault()


async def test_unknown_when_the_callee_refuses_us_after_our_side_of_the_handshake(hop: Hop) -> None:
    # TLS 1.3: the client may have written before it can hear of the refusal, so it must not claim otherwise.
    async with hop.callee.running(hop.proving(admit="banks"), never):
        assert HopUnknown is await hop.fault()

    assert [] == hop.callee.requests


async def test_a_request_that_may_have_arrived_is_not_repeated_on_a_second_connection(hop: Hop) -> None:
    async def first_only(writer: asyncio.StreamWriter) -> None:
        if len(hop.callee.requests) == 1:
            await answering("200 OK", b"{}")(writer)
        else:
            writer.transport.abort()

    async with hop.callee.running(hop.proving(), first_only), hop.client() as client:
        assert 200 == (await client.call("POST", "/v1/attempts", BODY)).status
        with pytest.raises(HopUnknown):
            await client.call("POST", "/v1/attempts", BODY)

    assert 2 == len(hop.callee.requests)


async def test_the_client_works_again_after_a_fault(hop: Hop) -> None:
    async with hop.client() as client:
        with pytest.raises(HopUnsent):
            await client.call("GET", "/v1/attempts/x")
        async with hop.callee.running(hop.proving(), answering("200 OK", b"{}")):
            assert 200 == (await client.call("GET", "/v1/attempts/x")).status
