"""A durable consumer of a stream of the bus: whoever subscribes has a place of its own, and loses nothing.

Promises: a message is acknowledged after what it says was committed; one that is malformed is logged and
terminated, and blocks nobody; the bus, its stream or the database may go away and come back, wiped or not.
The relay owns the streams; a subscriber owns its consumer and makes it again whenever it is missing. At least
once: subscribers deduplicate by what their messages are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.node.bus import BusClient, connect_bus
from services.node.config_file import NatsConfig, NodeConfig
from services.node.errors import MessageMalformed
from services.node.logs import get_log
from services.node.pacing import Pace
from services.node.parsed import Parsed
from services.node.postgres import DATABASE_AWAY, TOOK_TOO_LONG

# Messages per fetch; with up to 200 events each this is one transaction of some hundreds of rows.
FETCH_MAX = 4
# Messages come as often as the relay looks; a transaction for each would be most of the work.
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
_log = get_log("node.subscriber")

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Subscription(Generic[ItemT]):
    """What one subscriber reads, and what it does with it.

    Attributes:
        stream: Of the bus.
        durable: The consumer's name: where it has come to is kept under it.
        parse: Subject and body of a message to what it says; raises `MessageMalformed` if that is nothing.
        take: Commits what messages say.
        acknowledged: Called once the bus knows.
    """

    stream: str
    durable: str
    parse: Callable[[str, bytes], Parsed[ItemT]]
    take: Callable[[Sequence[ItemT]], Awaitable[None]]
    acknowledged: Callable[[], None] = lambda: None


class Subscriber(Generic[ItemT]):
    """One durable pull consumer.

    Args:
        config: Identity of this process, and how old a connection may become.
        bus: Where NATS is.
        subscription: What is read.
    """

    def __init__(self, config: NodeConfig, bus: NatsConfig, subscription: Subscription[ItemT]) -> None:
        self._config = config
        self._bus = bus
        self._subscription = subscription

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
        own = self._subscription
        async with asyncio.timeout(self._config.connection_age_s_max):
            client = await connect_bus(self._config, self._bus)
        try:
            stream = client.jetstream(timeout=API_S_MAX)
            while not client.is_due:
                await self._settle(stream, client)
                pulling = await stream.pull_subscribe_bind(durable=own.durable, stream=own.stream)
                await self._pull(pulling, client)
                await pulling.unsubscribe()
        finally:
            # A fault while closing would take the place of a cancellation, and the process would not stop.
            with suppress(*_BUS_AWAY):
                await client.close()

    async def _settle(self, stream: JetStreamContext, client: BusClient) -> None:
        """Create the consumer as soon as there is a stream to create it on; if it exists, nothing changes.

        Asked first: in a cluster, to create what exists is one more decision of all nodes about it.
        """
        own = self._subscription
        wanted = api.ConsumerConfig(
            name=own.durable,
            durable_name=own.durable,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            deliver_policy=api.DeliverPolicy.ALL,
            max_ack_pending=UNACKNOWLEDGED_MAX,
        )
        while not client.is_due:
            with suppress(nats.js.errors.NotFoundError):
                await stream.consumer_info(own.stream, own.durable)
                return
            with suppress(nats.js.errors.NotFoundError):
                await stream.add_consumer(own.stream, wanted)
                return
            await asyncio.sleep(AWAY_S)  # A wiped bus: the relay makes the stream again.

    async def _pull(self, pulling: JetStreamContext.PullSubscription, client: BusClient) -> None:
        """Fetch until nothing comes and the consumer turns out to be gone, or the time has come."""
        now = asyncio.get_running_loop().time
        while not client.is_due:
            # A request must not outlast the connection: what answers it too late waits for ACK_WAIT_S.
            wait_s = max(FETCH_S_MIN, min(FETCH_S_MAX, client.left_s))
            try:
                messages = await pulling.fetch(FETCH_MAX, timeout=wait_s)
            except nats.errors.TimeoutError:
                messages = []
            except nats.js.errors.APIError as fault:
                # The consumer or the stream was deleted under the request, or no node leads it for now.
                _log.warning("nobody serves the consumer, events wait", fault=type(fault).__name__)
                await asyncio.sleep(AWAY_S)
                return
            if messages:
                begun = now()
                await commit_messages(self._subscription, messages)
                if len(messages) < FETCH_MAX:
                    await asyncio.sleep(TAKING.rest_s(now() - begun))
                continue
            try:
                await pulling.consumer_info()
            except nats.js.errors.NotFoundError:
                return


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of fetched messages.

    Attributes:
        items: How many were committed, those that were known already among them.
        refused: How many things were left out, and whole messages.
        is_all: Whether nothing of it comes again.
    """

    items: int = 0
    refused: int = 0
    is_all: bool = True

    def __add__(self, other: Committed) -> Committed:
        """Both together."""
        return Committed(self.items + other.items, self.refused + other.refused, self.is_all and other.is_all)


async def commit_messages(subscription: Subscription[ItemT], messages: Sequence[Msg]) -> Committed:
    """Commit what all messages say, then acknowledge each; those that say nothing are terminated.

    What could not be committed comes again; what takes the database too long together is taken in halves.
    """
    sound: list[tuple[Msg, Parsed[ItemT]]] = []
    for message in messages:
        try:
            parsed = subscription.parse(message.subject, message.data)
        except MessageMalformed as fault:
            _tell_refused(message, "a message was refused", str(fault))
            await message.term()
        else:
            sound.append((message, parsed))
            for reason in parsed.refused:
                _tell_refused(message, "a part of a message was refused", reason)
    taken = await _take(subscription, sound) if sound else Committed()
    return taken + Committed(refused=len(messages) - len(sound))


async def _take(subscription: Subscription[ItemT], sound: Sequence[tuple[Msg, Parsed[ItemT]]]) -> Committed:
    items = [item for _, parsed in sound for item in parsed.items]
    try:
        await subscription.take(items)
    except DATABASE_AWAY as fault:
        if isinstance(fault, TOOK_TOO_LONG) and len(sound) > 1:
            _log.warning("messages took too long together", messages=len(sound), items=len(items))
            half = len(sound) // 2
            return await _take(subscription, sound[:half]) + await _take(subscription, sound[half:])
        _log.warning("the database is away, events wait", fault=type(fault).__name__)
        for message, _ in sound:
            await message.nak(delay=AWAY_S)
        await asyncio.sleep(AWAY_S)
        return Committed(is_all=False)
    for message, _ in sound:
        await message.ack()
    subscription.acknowledged()
    return Committed(len(items), sum(len(parsed.refused) for _, parsed in sound))


def _tell_refused(message: Msg, what: str, reason: str) -> None:
    _log.error(what, reason=reason, bytes=len(message.data), stream_sequence=message.metadata.sequence.stream)
