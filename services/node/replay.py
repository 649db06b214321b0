"""Read a stream of the bus again from a time on, for a subscriber whose store has lost something.

Beside the subscriber's own consumer, which goes on undisturbed: a second one with a name of its own, which
is deleted at the end, or forgotten by the bus. What is still known is known by the same deduplication as any
repeat. Promises: what was read is committed before it is acknowledged; it ends when everything that the bus
held is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext, api

from services.node.bus import connect_bus
from services.node.config_file import ConfigT, NatsConfig, NodeConfig
from services.node.errors import ReplayStuck
from services.node.logs import set_up_logs
from services.node.process import load_or_exit
from services.node.subscriber import ACK_WAIT_S, API_S_MAX, FETCH_MAX, ItemT, Subscription, commit_messages

EXIT_CODES = "exit codes: 0 read to the end, 1 stopped before it, 2 wrong usage, 3 no usable configuration"
CONSUMER_SUFFIX = "-replay"  # The bus lets each subscriber at its own (`compose/bus_subjects.py`).
# The bus forgets the consumer so long after its last request: a slow commit must not lose it.
FORGOTTEN_S = 60.0
FETCH_S_MAX = 1.0
# In a row, each with a rest of half a second: a restart of the store passes, and nobody waits for ever.
FAILURES_MAX = 60
# How often a person is told how far it came.
TELL_S = 1.0


@dataclass
class Replayed:
    """How far a replay came.

    Attributes:
        messages, items, refused: How many were read; items that were known already are among them.
        oldest: When the first message was published; None if there was none.
        is_beginning: Whether that was the first one that the stream ever had.
        left: Messages that are still to be read.
    """

    messages: int = 0
    items: int = 0
    refused: int = 0
    oldest: datetime | None = None
    is_beginning: bool = False
    left: int = 0


async def replay(
    config: NodeConfig,
    bus: NatsConfig,
    subscription: Subscription[ItemT],
    since: datetime,
    tell: Callable[[Replayed], None] = lambda _: None,
) -> Replayed:
    """Take everything that the bus holds since a time, once more.

    Args:
        config: Identity of the subscriber.
        bus: Where NATS is.
        subscription: What it reads, and where that goes.
        since: With its time zone; by when messages were published.
        tell: Called about once a second.

    Raises:
        nats.errors.Error: The bus went away, or has no such stream; what was read is committed.
        ReplayStuck: The store took nothing for too long.
    """
    client = await connect_bus(config, bus)
    try:
        stream = client.jetstream(timeout=API_S_MAX)
        name = subscription.durable + CONSUMER_SUFFIX
        await _forget(stream, subscription.stream, name)  # An earlier replay that did not end.
        await stream.add_consumer(
            subscription.stream,
            name=name,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            deliver_policy=api.DeliverPolicy.BY_START_TIME,
            opt_start_time=since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            inactive_threshold=FORGOTTEN_S,
        )
        pulling = await stream.pull_subscribe_bind(durable=name, stream=subscription.stream)
        done = await _read_all(pulling, subscription, tell)
        await _forget(stream, subscription.stream, name)
        return done
    finally:
        await client.close()


async def _forget(stream: JetStreamContext, of_stream: str, name: str) -> None:
    with suppress(nats.js.errors.NotFoundError):
        await stream.delete_consumer(of_stream, name)


async def _read_all(
    pulling: JetStreamContext.PullSubscription,
    subscription: Subscription[ItemT],
    tell: Callable[[Replayed], None],
) -> Replayed:
    """Read up to what was the stream's last message when the first one came."""
    done, now = Replayed(), asyncio.get_running_loop().time
    told, failures = now(), 0
    owed: set[int] = set()
    read: set[int] = set()
    while True:
        try:
            messages = await pulling.fetch(FETCH_MAX, timeout=FETCH_S_MAX)
        except nats.errors.TimeoutError:
            messages = []
        if messages:
            first = messages[0].metadata
            if done.oldest is None:
                done.oldest, done.is_beginning = first.timestamp, first.sequence.stream == 1
                owed = set(range(first.sequence.stream, first.sequence.stream + first.num_pending + 1))
            committed = await commit_messages(subscription, messages)
            failures = 0 if committed.is_all else failures + 1
            if failures == FAILURES_MAX:
                raise ReplayStuck(f"the store took nothing, {failures} times in a row")
            if committed.is_all:
                sequences = {message.metadata.sequence.stream for message in messages}
                read |= sequences
                owed -= sequences
            done.items += committed.items
            done.refused += committed.refused
            done.messages, done.left = len(read), len(owed)
        is_over = not owed if messages else not await _is_owed(pulling)
        if is_over or now() - told > TELL_S:
            tell(done)
            told = now()
        if is_over:
            return done


async def _is_owed(pulling: JetStreamContext.PullSubscription) -> bool:
    info = await pulling.consumer_info()
    return bool((info.num_pending or 0) + (info.num_ack_pending or 0))


def run_replay(
    kind: type[ConfigT],
    reading: Callable[[ConfigT], AbstractAsyncContextManager[Subscription[ItemT]]],
    bus_of: Callable[[ConfigT], NatsConfig],
    module: str,
) -> NoReturn:
    """The command of a subscriber: read the arguments, replay, say how far it came; never returns."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", epilog=EXIT_CODES,
        description="Read what the bus holds since a time once more, beside the running service.",
    )  # fmt: skip
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the service's own")
    parser.add_argument(
        "--since", required=True, type=_moment, metavar="TIME", help="such as 2026-11-28T09:00:00Z"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    arguments = parser.parse_args()
    config = load_or_exit(arguments.config, kind, module)
    set_up_logs(config.name, "error")

    def tell(done: Replayed) -> None:
        if not arguments.json:
            sys.stderr.write(f"{done.messages:,} messages read, {done.left:,} to go\n")

    async def main() -> Replayed:
        async with reading(config) as subscription:
            return await replay(config, bus_of(config), subscription, arguments.since, tell)

    try:
        done = asyncio.run(main())
    except (nats.errors.Error, nats.js.errors.Error, OSError, ReplayStuck) as fault:
        name = type(fault).__name__
        sys.stderr.write(f"{module}: the bus or the store went away ({name}): run it again\n")
        raise SystemExit(1) from None
    sys.stdout.write((_as_json(done) if arguments.json else _as_text(done, arguments.since)) + "\n")
    raise SystemExit(0)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, such as Z")
    return moment


def _as_text(done: Replayed, since: datetime) -> str:
    if done.oldest is None:
        return f"the bus holds nothing since {since.isoformat()}"
    reach = (
        "which was the first of all" if done.is_beginning else "whether the bus held older ones is unknown"
    )
    return (
        f"{done.messages:,} messages with {done.items:,} items were read again, {done.refused:,} refused;\n"
        f"the oldest is of {done.oldest.isoformat(timespec='seconds')}, {reach}"
    )


def _as_json(done: Replayed) -> str:
    return json.dumps(
        {
            "messages": done.messages, "items": done.items, "refused": done.refused,
            "oldest": None if done.oldest is None else msgspec.to_builtins(done.oldest),
            "is_beginning": done.is_beginning,
        }
    )  # fmt: skip
