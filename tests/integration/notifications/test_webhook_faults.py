"""Whatever is lost, taken away or killed: each event still arrives, with the same id."""

from __future__ import annotations

import asyncio
import signal

from aiohttp import web

from tests.integration.notifications.notifications_process import (
    running_process,
    until_healthy,
    write_config,
)
from tests.integration.notifications.stack import POLL_S, WAIT_S_MAX, Stack, create_stream, event
from tests.integration.notifications.webhook_receiver import Receiver


async def test_events_arrive_after_the_bus_was_killed(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        await receiver.wait_for(1)
        stack.bus.stop(signal.SIGKILL)
        stack.bus.start()
        await stack.publish(event(2))
        await receiver.wait_for(2)

    assert ["evt_1_1", "evt_2_1"] == [r.header("webhook-id") for r in receiver.seen]


async def test_events_arrive_after_the_bus_was_wiped(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        await receiver.wait_for(1)
        stack.bus.stop(signal.SIGKILL)
        stack.bus.wipe()
        stack.bus.start()
        # The relay publishes again from the outbox: the old one is known, the new one is not.
        await stack.publish(event(1))
        await stack.publish(event(2))
        await receiver.wait_for(2)
        rows = await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"] * 2)

    assert [1, 1] == [r["attempts"] for r in rows]
    assert ["evt_1_1", "evt_2_1"] == [r.header("webhook-id") for r in receiver.seen]


async def test_the_service_starts_before_the_stream_exists(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())
    stack.bus.stop()

    async with stack.running(receiver.address):
        stack.bus.start()
        async with stack.client("payments") as client:
            await create_stream(client)
        await stack.publish(event(1))
        received = await receiver.wait_for(1)

    assert "evt_1_1" == received[0].header("webhook-id")


async def test_the_service_stops_while_the_bus_is_away(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())

    async with asyncio.timeout(WAIT_S_MAX):
        async with stack.running(receiver.address):
            await stack.publish(event(1))
            await receiver.wait_for(1)
            stack.bus.stop(signal.SIGKILL)

    assert [True, True] == [task.cancelled() for task in stack.ended]


async def test_events_arrive_while_connections_to_the_database_are_cut(
    stack: Stack, receiver: Receiver
) -> None:
    await stack.add_endpoint("one", receiver.url())
    cut = """select pg_terminate_backend(pid) from pg_stat_activity
             where usename = current_user and datname = current_database() and pid <> pg_backend_pid()"""

    async with stack.running(receiver.address):
        for payment in range(5):
            await stack.publish(event(payment))
            async with asyncio.timeout(WAIT_S_MAX):
                while not await stack.query("notifications", cut):  # noqa: ASYNC110 - on the server
                    await asyncio.sleep(POLL_S)
        await stack.until(lambda rows: len(rows) == 5)
        await stack.hasten()
        rows = await stack.until(lambda rows: {r["state"] for r in rows} == {"delivered"})

    assert [f"evt_{payment}_1" for payment in range(5)] == [r["event_id"] for r in rows]
    assert {r["event_id"] for r in rows} == {r.header("webhook-id") for r in receiver.seen}


async def test_connections_are_replaced_at_their_age_and_nothing_is_lost(
    stack: Stack, receiver: Receiver
) -> None:
    stack.connection_age_s_max = 0.3
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        for payment in range(10):
            await stack.publish(event(payment))
            await receiver.wait_for(payment + 1)
        rows = await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"] * 10)

    assert {1} == {r["attempts"] for r in rows}


async def test_a_sender_killed_between_sending_and_recording_sends_again_with_the_same_id(
    stack: Stack, receiver: Receiver
) -> None:
    async def never_answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    receiver.script = [never_answer]
    await stack.add_endpoint("one", receiver.url())
    await stack.publish(event(1))
    config, port = write_config(stack, receiver)

    async with running_process(config) as process:
        await receiver.wait_for(1)
        process.kill()
        await process.wait()
    (leased,) = await stack.deliveries()
    await stack.hasten()
    async with running_process(config) as process:
        await until_healthy(stack, port)
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])
        process.send_signal(signal.SIGTERM)
        stopped = await process.wait()

    assert ("pending", 0, 1) == (leased["state"], leased["attempts"], leased["claim"])
    assert leased["due"] is not None
    assert 0 == stopped
    first, second = receiver.seen
    assert first.header("webhook-id") == second.header("webhook-id")
    assert first.body == second.body
    assert "evt_1_1" == second.verify(stack.key.verifying_key).message_id
