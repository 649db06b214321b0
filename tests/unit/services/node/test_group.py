"""Group commit: each item its own result, one flush at a time, bounded batches, shared faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.node.group import Group, GroupFull


class Ledger:
    """A flush that can be held open, and remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.under_way = 0
        self.under_way_max = 0

    async def flush(self, items: list[int]) -> Sequence[str]:
        self.batches.append(items)
        self.under_way += 1
        self.under_way_max = max(self.under_way, self.under_way_max)
        self.entered.set()
        await self.open.wait()
        self.under_way -= 1
        if any(item < 0 for item in items):
            raise ArithmeticError("negative")
        return [f"result {item}" for item in items]


@given(items=st.lists(st.integers(min_value=0), max_size=40), items_max=st.integers(min_value=1, max_value=9))
def test_each_item_gets_its_own_result_in_batches_within_the_bound(items: list[int], items_max: int) -> None:
    async def scenario() -> tuple[list[str], Ledger]:
        ledger = Ledger()
        ledger.open.set()
        group = Group[int, str](ledger.flush, items_max=items_max)
        return list(await asyncio.gather(*(group.submit(item) for item in items))), ledger

    results, ledger = asyncio.run(scenario())

    assert [f"result {item}" for item in items] == results
    assert items == [item for batch in ledger.batches for item in batch]
    assert all(1 <= len(batch) <= items_max for batch in ledger.batches)
    assert ledger.under_way_max <= 1


async def test_the_next_batch_collects_while_one_is_under_way() -> None:
    ledger = Ledger()
    group = Group[int, str](ledger.flush)
    first = asyncio.create_task(group.submit(1))
    await ledger.entered.wait()
    later = [asyncio.create_task(group.submit(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    ledger.open.set()

    assert ["result 1", "result 2", "result 3", "result 4"] == await asyncio.gather(first, *later)
    assert [[1], [2, 3, 4]] == ledger.batches
    assert 1 == ledger.under_way_max


async def test_a_fault_reaches_every_item_of_its_batch_and_no_other() -> None:
    ledger = Ledger()
    group = Group[int, str](ledger.flush, items_max=2)
    tasks = [asyncio.create_task(group.submit(item)) for item in (1, -2, 3, 4)]
    await ledger.entered.wait()
    ledger.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [[1, -2], [3, 4]] == ledger.batches
    assert [ArithmeticError, ArithmeticError] == [type(result) for result in results[:2]]
    assert ["result 3", "result 4"] == results[2:]


async def test_the_group_goes_on_after_a_fault() -> None:
    ledger = Ledger()
    ledger.open.set()
    group = Group[int, str](ledger.flush)
    with pytest.raises(ArithmeticError):
        await group.submit(-1)

    assert "result 5" == await group.submit(5)


@pytest.mark.parametrize("results", [[], ["one"], ["one", "two", "three"]])
async def test_a_flush_with_a_wrong_number_of_results_gives_nobody_a_result(results: list[str]) -> None:
    async def flush(_: list[int]) -> Sequence[str]:
        return results

    group = Group[int, str](flush)
    outcomes = await asyncio.gather(group.submit(1), group.submit(2), return_exceptions=True)

    assert [RuntimeError, RuntimeError] == [type(outcome) for outcome in outcomes]


async def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    ledger = Ledger()
    group = Group[int, str](ledger.flush)
    tasks = [asyncio.create_task(group.submit(item)) for item in (1, 2, 3)]
    await ledger.entered.wait()
    tasks[1].cancel()
    await asyncio.wait({tasks[1]})
    ledger.open.set()

    assert ["result 1", "result 3"] == [await tasks[0], await tasks[2]]
    assert tasks[1].cancelled()
    assert [[1, 2, 3]] == ledger.batches


async def test_more_than_may_wait_is_pushed_back() -> None:
    ledger = Ledger()
    group = Group[int, str](ledger.flush, items_max=1, pending_max=2)
    first = asyncio.create_task(group.submit(1))
    await ledger.entered.wait()
    waiting = [asyncio.create_task(group.submit(item)) for item in (2, 3)]
    await asyncio.sleep(0)

    with pytest.raises(GroupFull):
        await group.submit(4)

    ledger.open.set()
    assert ["result 1", "result 2", "result 3"] == await asyncio.gather(first, *waiting)


async def test_close_waits_for_everything_submitted() -> None:
    ledger = Ledger()
    group = Group[int, str](ledger.flush, items_max=1)
    tasks = [asyncio.create_task(group.submit(item)) for item in (1, 2)]
    await ledger.entered.wait()
    ledger.open.set()
    await group.close()

    assert [[1], [2]] == ledger.batches
    assert ["result 1", "result 2"] == [await task for task in tasks]


async def test_a_lone_first_item_waits_for_company_when_told_to() -> None:
    ledger = Ledger()
    ledger.open.set()
    group = Group[int, str](ledger.flush, linger_s=0.05)
    first = asyncio.create_task(group.submit(1))
    await asyncio.sleep(0)
    second = asyncio.create_task(group.submit(2))
    await asyncio.gather(first, second)

    assert [[1, 2]] == ledger.batches


async def test_a_flush_that_was_cancelled_leaves_nobody_waiting() -> None:
    calls: list[list[int]] = []

    async def flush(items: list[int]) -> Sequence[int]:
        calls.append(items)
        if 1 in items:
            raise asyncio.CancelledError
        return items

    group = Group[int, int](flush, items_max=2)
    tasks = [asyncio.create_task(group.submit(item)) for item in (1, 2, 3)]
    async with asyncio.timeout(5):
        await asyncio.wait(tasks)

    assert [True, True, False] == [task.cancelled() for task in tasks]
    assert 3 == tasks[2].result()
