"""A cluster of three nodes under load: its leaders are killed one after the other, and no event is lost.

An older copy of the store loses none either, on the only node, on all of a cluster, or on one of it.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.nats_cluster import running_cluster
from tests.integration.payments.bus_feed import EVENTS, FACTS, FAILOVER_S_MAX, PAYMENTS, Feed, out_of_order
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_stack import until
from tests.integration.postgres_server import PostgresServer

ROUNDS = 3  # Of payments, before a leader is killed and while there is none.


@contextmanager
def feeding(
    paying: PaymentWorld, postgres: PostgresServer, database: str, folder: Path, nodes: int
) -> Iterator[Feed]:
    with running_cluster(folder / "bus", postgres.pki.certs, nodes) as cluster:
        yield Feed(paying, postgres, database, cluster, folder)


async def more_rounds(feed: Feed) -> None:
    wanted = feed.rounds + ROUNDS

    async def paid() -> bool:
        return feed.rounds >= wanted

    await until(paid, FAILOVER_S_MAX)


async def more_arrivals(feed: Feed) -> None:
    """Return once something has arrived that the subscriber did not have."""
    known = len(set(feed.taken))

    async def arrived() -> bool:
        return len(set(feed.taken)) > known

    await until(arrived, FAILOVER_S_MAX)


async def test_leaders_killed_under_load_cost_no_event(
    paying: PaymentWorld, postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    with feeding(paying, postgres, database, tmp_path, 3) as feed:
        async with feed.running(feed.relay_events, feed.subscribe):
            async with feed.running(feed.pay_for_ever):
                leader = await feed.leader_when_whole()
                for _ in range(2):
                    await more_rounds(feed)
                    feed.cluster.stop(leader, number=signal.SIGKILL)
                    await more_rounds(feed)
                    await feed.other_leaders(leader)
                    await more_arrivals(feed)
                    feed.cluster.start(leader)
                    leader = await feed.leader_when_whole()
                await more_rounds(feed)
            await until(feed.has_all_events, FAILOVER_S_MAX)
            held = await feed.published()
        committed = await feed.committed()

    assert committed.keys() == set(held)
    # The bus holds them in order. What was on its way to a subscriber when a leader died comes again once
    # ACK_WAIT_S is over, after what followed it: the sequence tells.
    assert [] == out_of_order(held)
    assert feed.rounds * PAYMENTS < len(set(feed.taken))


# Not two of three: a majority that forgot what it acknowledged is more than a cluster stands (DECISIONS).
@pytest.mark.parametrize(("nodes", "put_back"), [(1, 1), (3, 3), (3, 1)])
async def test_an_older_copy_of_the_store_loses_no_event(
    paying: PaymentWorld, postgres: PostgresServer, database: str, tmp_path: Path, nodes: int, put_back: int
) -> None:
    with feeding(paying, postgres, database, tmp_path, nodes) as feed:
        cluster, feed.outlets = feed.cluster, (EVENTS, FACTS)
        async with feed.running(feed.relay_events, feed.relay_facts, feed.subscribe, feed.count):

            async def pay_and_await() -> None:
                await feed.pay(ROUNDS)
                await until(feed.has_all_events, FAILOVER_S_MAX)
                await until(feed.has_all_facts, FAILOVER_S_MAX)
                if nodes > 1:
                    await feed.leader_when_whole()

            await pay_and_await()
            copied = await feed.committed()
            cluster.stop()
            old = [cluster.store(node) for node in cluster.nodes[:put_back]]
            for folder in old:
                shutil.copytree(folder, folder.with_name(f"{folder.name}.old"))
            cluster.start()
            await pay_and_await()
            lost = (await feed.committed()).keys() - copied.keys()
            cluster.stop(number=signal.SIGKILL)
            for folder in old:
                shutil.rmtree(folder)
                folder.with_name(f"{folder.name}.old").rename(folder)
            already = len(feed.taken)
            cluster.start()
            await pay_and_await()

            async def bus_has_everything() -> bool:
                return (await feed.committed()).keys() == set(await feed.published())

            await until(bus_has_everything, FAILOVER_S_MAX)
            held = await feed.published()

    assert [] == out_of_order(held)
    if put_back == nodes:
        # Nobody but the record knew of these any more: they were published, and came, a second time.
        assert lost <= set(feed.taken[already:])
