from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.errors import CellUnavailable
from gateway.store.hearing import Hearing, Place

LONG_S = 30.0


class Outbox:
    """Events of merchants by place, and how often it was asked for them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.asked: list[Place | None] = []
        self.away = 0

    async def told_after(self, place: Place | None) -> tuple[Place, frozenset[str]]:
        self.asked.append(place)
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise CellUnavailable("away")
        end = (len(self.events), 0)
        return end, frozenset() if place is None else frozenset(self.events[place[0] :])


@asynccontextmanager
async def running(hearing: Hearing) -> AsyncIterator[None]:
    task = asyncio.create_task(hearing.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def test_a_listener_hears_of_its_own_merchant_alone() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after)
    async with running(hearing), hearing.listening("a", LONG_S) as one, hearing.listening("b", LONG_S) as two:
        assert one is not None
        assert two is not None
        outbox.events.append("a")

        assert await one.heard(LONG_S)
        assert not await two.heard(0.01)
        assert not await one.heard(0.01)


async def test_what_happens_between_listening_and_waiting_is_heard() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after)
    async with running(hearing), hearing.listening("a", LONG_S) as listener:
        outbox.events.append("a")
        await asyncio.sleep(0.3)

        assert listener is not None
        assert await listener.heard(0.01)


async def test_many_listeners_are_one_question_and_nobody_is_none() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after)
    async with running(hearing), AsyncExitStack() as stack:
        listeners = [
            await stack.enter_async_context(hearing.listening(f"m{n % 50}", LONG_S)) for n in range(500)
        ]
        outbox.events += [f"m{n}" for n in range(50)]
        heard = await asyncio.gather(*(each.heard(LONG_S) for each in listeners if each is not None))
        asked = len(outbox.asked)
        assert [True] * 500 == heard
        assert asked <= 6
        await stack.aclose()
        await asyncio.sleep(0.3)
        asked = len(outbox.asked)
        await asyncio.sleep(0.3)
        assert asked == len(outbox.asked)
        assert 0 == hearing.count


async def test_whoever_comes_back_after_nobody_listened_hears_of_nothing_old() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after)
    async with running(hearing):
        async with hearing.listening("a", LONG_S):
            pass
        await asyncio.sleep(0.3)
        outbox.events.append("a")
        async with hearing.listening("a", LONG_S) as listener:
            assert listener is not None
            assert not await listener.heard(0.25)


async def test_what_came_while_the_record_was_away_is_heard_when_it_is_back() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after)
    async with running(hearing), hearing.listening("a", LONG_S) as listener:
        outbox.away = 2
        outbox.events.append("a")

        assert listener is not None
        assert await listener.heard(LONG_S)


async def test_a_record_that_stays_away_lets_nobody_listen_for_longer_than_they_have() -> None:
    outbox = Outbox()
    outbox.away = 10**9
    hearing = Hearing(outbox.told_after)
    async with running(hearing), hearing.listening("a", 0.05) as listener:
        assert listener is None
    assert 0 == hearing.count


async def test_beyond_the_bounds_nobody_listens() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after, listeners_max=3, of_merchant_max=2)
    async with running(hearing), AsyncExitStack() as stack:
        found = [await stack.enter_async_context(hearing.listening(merchant, LONG_S)) for merchant in "aaabb"]

        assert [True, True, False, True, False] == [each is not None for each in found]


async def test_at_the_end_everybody_is_answered_and_nobody_waits_any_more() -> None:
    outbox = Outbox()
    hearing = Hearing(outbox.told_after)
    async with running(hearing), hearing.listening("a", LONG_S) as listener:
        assert listener is not None
        waiting = asyncio.create_task(listener.heard(LONG_S))
        await asyncio.sleep(0)
        hearing.stop()

        await asyncio.wait_for(waiting, 1)
        assert not await listener.heard(LONG_S)
        async with hearing.listening("b", LONG_S) as late:
            assert late is None
