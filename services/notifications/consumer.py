"""Take events from the bus into PostgreSQL, and acknowledge only what was committed.

Promises: a message is acknowledged after its deliveries are committed; one that is malformed is logged and
terminated, and blocks nobody; the bus, its stream or the database may go away and come back, wiped or not.
The relay owns the stream; this one owns its durable consumer and makes it again whenever it is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.node.bus import BusClient, connect_bus
from services.node.config_file import NatsConfig, NodeConfig
from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.pacing import Pace
from services.node.postgres import DATABASE_AWAY
from services.notifications.errors import EventMalformed
from services.notifications.events import EVENTS_MAX, Event, parse_message

STREAM = "EVENTS"
DURABLE = "notifications"
# Messages per fetch; with up to 200 events each this is one transaction of a few thousand rows at the most.
FETCH_MAX = 16
# Merchants' messages come one by one; a transaction for each would be most of the work.
TAKING = Pace(factor=3.0, rest_s_max=0.05)
# One pull request lasts this long on the server; a message that arrives meanwhile comes at once.
FETCH_S_MAX = 2.0
FETCH_S_MIN = 0.1
# Longer than the slowest commit here. What was taken by a process that died comes back after it; what comes
# back although it was committed is a duplicate and changes nothing.
ACK_WAIT_S = 8.0
# Several processes share the consumer; each holds FETCH_MAX at the most.
UNACKNOWLEDGED_MAX = 16 * FETCH_MAX
# While the bus, its stream or the database is away: often enough to be back well within 10 s.
AWAY_S = 0.5
API_S_MAX = 2.0

_BUS_AWAY = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)
_log = get_log("notifications.consumer")


class Consumer:
    """One durable pull consumer of the stream of events.

    Args:
        config: Identity of this process, and how old a connection may become.
        bus: Where NATS is.
        take: Commits the deliveries of events; `Sender.take`.
    """

    def __init__(
        self, config: NodeConfig, bus: NatsConfig, take: Callable[[Sequence[Event]], Awaitable[None]]
    ) -> None:
        self._config = config
        self._bus = bus
        self._take = take

    async def run(self) -> None:
        """Consume until cancelled.

        Each connection is replaced when it has its age, or when there is a new certificate.
        """
        while True:
            try:
                await self._session()
            except _BUS_AWAY as fault:
                _log.warning("the bus is away, events wait", fault=type(fault).__name__)
                await asyncio.sleep(AWAY_S)

    async def _session(self) -> None:
        async with asyncio.timeout(self._config.connection_age_s_max):
            client = await connect_bus(self._config, self._bus)
        try:
            stream = client.jetstream(timeout=API_S_MAX)
            while not client.is_due:
                await self._settle(stream, client)
                subscription = await stream.pull_subscribe_bind(durable=DURABLE, stream=STREAM)
                await self._pull(subscription, client)
                await subscription.unsubscribe()
        finally:
            # A fault while closing would take the place of a cancellation, and the process would not stop.
            with suppress(*_BUS_AWAY):
                await client.close()

    async def _settle(self, stream: JetStreamContext, client: BusClient) -> None:
        """Create the consumer as soon as there is a stream to create it on; if it exists, nothing changes."""
        wanted = api.ConsumerConfig(
            name=DURABLE,
            durable_name=DURABLE,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            deliver_policy=api.DeliverPolicy.ALL,
            max_ack_pending=UNACKNOWLEDGED_MAX,
        )
        while not client.is_due:
            try:
                await stream.add_consumer(STREAM, wanted)
            except nats.js.errors.NotFoundError:
                await asyncio.sleep(AWAY_S)  # A wiped bus: the relay makes the stream again.
            else:
                return

    async def _pull(self, subscription: JetStreamContext.PullSubscription, client: BusClient) -> None:
        """Fetch until nothing comes and the consumer turns out to be gone, or the time has come."""
        now = asyncio.get_running_loop().time
        while not client.is_due:
            # A request must not outlast the connection: what answers it too late waits for ACK_WAIT_S.
            wait_s = max(FETCH_S_MIN, min(FETCH_S_MAX, client.left_s))
            try:
                messages = await subscription.fetch(FETCH_MAX, timeout=wait_s)
            except nats.errors.TimeoutError:
                messages = []
            except nats.js.errors.APIError:
                return  # The consumer or the stream was deleted under the request.
            if messages:
                begun = now()
                await self._store(messages)
                if len(messages) < FETCH_MAX:
                    await asyncio.sleep(TAKING.rest_s(now() - begun))
                continue
            try:
                await subscription.consumer_info()
            except nats.js.errors.NotFoundError:
                return

    async def _store(self, messages: list[Msg]) -> None:
        """Commit the deliveries of all messages, then acknowledge each; malformed ones are terminated."""
        sound: list[Msg] = []
        events: list[Event] = []
        for message in messages:
            try:
                events += parse_message(message.subject, message.data)
            except EventMalformed as fault:
                _log.error(
                    "a message was refused",
                    reason=str(fault), bytes=len(message.data),
                    stream_sequence=message.metadata.sequence.stream,
                )  # fmt: skip
                await message.term()
            else:
                sound.append(message)
        if not sound:
            return
        reach("notifications.events_taken")
        try:
            await self._take(events)
        except DATABASE_AWAY as fault:
            _log.warning("the database is away, events wait", fault=type(fault).__name__)
            for message in sound:
                await message.nak(delay=AWAY_S)
            await asyncio.sleep(AWAY_S)
            return
        reach("notifications.events_committed")
        for message in sound:
            await message.ack()
        reach("notifications.events_acknowledged")


# One transaction must stay far below the database's statement timeout.
assert FETCH_MAX * EVENTS_MAX <= 4_000  # noqa: PLR2004 - rows that were measured to take tens of milliseconds
