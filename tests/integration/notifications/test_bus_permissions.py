"""The bus lets each service do what it needs and nothing else, and nobody in without a mapped certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import nats
import nats.errors
import pytest
from nats.js import JetStreamContext

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context
from tests.integration.notifications.stack import Stack, create_stream

ANSWER_S_MAX = 0.3
_Attempt = Callable[[JetStreamContext], Coroutine[Any, Any, Any]]

_DENIED: dict[str, _Attempt] = {
    "publish an event": lambda bus: bus.publish("countermark.events", b"{}"),
    "delete the stream": lambda bus: bus.delete_stream("EVENTS"),
    "purge the stream": lambda bus: bus.purge_stream("EVENTS"),
    "read the stream past its consumer": lambda bus: bus.get_msg("EVENTS", seq=1),
    "make another consumer": lambda bus: bus.add_consumer("EVENTS", name="other", durable_name="other"),
    "read again in somebody else's name": lambda bus: bus.add_consumer("EVENTS", name="reporting-replay"),
    "delete the consumer": lambda bus: bus.delete_consumer("EVENTS", "notifications"),
    "read facts": lambda bus: bus.add_consumer("FACTS", name="notifications", durable_name="notifications"),
}


@pytest.mark.parametrize("attempt", _DENIED.values(), ids=_DENIED.keys())
async def test_the_consumer_may_not(stack: Stack, attempt: _Attempt) -> None:
    async with stack.client("payments") as relay, stack.client("notifications") as client:
        await create_stream(relay)

        with pytest.raises(nats.errors.TimeoutError):
            await attempt(client.jetstream(timeout=ANSWER_S_MAX))
        kept = await relay.jetstream().stream_info("EVENTS")

    assert (0, 0) == (kept.state.messages, kept.state.consumer_count)


async def test_a_certificate_that_is_nobodys_on_the_bus_is_refused(stack: Stack) -> None:
    expect = frozenset({spiffe_id("nats", TRUST_DOMAIN_DEFAULT)})
    context = client_context(stack.postgres.pki.identity("gateway"), expect=expect)

    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats.connect(
            f"tls://127.0.0.1:{stack.bus.port}", tls=context, tls_handshake_first=True, allow_reconnect=False
        )


async def test_a_client_without_a_certificate_hears_nothing(stack: Stack) -> None:
    context = ssl.create_default_context(cafile=str(stack.postgres.pki.identity("gateway") / "trust.pem"))
    context.check_hostname = False

    def listen() -> bytes:
        with socket.create_connection(("127.0.0.1", stack.bus.port), timeout=10) as plain:
            connection = context.wrap_socket(plain)
            try:
                return connection.recv(1)
            finally:
                connection.close()

    # With TLS 1.3 the refusal comes after the client's handshake: the first read is what tells.
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await asyncio.to_thread(listen)


async def test_a_plaintext_client_hears_nothing(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.bus.port)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    heard = await asyncio.wait_for(reader.read(100), 10)
    writer.transport.abort()

    assert b"INFO" not in heard
    assert b"PONG" not in heard
