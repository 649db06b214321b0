from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import msgspec
import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig

from services.node.bus import connect_bus
from services.node.config_file import NodeConfig
from services.node.postgres import open_pool
from services.payments.outlets import EVENTS, FACTS
from services.payments.relay import Relay, settle_stream
from services.payments.store import Store
from tests.integration.payments.payments_samples import Request, accept
from tests.integration.payments.payments_stack import Stack, until


async def test_a_subscriber_that_lags_loses_nothing_the_relay_waits_for_it(stack: Stack) -> None:
    world, bytes_max = stack.world, 1_000_000
    merchant = await world.open_account("acc_lag")
    config = NodeConfig(**stack.node("payments"))
    place = stack.server.reach("payments", stack.database)
    async with open_pool(config, place, connections_max=2) as pool:
        outlet = replace(EVENTS, bytes_max=bytes_max, subscribers=("notifications",))
        relay = Relay(config, stack.bus.reach(), Store(pool), outlet)
        task = asyncio.create_task(relay.run())
        client = await connect_bus(config, stack.bus.reach())
        stream = client.jetstream()
        for _ in range(40):
            await accept(world.gateway, [Request("acc_lag", merchant=merchant) for _ in range(100)])

        async def stream_is_full() -> bool:
            try:
                return (await stream.stream_info(EVENTS.stream)).state.bytes > bytes_max * 0.8
            except nats.errors.Error:
                return False  # The relay makes the stream when it has come up.

        await until(stream_is_full, 20)
        first_before = (await stream.stream_info(EVENTS.stream)).state.first_seq
        read = await read_all(stack, 4_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()

    assert 1 == first_before
    assert 4_000 == len(read)


async def test_streams_are_settled_again_on_a_bus_that_holds_them(stack: Stack) -> None:
    """The bus has disk for all streams, not for one of them twice: a second start creates nothing."""
    client = await connect_bus(NodeConfig(**stack.node("payments")), stack.bus.reach())
    stream = client.jetstream()
    for outlet in (EVENTS, FACTS) * 2:
        await settle_stream(stream, outlet)
    await settle_stream(stream, replace(FACTS, bytes_max=FACTS.bytes_max // 2))
    sizes = [(await stream.stream_info(outlet.stream)).config.max_bytes for outlet in (EVENTS, FACTS)]
    await client.close()

    assert [EVENTS.bytes_max, FACTS.bytes_max // 2] == sizes


async def read_all(stack: Stack, count: int) -> set[tuple[str, int]]:
    """Everything that a subscriber reads who comes late, as (payment, sequence)."""
    config = NodeConfig(**stack.node("notifications"))
    client = await connect_bus(config, stack.bus.reach())
    stream = client.jetstream()
    found: set[tuple[str, int]] = set()
    wanted = ConsumerConfig(name="notifications", durable_name="notifications", ack_policy=AckPolicy.EXPLICIT)
    await stream.add_consumer(EVENTS.stream, wanted)
    subscription = await stream.pull_subscribe_bind(durable="notifications", stream=EVENTS.stream)
    async with asyncio.timeout(20):
        while len(found) < count:
            with suppress(nats.errors.TimeoutError):
                for message in await subscription.fetch(10, timeout=1):
                    found |= {
                        (e["payment_id"], e["sequence"]) for e in msgspec.json.decode(message.data)["events"]
                    }
                    await message.ack()
    await client.close()
    return found
