"""Publish the outbox to the bus, and find out by itself when the bus has forgotten something.

The position is read from the last message that the bus holds, never kept beside it; each message says which
sequence it expects to follow. A bus that was wiped, or lost its tail, refuses the next message, and the relay
goes on from what the bus really has. Two relays cannot both win: the slower one reads again and waits.
At least once; subscribers deduplicate by payment and sequence.
"""

from __future__ import annotations

import asyncio

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext, api

from services.node.bus import BusClient, connect_bus
from services.node.config_file import NatsConfig, NodeConfig
from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.outlets import Outlet
from services.payments.packing import EventRow, Message, Position
from services.payments.store import Store

# Where to go on behind the message that has it.
POSITION_HEADER = "Outbox-Resume"
# Rows of one read: twenty messages, some tens of milliseconds of reading and packing.
ROWS_MAX = 4000
# Room is looked at each time this share of the stream has been published, and must then be twice as much.
ROOM_SHARE = 0.05
# Pauses between reads that find nothing: short after work, then longer, to spare an idle database.
IDLE_S_MIN = 0.005
IDLE_S_MAX = 0.05
# An idle relay looks this often whether the bus still is where it was left.
CHECK_S = 1.0
# While the bus or the database is away, or another relay is ahead: often enough to be back well within 10 s.
AWAY_S = 0.5
API_S_MAX = 2.0

_BUS_AWAY = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)
_log = get_log("payments.relay")


class BusMoved(Exception):
    """The bus holds something else than this relay left there."""

    code = "bus-moved"


class Relay:
    """One publisher of the outbox to one stream; several may run, one at a time gets on.

    Args:
        config: Identity of this process, and how old a connection may become.
        bus: Where NATS is.
        store: Where the outbox is.
        outlet: What is published, and who reads it.
    """

    def __init__(self, config: NodeConfig, bus: NatsConfig, store: Store, outlet: Outlet) -> None:
        self._config = config
        self._bus = bus
        self._store = store
        self._outlet = outlet
        self._unchecked_bytes = outlet.bytes_max  # Room is looked at before the first message, too.

    async def run(self) -> None:
        """Publish until cancelled; each connection is replaced at its age or by a new certificate."""
        while True:
            try:
                await self._session()
            except _BUS_AWAY as fault:
                _log.warning(
                    "the bus is away, events wait in the outbox",
                    fault=type(fault).__name__,
                    reason=fault.description if isinstance(fault, nats.js.errors.APIError) else None,
                )
                await asyncio.sleep(AWAY_S)

    async def _session(self) -> None:
        # Age and certificate are looked at between calls, each of which has a time limit: a timeout around
        # everything might not be heard (Python 3.11's `wait_for` can swallow it), and would not come again.
        async with asyncio.timeout(self._config.connection_age_s_max):
            client = await connect_bus(self._config, self._bus)
        try:
            stream = client.jetstream(timeout=API_S_MAX)
            await settle_stream(stream, self._outlet, self._bus.replicas)
            while not client.is_due:
                try:
                    await self._publish(stream, client)
                except (
                    BusMoved,
                    nats.js.errors.NotFoundError,
                    nats.js.errors.NoStreamResponseError,
                ) as found:
                    counters.REPUBLISHED.inc()
                    _log.warning("the bus is not where it was left", fault=type(found).__name__)
                    await asyncio.sleep(AWAY_S)
                    await settle_stream(stream, self._outlet, self._bus.replicas)
        finally:
            await client.close()

    async def _publish(self, stream: JetStreamContext, client: BusClient) -> None:
        """Publish from what the bus holds until it turns out to hold something else, or the time has come."""
        place, last = await read_place(stream, self._outlet.stream)
        now = asyncio.get_running_loop().time
        idle_s, checked = IDLE_S_MIN, now()
        while not client.is_due:
            begun = now()
            rows = await self._read(place)
            if rows:
                reach("payments.outbox_read")
            for message in self._outlet.pack(rows):
                if not await self._await_room(stream, len(message.body), client):
                    return
                last = await store_message(stream, message, last)
                place = message.position
            if rows:
                idle_s = IDLE_S_MIN
                if len(rows) < ROWS_MAX:
                    # Nothing lies behind these: what comes next makes fewer messages if it waits a little.
                    await asyncio.sleep(self._outlet.gathering.rest_s(now() - begun))
                continue
            if now() - checked > CHECK_S:
                await check_place(stream, self._outlet.stream, last)
                checked = now()
            await asyncio.sleep(idle_s)
            idle_s = min(idle_s * 2, IDLE_S_MAX)

    async def _await_room(self, stream: JetStreamContext, message_bytes: int, client: BusClient) -> bool:
        """Wait until a message can be stored without an unread one being dropped; False: time is up."""
        self._unchecked_bytes += message_bytes
        while self._unchecked_bytes > self._outlet.bytes_max * ROOM_SHARE:
            if await has_room(stream, self._outlet):
                self._unchecked_bytes = message_bytes
                break
            _log.error("a subscriber lags, events wait in the outbox", subscribers=self._outlet.subscribers)
            if client.is_due:
                return False
            await asyncio.sleep(AWAY_S)
        return True

    async def _read(self, place: Position) -> list[EventRow]:
        try:
            return await self._store.outbox_after(place, ROWS_MAX)
        except DATABASE_AWAY as fault:
            _log.warning("the database is away, events wait", fault=type(fault).__name__)
            await asyncio.sleep(AWAY_S)
            return []


async def settle_stream(stream: JetStreamContext, outlet: Outlet, replicas: int = 1) -> None:
    """Bring an existing stream to what is wanted here, or create it.

    Args:
        replicas: Nodes of the bus that keep a copy of it; consumers follow their stream.
    """
    wanted = api.StreamConfig(
        name=outlet.stream,
        subjects=list(outlet.subjects),
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.OLD,
        max_bytes=outlet.bytes_max,
        num_replicas=replicas,
        deny_delete=True,
    )
    try:
        # First, because the bus refuses to create what it has no disk left for, also where it exists.
        await stream.update_stream(wanted)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(wanted)


async def has_room(stream: JetStreamContext, outlet: Outlet) -> bool:
    """Whether the oldest messages, which the next ones would push out, have been read by every subscriber."""
    state = (await stream.stream_info(outlet.stream)).state
    if state.bytes < outlet.bytes_max * (1 - 2 * ROOM_SHARE):
        return True
    read_up_to = []
    for durable in outlet.subscribers:
        try:
            info = await stream.consumer_info(outlet.stream, durable)
        except nats.js.errors.NotFoundError:
            return False
        read_up_to.append(info.ack_floor.stream_seq if info.ack_floor is not None else 0)
    # Messages differ in size; a quarter of them is well above the share of bytes that may go.
    return min(read_up_to) >= state.first_seq + (state.last_seq - state.first_seq) // 4


async def read_place(stream: JetStreamContext, name: str) -> tuple[Position, int]:
    """Where to go on, and the sequence of the last message, by what the bus holds."""
    state = (await stream.stream_info(name)).state
    if state.messages == 0:
        return Position(), state.last_seq
    message = await stream.get_msg(name, seq=state.last_seq)
    return Position.parse((message.headers or {})[POSITION_HEADER]), state.last_seq


async def check_place(stream: JetStreamContext, name: str, last: int) -> None:
    """Look whether the bus still ends where we left it.

    Raises:
        BusMoved: It does not.
    """
    found = (await stream.stream_info(name)).state.last_seq
    if found != last:
        raise BusMoved(f"left at {last}, found at {found}")


async def store_message(stream: JetStreamContext, message: Message, last: int) -> int:
    """Store one message behind the message with sequence `last`; return its own sequence.

    Raises:
        BusMoved: The bus ends elsewhere.
    """
    headers = {
        POSITION_HEADER: str(message.position),
        api.Header.EXPECTED_LAST_SEQUENCE: str(last),
    }
    try:
        reach("payments.message_packed")
        acknowledged = await stream.publish(message.subject, message.body, headers=headers)
    except nats.js.errors.BadRequestError as fault:
        raise BusMoved(str(fault.description)) from fault
    reach("payments.message_published")
    counters.PUBLISHED.inc(message.events)
    return acknowledged.seq
