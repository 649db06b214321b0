"""Receivers away for a day or answering a byte each second, a bus away for an hour: no event is lost.

Hours pass in the record: everything that has a time there is moved into the past, up to the next thing due.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
import trustme
from aiohttp import web

from services.notifications.breaker import FAILURES_MAX
from services.notifications.egress import ATTEMPT_S_MAX
from tests.integration.notifications.stack import POLL_S, WAIT_S_MAX, Stack, event
from tests.integration.notifications.webhook_receiver import Received, Receiver, running_receiver

DAY_S = 86_400.0
PAYMENTS, SEQUENCES = range(5), range(1, 4)
# What fails together first, the probes until the pause is an hour long, one in each further hour, and as many
# again for what was under way or is due when a probe is not.
ATTEMPTS_OF_A_DAY_MAX = 2 * (FAILURES_MAX + 5 + 24)

_PASS = """
with quiet as (
    select (select coalesce(sum(claim), 0) from notifications.delivery)
        = (select count(*) from notifications.delivery_attempt) as is_quiet
), step as (
    select greatest((select min(due) from notifications.delivery where state = 'pending'),
                    (select open_until from notifications.breaker)) - now() as length
    from quiet where is_quiet
), moved as (
    update notifications.delivery d set due = d.due - length
    from step where d.state = 'pending' and length > '0'
), held as (
    update notifications.breaker b
    set open_until = b.open_until - length, failing_since = b.failing_since - length
    from step where length > '0'
)
select extract(epoch from length)::float8 as passed_s from step where length > '0'
"""


async def let_time_pass(stack: Stack) -> float:
    """Wait until nothing is under way, go to the next thing due, and return the seconds in between."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not (rows := await stack.query("migrator", _PASS)):
            stack.check_loops()
            if await has_arrived(stack):
                return 0.0
            await asyncio.sleep(POLL_S)
    passed_s: float = rows[0]["passed_s"]
    return passed_s


async def has_arrived(stack: Stack) -> bool:
    return {row["state"] for row in await stack.deliveries()} == {"delivered"}


def told(stack: Stack, received: Received) -> tuple[str, int]:
    """The payment and sequence that a webhook is about; it is signed."""
    body = msgspec.json.decode(received.body)
    assert body["id"] == received.verify(stack.key.verifying_key).message_id
    assert str(body["sequence"]) == received.header("countermark-event-sequence")
    return body["payment_id"], body["sequence"]


@pytest.mark.parametrize("ordering", ["none", "per_payment"])
async def test_a_receiver_that_was_down_for_a_day_gets_everything(
    stack: Stack, merchants_authority: trustme.CA, ordering: str
) -> None:
    async with running_receiver(merchants_authority) as down:
        pass
    await stack.add_endpoint("one", down.url())
    await stack.query("migrator", "update notifications.endpoint set ordering = $1", ordering)

    async with stack.running(down.address):
        for sequence in SEQUENCES:
            await stack.publish(*(event(payment, sequence) for payment in PAYMENTS))
        await stack.until(lambda rows: len(rows) == len(PAYMENTS) * len(SEQUENCES))
        passed_s = 0.0
        while passed_s < DAY_S:
            passed_s += await let_time_pass(stack)
        after_a_day = await stack.deliveries()
        [tried] = await stack.query("notifications", "select count(*) from notifications.delivery_attempt")
        async with running_receiver(merchants_authority, down.port) as up:
            while not await has_arrived(stack):
                await let_time_pass(stack)

    assert {"pending", "waiting"} >= {row["state"] for row in after_a_day}
    assert {"not-connected"} >= {row["last_error"] for row in after_a_day if row["attempts"]}
    assert FAILURES_MAX <= tried["count"] <= ATTEMPTS_OF_A_DAY_MAX
    arrived = [told(stack, received) for received in up.seen]
    assert {(f"pay_eu_{payment}", sequence) for payment in PAYMENTS for sequence in SEQUENCES} == set(arrived)
    if ordering == "per_payment":
        assert sorted(arrived, key=lambda each: each[0]) == sorted(arrived)


# How far a receiver gets before it becomes slow, the rest that it has to say, and what comes of it.
SLOW = {
    "slow-at-once": (b"", b"HTTP/1.1 200 OK-and-a-reason-that-goes-on", ("pending", "timed-out")),
    "slow-in-the-headers": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100, ("pending", "timed-out")),
    "slow-in-the-body": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"x" * 100,
        ("delivered", None),
    ),
}


async def test_a_receiver_that_answers_a_byte_each_second_is_not_waited_for(
    stack: Stack, receiver: Receiver, merchants_authority: trustme.CA
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    merchants_authority.issue_cert("127.0.0.1").configure_cert(context)
    cut_off: set[str] = set()

    async def dribble(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, rest, _ = SLOW[name]
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            for byte in rest:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        except ConnectionError:
            cut_off.add(name)
        finally:
            writer.transport.abort()

    async with AsyncExitStack() as running:
        addresses = []
        for name in SLOW:
            server = await asyncio.start_server(partial(dribble, name), "127.0.0.1", 0, ssl=context)
            await running.enter_async_context(server)
            addresses.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await stack.add_endpoint(name, f"https://{addresses[-1]}/")
        await stack.add_endpoint("quick", receiver.url())
        await running.enter_async_context(stack.running(receiver.address, *addresses))
        await stack.publish(event(1))
        await receiver.wait_for(1)
        others_first = [row["attempts"] for row in await stack.deliveries() if row["endpoint_id"] in SLOW]
        rows = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1] * (len(SLOW) + 1))
        async with asyncio.timeout(WAIT_S_MAX):
            while cut_off != set(SLOW):  # noqa: ASYNC110 - each finds out by itself
                await asyncio.sleep(POLL_S)
    [log] = await stack.query("notifications", "select max(duration_ms) from notifications.delivery_attempt")

    assert [0] * len(SLOW) == others_first
    assert {name: result for name, (_, _, result) in SLOW.items()} == {
        r["endpoint_id"]: (r["state"], r["last_error"]) for r in rows if r["endpoint_id"] in SLOW
    }
    assert log["max"] < (ATTEMPT_S_MAX + 2) * 1000


async def test_while_the_bus_is_away_for_an_hour_what_is_owed_goes_out_and_the_hours_events_follow(
    stack: Stack, receiver: Receiver
) -> None:
    await stack.add_endpoint("one", receiver.url())
    await stack.query("migrator", "update notifications.endpoint set added_at = now() - interval '1 day'")
    receiver.script = [ask_for_an_hour]

    async with stack.running(receiver.address):
        await stack.publish(event(0))
        await stack.until(lambda rows: [r["attempts"] for r in rows] == [1])
        stack.bus.stop(signal.SIGKILL)
        passed_s = await let_time_pass(stack)
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])
        stack.bus.start()
        # The relay has kept what happened meanwhile.
        hour = [
            event(n, at=(datetime.now(UTC) - timedelta(minutes=60 - n)).isoformat()) for n in range(1, 60)
        ]
        await stack.publish(*hour)
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"] * 60)

    assert 3500 < passed_s < 3700
    assert {(f"pay_eu_{n}", 1) for n in range(60)} == {told(stack, received) for received in receiver.seen}


async def ask_for_an_hour(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503, headers={"Retry-After": "3600"})
