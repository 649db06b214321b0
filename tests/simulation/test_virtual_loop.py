"""Time, death, pauses and order in the loop that everything else relies on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.loop import Node, RealWorldUsed, Stalled, VirtualLoop, nothing_real


def live(make: Callable[[VirtualLoop], Coroutine[Any, Any, Any]], seed: int = 0) -> Any:
    """Run in a thread of its own: this one has a loop already."""
    results: list[Any] = []

    def run() -> None:
        loop = VirtualLoop(seed)
        try:
            results.append(loop.run_until_complete(make(loop)))
        except Exception as fault:  # noqa: BLE001 - handed to the test.
            results.append(fault)
        finally:
            loop.dispose()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_a_day_takes_no_time() -> None:
    async def sleep(loop: VirtualLoop) -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    began = time.monotonic()

    assert 86_400 == live(sleep)
    assert time.monotonic() - began < 5


def test_nothing_of_a_dead_node_runs_again_not_even_what_cleans_up() -> None:
    async def kill(loop: VirtualLoop) -> list[str]:
        done: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(10)
                done.append("worked")
            finally:
                done.append("cleaned up")

        node = Node("victim")
        loop.start(node, work)
        node.at_death.append(lambda: done.append("noticed"))
        await asyncio.sleep(5)
        loop.kill(node)
        await asyncio.sleep(10)
        return list(done)

    assert ["noticed"] == live(kill)


def test_a_paused_node_goes_on_where_it_stood_later() -> None:
    async def pause(loop: VirtualLoop) -> list[float]:
        times: list[float] = []

        async def work() -> None:
            for _ in range(2):
                await asyncio.sleep(1)
                times.append(loop.time())

        node = Node("sleeper")
        loop.start(node, work)
        await asyncio.sleep(0.5)
        node.is_paused = True
        await asyncio.sleep(99.5)
        loop.resume(node)
        await asyncio.sleep(10)
        return times

    assert [100.0, 101.0] == live(pause)


def test_the_seed_chooses_the_order_of_tasks_that_are_ready_at_once() -> None:
    async def race(_: VirtualLoop) -> tuple[int, ...]:
        order: list[int] = []

        async def arrive(number: int) -> None:
            await asyncio.sleep(1)
            order.append(number)

        await asyncio.gather(*(arrive(number) for number in range(6)))
        return tuple(order)

    assert live(race, 3) == live(race, 3)
    assert len({live(race, seed) for seed in range(8)}) > 4


def test_who_waits_for_nothing_is_noticed() -> None:
    async def wait(loop: VirtualLoop) -> None:
        await loop.create_future()

    assert isinstance(live(wait), Stalled)


def test_sleeping_for_real_and_threads_are_refused() -> None:
    with nothing_real():
        with pytest.raises(RealWorldUsed):
            time.sleep(0)
        with pytest.raises(RealWorldUsed):
            threading.Thread(target=print).start()

    async def thread(_: VirtualLoop) -> None:
        await asyncio.to_thread(print)

    assert isinstance(live(thread), RealWorldUsed)
