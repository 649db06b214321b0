"""Payments that go on, the relays of both streams, and subscribers that remember what they were given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import ClusterInfo

from services.node.bus import connect_bus
from services.node.config_file import NodeConfig
from services.node.postgres import open_pool
from services.node.subscriber import Subscriber, Subscription
from services.notifications.events import Event
from services.notifications.events import parse_message as parse_events
from services.payments.outlets import Outlet, outlets_for
from services.payments.relay import Relay
from services.payments.store import Store
from services.reporting.facts import Fact
from services.reporting.facts import parse_message as parse_facts
from tests.integration.nats_cluster import NatsCluster
from tests.integration.node.mtls import node_config
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request
from tests.integration.payments.payments_stack import until
from tests.integration.postgres_server import PostgresServer

MERCHANTS = 5
PAYMENTS = 20  # Of one round, of which each has several events in three transactions.
# A new leader is chosen within 4 to 9 s, and the host may be busy.
FAILOVER_S_MAX = 90.0
[EVENTS, FACTS] = outlets_for({"EVENTS": ["notifications"], "FACTS": ["reporting"]})


@dataclass
class Feed:
    """Everything from the outbox to two subscribers.

    Attributes:
        outlets: Which streams run, for who asks about the state of the cluster.
        taken: Payment and sequence of each event in the order in which it came, repeats included.
        counted: The row of each fact, likewise.
        rounds: Of payments, so far.
    """

    paying: PaymentWorld
    postgres: PostgresServer
    database: str
    cluster: NatsCluster
    folder: Path
    outlets: tuple[Outlet, ...] = (EVENTS,)
    taken: list[tuple[str, int]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    rounds: int = 0
    _merchants: dict[str, str] = field(default_factory=dict)

    def node(self, name: str) -> NodeConfig:
        return node_config(self.postgres.pki, name, self.folder, age_s_max=10.0)

    async def pay(self, rounds: int = 1) -> None:
        """Payments of several merchants, each to its end."""
        for number in range(MERCHANTS - len(self._merchants)):
            account = f"acc_{number}"
            self._merchants[account] = await self.paying.open_account(account)
        accounts = list(self._merchants)
        for _ in range(rounds):
            chosen = [accounts[number % MERCHANTS] for number in range(PAYMENTS)]
            await self.paying.accept([Request(a, merchant=self._merchants[a]) for a in chosen])
            await self.paying.submit()
            await self.paying.answer_all()
            self.rounds += 1

    async def pay_for_ever(self) -> None:
        while True:
            await self.pay()

    async def relay_events(self) -> None:
        await self._relay(EVENTS.stream)

    async def relay_facts(self) -> None:
        await self._relay(FACTS.stream)

    async def _relay(self, stream: str) -> None:
        [outlet] = [outlet for outlet in (EVENTS, FACTS) if outlet.stream == stream]
        config, place = self.node("payments"), self.postgres.reach("payments", self.database)
        async with open_pool(config, place, connections_max=2) as pool:
            await Relay(config, self.cluster.reach(), Store(pool), outlet).run()

    async def subscribe(self) -> None:
        """Read events as the notifications service does."""

        async def take(events: Sequence[Event]) -> None:
            self.taken += [(event.payment_id, event.sequence) for event in events]

        own = Subscription(EVENTS.stream, "notifications", parse_events, take)
        await Subscriber(self.node("notifications"), self.cluster.reach(), own).run()

    async def count(self) -> None:
        """Read facts as the reporting service does."""

        async def take(facts: Sequence[Fact]) -> None:
            self.counted += [fact.row for fact in facts]

        own = Subscription(FACTS.stream, "reporting", parse_facts, take)
        await Subscriber(self.node("reporting"), self.cluster.reach(), own).run()

    @asynccontextmanager
    async def running(self, *parts: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Let these go on until the context ends; one that ends by itself fails the test."""
        tasks = [asyncio.ensure_future(part()) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    async def committed(self) -> dict[tuple[str, int], str]:
        """Payment and sequence of every event of the record, and its row."""
        rows = await self.paying.world.owner.fetch(
            "select payment_id, sequence, xid::text || '.' || position as row from payments.event"
        )
        return {(row["payment_id"], row["sequence"]): row["row"] for row in rows}

    async def has_all_events(self) -> bool:
        """Whether the subscriber was given all that was committed, and nothing else."""
        return (await self.committed()).keys() == set(self.taken)

    async def has_all_facts(self) -> bool:
        return set((await self.committed()).values()) == set(self.counted)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[JetStreamContext]:
        client = await connect_bus(self.node("payments"), self.cluster.reach())
        try:
            yield client.jetstream(timeout=2)
        finally:
            await client.close()

    async def groups(self) -> list[ClusterInfo]:
        """Who leads and who follows: of each stream, and of its subscriber; empty if nobody says."""
        found: list[ClusterInfo | None] = []
        try:
            async with asyncio.timeout(3), self.asking() as stream:
                for outlet in self.outlets:
                    found.append((await stream.stream_info(outlet.stream)).cluster)
                    found.append((await stream.consumer_info(outlet.stream, outlet.subscribers[0])).cluster)
        except (nats.errors.Error, TimeoutError):
            return []  # No leader answers, or there is no stream yet.
        return [group for group in found if group is not None and group.leader]

    async def leader_when_whole(self) -> str:
        """Wait until every node has all that the others have; return who leads the first stream.

        Of three copies one may be lost. One that has not come up again counts: its subscriber's place, too.
        """

        async def is_whole() -> bool:
            found.append(await self.groups())
            followers = [follower for group in found[-1] for follower in group.replicas or []]
            wanted = 2 * len(self.outlets) * (len(self.cluster.nodes) - 1)
            return len(followers) == wanted and all(f.current and not f.offline for f in followers)

        found: list[list[ClusterInfo]] = []
        await until(is_whole, FAILOVER_S_MAX)
        return str(found[-1][0].leader)

    async def other_leaders(self, than: str) -> None:
        """Wait until streams and subscribers are led by others."""

        async def are_led() -> bool:
            others = [group for group in await self.groups() if group.leader != than]
            return len(others) == 2 * len(self.outlets)

        await until(are_led, FAILOVER_S_MAX)

    async def published(self) -> list[tuple[str, int]]:
        """Payment and sequence of every event that the stream holds, in its order."""
        events: list[tuple[str, int]] = []
        async with self.asking() as stream:
            state = (await stream.stream_info(EVENTS.stream)).state
            for sequence in range(state.first_seq, state.last_seq + 1):
                message = await stream.get_msg(EVENTS.stream, seq=sequence)
                found = msgspec.json.decode(message.data or b"")["events"]
                events += [(event["payment_id"], event["sequence"]) for event in found]
        return events


def out_of_order(events: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """What came, apart from repeats, before what precedes it in its payment."""
    seen: dict[str, int] = {}
    early = []
    for payment, sequence in dict.fromkeys(events):
        if sequence != seen.get(payment, 0) + 1:
            early.append((payment, sequence))
        seen[payment] = sequence
    return early
