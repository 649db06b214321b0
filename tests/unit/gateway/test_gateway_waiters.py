from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from gateway.errors import CellUnavailable
from gateway.store.waiting import Waiting

LONG_S = 30.0


class Record:
    """Payments that rest or do not, and how often it was asked for them."""

    def __init__(self) -> None:
        self.rested: set[str] = set()
        self.asked: list[tuple[tuple[str, str], ...]] = []
        self.away = False

    async def resting(self, pairs: Collection[tuple[str, str]]) -> set[str]:
        self.asked.append(tuple(pairs))
        if self.away:
            raise CellUnavailable("away")
        return self.rested & {payment_id for _, payment_id in pairs}


@asynccontextmanager
async def running(waiting: Waiting) -> AsyncIterator[None]:
    task = asyncio.create_task(waiting.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def test_everybody_who_waits_is_asked_for_together() -> None:
    record = Record()
    waiting = Waiting(record.resting)
    async with running(waiting):
        tasks = [
            asyncio.create_task(waiting.until_rest(f"m{n % 50}", f"p{n % 50}", LONG_S)) for n in range(200)
        ]
        await asyncio.sleep(0)
        record.rested = {f"p{n}" for n in range(50)}

        assert [True] * 200 == await asyncio.gather(*tasks)

    assert {50} == {len(pairs) for pairs in record.asked}
    assert len(record.asked) <= 3
    assert 0 == waiting.count


async def test_the_record_is_not_asked_while_nobody_waits() -> None:
    record = Record()
    waiting = Waiting(record.resting)
    async with running(waiting):
        assert await waiting.until_rest("m", "p", 0.01)
        asked = len(record.asked)
        await asyncio.sleep(0.2)

        assert len(record.asked) <= asked + 1


async def test_time_ends_a_wait_while_the_record_is_away() -> None:
    record = Record()
    record.away = True
    waiting = Waiting(record.resting)
    async with running(waiting):
        assert await waiting.until_rest("m", "p", 0.15)

    assert record.asked


async def test_no_more_wait_than_may() -> None:
    record = Record()
    waiting = Waiting(record.resting, waiters_max=2)
    async with running(waiting):
        tasks = [asyncio.create_task(waiting.until_rest("m", "p", LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)

        assert not await waiting.until_rest("m", "q", LONG_S)
        record.rested = {"p"}
        assert [True, True] == await asyncio.gather(*tasks)
        assert await waiting.until_rest("m", "p", LONG_S)


async def test_one_merchant_takes_no_more_than_its_part_of_the_places() -> None:
    waiting = Waiting(Record().resting, waiters_max=3, of_merchant_max=2)
    async with running(waiting):
        tasks = [asyncio.create_task(waiting.until_rest("m", f"p{n}", LONG_S)) for n in range(2)]
        await asyncio.sleep(0)

        assert not await waiting.until_rest("m", "p2", LONG_S)
        assert await waiting.until_rest("n", "p3", 0.01)
        waiting.stop()
        assert [True, True] == await asyncio.gather(*tasks)
    assert 0 == waiting.count


async def test_a_process_that_stops_lets_nobody_wait() -> None:
    waiting = Waiting(Record().resting)
    async with running(waiting):
        task = asyncio.create_task(waiting.until_rest("m", "p", LONG_S))
        await asyncio.sleep(0)

        waiting.stop()

        assert await task
        assert not await waiting.until_rest("m", "p", LONG_S)


async def test_a_sender_that_goes_away_leaves_no_waiter_behind() -> None:
    waiting = Waiting(Record().resting)
    async with running(waiting):
        task = asyncio.create_task(waiting.until_rest("m", "p", LONG_S))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

        assert (True, 0) == (task.cancelled(), waiting.count)
