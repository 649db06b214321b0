"""From the bus to the merchant: delivered, signed, once per endpoint, again when it failed."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from signing.digest import content_digest
from tests.integration.notifications.stack import POLL_S, WAIT_S_MAX, Stack, event
from tests.integration.notifications.webhook_receiver import Receiver


async def test_an_event_reaches_each_endpoint_once_and_verifies(
    stack: Stack, receiver: Receiver, other_receiver: Receiver
) -> None:
    await stack.add_endpoint("one", receiver.url())
    await stack.add_endpoint("two", other_receiver.url("/a?b=%2Fc"))
    await stack.add_endpoint("foreign", receiver.url("/foreign"), merchant_id="mer_b")
    sent = event(1, sequence=3)

    async with stack.running(receiver.address, other_receiver.address):
        await stack.publish(sent)
        rows = await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered", "delivered"])

    assert [("one", 1), ("two", 1)] == [(r["endpoint_id"], r["attempts"]) for r in rows]
    assert [204, 204] == [r["last_status"] for r in rows]
    assert ["/hook"] == [r.path for r in receiver.seen]
    assert ["/a?b=%2Fc"] == [r.path for r in other_receiver.seen]
    for received in (receiver.seen[0], other_receiver.seen[0]):
        verified = received.verify(stack.key.verifying_key)
        assert "evt_1_3" == verified.message_id
        assert msgspec.json.encode(sent) == received.body
        assert "3" == received.header("countermark-event-sequence")
        assert "application/json" == received.header("content-type")
        assert content_digest(received.body) == received.header("content-digest")


async def test_a_receiver_that_fails_first_is_tried_again_with_the_same_id(
    stack: Stack, receiver: Receiver
) -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    receiver.script = [fail]
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        (failed,) = await stack.until(lambda rows: [r["last_status"] for r in rows] == [500])
        await stack.hasten()
        (row,) = await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])
    statement = "select status, verdict from notifications.delivery_attempt order by claim"
    log = await stack.query("notifications", statement)

    assert 3.5 < (failed["due"] - failed["added_at"]).total_seconds() < 9
    assert (2, 204) == (row["attempts"], row["last_status"])
    assert [(500, "retry"), (204, "delivered")] == [tuple(r) for r in log]
    first, second = receiver.seen
    assert first.header("webhook-id") == second.header("webhook-id")
    assert first.body == second.body


async def test_duplicates_from_the_bus_are_delivered_once(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1), event(2), event(1))
        await stack.publish(event(1), event(2))
        await stack.publish(event(3))
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"] * 3)

    assert ["evt_1_1", "evt_2_1", "evt_3_1"] == sorted(r.header("webhook-id") for r in receiver.seen)


async def test_a_malformed_message_is_terminated_and_blocks_nobody(stack: Stack, receiver: Receiver) -> None:
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish_raw(b"{")
        await stack.publish(event(1) | {"sequence": 0}, event(2))
        rows = await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])
        async with stack.client("notifications") as client:
            # What is not settled by now would come back; the last acknowledgement may still be on its way.
            async with asyncio.timeout(WAIT_S_MAX):
                bus = client.jetstream()
                while (  # noqa: ASYNC110 - the condition is on the server
                    info := await bus.consumer_info("EVENTS", "notifications")
                ).num_ack_pending:
                    await asyncio.sleep(POLL_S)

    assert ["evt_2_1"] == [r["event_id"] for r in rows]
    assert (0, 0) == (info.num_pending, info.num_redelivered)


async def test_a_slow_receiver_does_not_hold_up_another_endpoint(
    stack: Stack, receiver: Receiver, other_receiver: Receiver
) -> None:
    release = asyncio.Event()

    async def dawdle(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    receiver.answer = dawdle
    await stack.add_endpoint("a-slow", receiver.url())
    await stack.add_endpoint("b-quick", other_receiver.url())

    async with stack.running(receiver.address, other_receiver.address):
        await stack.publish(*(event(payment) for payment in range(200)))
        await other_receiver.wait_for(200)
        seen_by_slow = len(receiver.seen)
        release.set()
        await receiver.wait_for(200)

    assert 1 <= seen_by_slow <= 4


async def test_a_gone_endpoint_is_disabled_until_an_operator_revives_it(
    stack: Stack, receiver: Receiver
) -> None:
    async def gone(_: web.Request) -> web.StreamResponse:
        return web.Response(status=410)

    receiver.answer = gone
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        await stack.until(lambda rows: [r["state"] for r in rows] == ["dead"])
        await stack.publish(event(2))
        # Stored before the second endpoint is there, which would get it, too.
        await stack.until(lambda rows: [r["state"] for r in rows] == ["dead", "dead"])
        await stack.add_endpoint("two", receiver.url("/two"))
        receiver.script = [_created]
        await stack.publish(event(3))
        rows = await stack.until(lambda rows: any(r["state"] == "delivered" for r in rows))
        assert {"evt_1_1": "dead", "evt_2_1": "dead", "evt_3_1": "dead"} == {
            r["event_id"]: r["state"] for r in rows if r["endpoint_id"] == "one"
        }

        receiver.answer = _created
        (revived,) = await stack.query("operator", "select notifications.revive_endpoint('one')")
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"] * len(rows))

    assert 3 == revived[0]


async def _created(_: web.Request) -> web.StreamResponse:
    return web.Response(status=201)
