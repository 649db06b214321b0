from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest_asyncio

from gateway.store.revocations import CHANNEL, CONNECTIONS_MAX, HELD_S_MAX, Revocations
from services.node.postgres import open_pool
from signing import SigningKey
from tests.integration.gateway.gateway_stack import START_S_MAX, Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, payment_request, problem
from tests.integration.gateway.second_worker import second_worker
from tests.integration.gateway.test_gateway_key_commands import register, revoke

COUNTS_S_MAX = 1.0  # What is promised: from the commit to the refusal on every worker.
QUIET_S = 0.05


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(stack: Gateway) -> AsyncIterator[Gateway]:
    async with second_worker(stack) as worker:
        yield worker


async def read_status(worker: Gateway, merchant: Merchant) -> int:
    """What a read is answered: no transaction looks at the key again, memory alone decides."""
    answer = await worker.ask(get("/v1/keys"), merchant)
    return answer.status


async def until_refused(worker: Gateway, merchant: Merchant) -> float:
    """Read again and again; return the seconds until the key was not good any more."""
    began = time.monotonic()
    while time.monotonic() < began + 3 * COUNTS_S_MAX:
        if await read_status(worker, merchant) == 401:
            return time.monotonic() - began
        await asyncio.sleep(QUIET_S)
    raise AssertionError("the revoked key still reads")


async def test_a_revocation_counts_within_a_second_on_a_worker_that_knows_the_key_by_heart(
    stack: Gateway, other: Gateway
) -> None:
    merchant = await stack.enrol("Heard", "EUR")
    for _ in range(3):
        lost, _ = await register(stack, merchant)
        assert 200 == await read_status(other, lost)

        answer = await revoke(stack, merchant, lost.key.key_id)

        assert 200 == answer.status
        assert COUNTS_S_MAX > await until_refused(other, lost)


async def test_an_operators_revocation_is_heard_as_well(stack: Gateway, other: Gateway) -> None:
    merchant = await stack.enrol("Operated", "EUR")
    assert 200 == await read_status(other, merchant)

    done = await asyncio.to_thread(stack.operate, "revoke-key", merchant.key.key_id, "--reason", "asked for")

    assert 0 == done.returncode, done.stderr
    assert COUNTS_S_MAX > await until_refused(other, merchant)


async def test_a_worker_that_was_deaf_when_a_key_was_revoked_knows_it_a_second_later(
    stack: Gateway, other: Gateway
) -> None:
    merchant = await stack.enrol("Deaf", "EUR")
    lost, _ = await register(stack, merchant)
    await other.await_ready()
    assert 200 == await read_status(other, lost)

    await other.relay.cut()
    await revoke(stack, merchant, lost.key.key_id)
    committed = time.monotonic()
    await other.relay.mend()
    answers = []
    while time.monotonic() < committed + 3 * COUNTS_S_MAX:
        asked = time.monotonic()
        answers.append((asked - committed > COUNTS_S_MAX, await read_status(other, lost)))
        await asyncio.sleep(QUIET_S)

    # 503 is the record that is not reached again yet: what cannot be known is not accepted.
    assert {401, 503} >= {status for is_late, status in answers if is_late}
    assert 401 == answers[-1][1]


class Hearing:
    """Who remembers keys: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.beginnings = 0
        self.until = 0.0

    def forget(self, key_id: str) -> None:
        self.told.append(key_id)

    def hear_from_now(self) -> None:
        self.beginnings += 1

    def hear_until(self, moment: float) -> None:
        self.until = moment

    async def once(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S_MAX
        while not what():
            assert time.monotonic() < deadline
            await asyncio.sleep(QUIET_S)


@asynccontextmanager
async def hearing(
    worker: Gateway, age_s_max: float, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Hearing]:
    heard = Hearing()
    async with open_pool(worker.config, worker.config.postgres, connections_max=CONNECTIONS_MAX) as pool:
        task = asyncio.create_task(Revocations(pool, heard, age_s_max, clock).run())
        try:
            await heard.once(lambda: heard.until > 0)
            yield heard
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_connections_that_follow_each_other_leave_no_gap_between_them(other: Gateway) -> None:
    owner = await other.server.connect("migrator", other.database)
    # One connection follows the other every two seconds, and none is so old that it is cut on a busy machine.
    async with hearing(other, 300.0) as heard:
        names = [f"key-{number}" for number in range(300)]
        for name in names:
            await owner.execute("select pg_notify($1, $2)", CHANNEL, name)
            await asyncio.sleep(0.02)
        await heard.once(lambda: set(names) <= set(heard.told))
    await owner.close()

    assert 1 == heard.beginnings


async def test_a_connection_that_was_dead_when_its_time_was_over_hands_nothing_on(other: Gateway) -> None:
    ahead_s = 0.0
    async with hearing(other, 300.0, lambda: time.monotonic() + ahead_s) as heard:
        await heard.once(lambda: heard.until > 0)
        proved_until = heard.until
        await heard.once(lambda: heard.until > proved_until)
        # It was proved a moment ago and is not proved again: its time is over when it is next looked at.
        ahead_s = 2 * HELD_S_MAX
        await other.relay.cut()
        await other.relay.mend()
        await heard.once(lambda: heard.beginnings > 1)


async def test_whoever_is_cut_off_is_not_proved_to_hear_and_begins_anew(other: Gateway) -> None:
    async with hearing(other, 300.0) as heard:
        await other.relay.cut()
        cut = time.monotonic()
        await heard.once(lambda: time.monotonic() > heard.until)
        deaf_after_s = time.monotonic() - cut
        await other.relay.mend()
        await heard.once(lambda: time.monotonic() < heard.until)

    assert COUNTS_S_MAX > deaf_after_s
    assert 2 == heard.beginnings


async def test_a_revoked_key_accepts_nothing_from_its_revocation_on_whatever_is_remembered(
    stack: Gateway, other: Gateway
) -> None:
    merchant = await stack.enrol("Strict", "EUR")
    lost, _ = await register(stack, merchant, new=SigningKey.generate("ed25519"))
    assert 202 == (await other.ask(payment_request(), lost)).status

    await revoke(stack, merchant, lost.key.key_id)
    answer = await other.ask(payment_request(), lost)

    assert (401, "key_revoked") == (answer.status, problem(answer)["code"])
