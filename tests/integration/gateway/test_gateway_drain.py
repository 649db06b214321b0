"""SIGTERM in the middle of a load: every request has its answer, or was never taken."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from dataclasses import dataclass, field

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import HOST, ORIGIN, payment_request
from tests.integration.gateway.second_worker import second_worker
from tests.integration.node.mtls import Connection, as_client, connected

CONNECTIONS = 8  # As many as a sidecar keeps to a worker under a small load.
ANSWERED_BEFORE = 60
STOP_S_MAX = 15.0  # The supervisor's patience.


@dataclass
class Seen:
    """What the senders of one load saw."""

    answered: dict[str, int] = field(default_factory=dict)  # merchant reference to status
    unanswered: set[str] = field(default_factory=set)
    last_answers: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)


async def pay_until_nobody_listens(worker: Gateway, merchant: Merchant, seen: Seen) -> None:
    """As a sidecar does: one request after the other on a kept connection, and a new one after its end."""
    context = as_client(worker.server.pki, "gateway-sidecar")
    while True:
        try:
            async with connected(worker.config.listen.port, context) as connection:
                while not await pay(connection, worker, merchant, seen):
                    pass
        except (ConnectionError, OSError):
            return  # Refused, or cut inside the handshake: nothing was sent.


async def pay(connection: Connection, worker: Gateway, merchant: Merchant, seen: Seen) -> bool:
    """Pay once; return whether the connection is over."""
    reference = f"drained-{secrets.token_hex(8)}"
    request = worker.sign(payment_request(merchant_reference=reference), merchant.key)
    body = request.body or b""
    uri = spiffe_id("edge", TRUST_DOMAIN_DEFAULT)
    lines = [
        f"POST {request.target_uri.removeprefix(ORIGIN)} HTTP/1.1",
        f"Host: {HOST}",
        f"x-forwarded-client-cert: URI={uri}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in request.headers),
    ]
    seen.unanswered.add(reference)
    try:
        connection.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
        await connection.reader.readexactly(int(length.partition(":")[2]))
    except (asyncio.IncompleteReadError, OSError):
        return True
    seen.unanswered.remove(reference)
    seen.answered[reference] = int(head.split(" ")[1])
    if len(seen.answered) >= ANSWERED_BEFORE:
        seen.enough.set()
    is_last = "\r\nconnection: close" in head
    seen.last_answers += is_last
    return is_last


async def test_nothing_is_lost_when_a_worker_is_told_to_stop_under_load(stack: Gateway) -> None:
    merchant = await stack.enrol("Drained", "EUR")
    seen = Seen()
    async with second_worker(stack, name="drained") as worker:
        senders = [
            asyncio.create_task(pay_until_nobody_listens(worker, merchant, seen)) for _ in range(CONNECTIONS)
        ]
        await seen.enough.wait()
        (process,) = worker.processes
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, STOP_S_MAX)
        await asyncio.wait_for(asyncio.gather(*senders), STOP_S_MAX)

    assert 0 == code, worker.log()[-3000:]
    stored = {
        row["reference"]
        for row in await stack.query(
            "select merchant_reference as reference from payments.payment where merchant_id = $1",
            merchant.merchant_id,
        )
    }
    assert {202} == set(seen.answered.values())
    assert set(seen.answered) == stored
    assert set() == seen.unanswered & stored
    assert seen.last_answers > 0
    # Each answer has its row of the access log, the last ones, too.
    (rows,) = await stack.query(
        "select count(*) as n from audit.access where merchant_id = $1", merchant.merchant_id
    )
    assert len(seen.answered) == rows["n"]


async def test_one_line_a_request_is_logged_and_nothing_that_was_sent(stack: Gateway) -> None:
    merchant = await stack.enrol("Logged", "EUR")
    reference = f"logged-{secrets.token_hex(8)}"

    answer = await stack.ask(payment_request(merchant_reference=reference), merchant)

    request_id = dict(answer.headers)["Request-Id"]
    lines = [json.loads(line) for line in stack.log().splitlines() if request_id in line]
    (line,) = lines
    assert {
        "event": "answered", "request_id": request_id, "merchant": merchant.merchant_id, "method": "POST",
        "route": "/v1/payments", "status": 202, "level": "info", "service": "gateway",
    }.items() <= line.items()  # fmt: skip
    assert line["ms"] > 0
    assert {"module", "timestamp", "ms"} == line.keys() - {
        "event", "request_id", "merchant", "method", "route", "status", "level", "service",
    }  # fmt: skip
    assert reference not in stack.log()
