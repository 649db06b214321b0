from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from gateway.errors import CellUnavailable
from gateway.store.evidence import SignedCheckpoint
from gateway.store.published_log import CHECKPOINT_AGE_S_MAX, PublishedLog

WHOLE, PART = bytes(8192), bytes(96)


class CountedLog:
    """Answers like the record, one statement at a time, and counts the statements."""

    def __init__(self) -> None:
        self.statements: list[object] = []
        self.away = False

    async def published_checkpoint(self) -> SignedCheckpoint | None:
        self.statements.append("checkpoint")
        await asyncio.sleep(0)
        return SignedCheckpoint(len(self.statements), b"note")

    async def tiles(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        self.statements.append(set(places))
        await asyncio.sleep(0)
        if self.away:
            raise CellUnavailable("away")
        return {place: WHOLE if place == (0, 0) else PART for place in places if place != (9, 9)}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def log() -> CountedLog:
    return CountedLog()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def published(log: CountedLog, clock: Clock) -> PublishedLog:
    return PublishedLog(log, clock)  # type: ignore[arg-type]


async def test_a_thousand_askers_cost_two_statements_at_most(
    log: CountedLog, published: PublishedLog
) -> None:
    answers = await asyncio.gather(*(published.checkpoint() for _ in range(100)))
    answers += await asyncio.gather(*(published.checkpoint() for _ in range(900)))

    assert 1000 == len(answers)
    assert 2 >= len(log.statements)


async def test_a_checkpoint_is_as_fresh_as_promised(
    log: CountedLog, clock: Clock, published: PublishedLog
) -> None:
    first = await published.checkpoint()
    clock.now_s = CHECKPOINT_AGE_S_MAX
    second = await published.checkpoint()

    assert first is not None
    assert second is not None
    assert first.size < second.size


async def test_whole_tiles_are_remembered_and_growing_ones_are_not(
    log: CountedLog, published: PublishedLog
) -> None:
    for _ in range(3):
        assert (WHOLE, PART, b"") == (
            await published.tile(0, 0), await published.tile(0, 1), await published.tile(9, 9)
        )  # fmt: skip

    assert [{(0, 0)}, *[{(0, 1)}, {(9, 9)}] * 3] == log.statements


async def test_tiles_asked_for_at_once_are_one_statement(log: CountedLog, published: PublishedLog) -> None:
    await asyncio.gather(*(published.tile(0, index) for index in range(1, 60)))

    assert 1 == len(log.statements)


async def test_what_is_away_is_said_to_be_away(log: CountedLog, published: PublishedLog) -> None:
    log.away = True

    with pytest.raises(CellUnavailable):
        await published.tile(0, 1)
