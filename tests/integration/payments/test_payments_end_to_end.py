from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from pathlib import Path

from tests.integration.payments.payment_world import payment_world
from tests.integration.payments.payments_samples import Request, World, accept
from tests.integration.payments.payments_stack import Stack, until


async def _statuses(world: World, requests: list[Request]) -> list[str]:
    return [(await world.payment(request.payment_id))["status"] for request in requests]


async def test_each_awkward_bank_ends_in_one_outcome_and_at_most_one_charge(stack: Stack) -> None:
    world = stack.world
    merchant = await world.open_account("acc_awkward")
    instruments = {
        "tok_visa_ok": "succeeded",
        "tok_declined_insufficient_funds": "failed",
        "tok_slow": "succeeded",
        "tok_reset": "succeeded",
        "tok_timeout_then_success": "succeeded",
    }
    requests = [Request("acc_awkward", instrument=name, merchant=merchant) for name in instruments]
    await accept(world.gateway, requests)

    stack.add_engine("engine")
    await until(stack.all_ended, 30)

    assert list(instruments.values()) == await _statuses(world, requests)
    charges = Counter(line.end_to_end_id for line in await stack.charges([r.payment_id for r in requests]))
    assert {r.payment_id: 1 for r in requests if "declined" not in r.instrument} == charges
    unknown = [
        "accepted", "screening_passed", "submitted", "outcome_unknown", "outcome_resolved", "succeeded",
    ]  # fmt: skip
    assert unknown == await world.events(requests[3].payment_id)
    assert unknown == await world.events(requests[4].payment_id)
    assert 400 == (await world.account("acc_awkward"))["posted_minor"]
    assert [] == await world.faults()


async def test_killed_engines_lose_nothing_and_charge_nobody_twice(stack: Stack) -> None:
    world = stack.world
    async with payment_world(stack.server, stack.database) as paying:
        merchant = await paying.open_account("acc_killed", funds_minor=10_000)
    requests = [
        Request(
            "acc_killed", merchant=merchant, amount_minor=7,
            kind="payout" if n % 3 == 0 else "collect",
            instrument="tok_slow" if n % 2 else "tok_visa_ok",
        )
        for n in range(128)
    ]  # fmt: skip
    engines = [stack.add_engine("first"), stack.add_engine("second")]
    for start in range(0, len(requests), 32):
        await accept(world.gateway, requests[start : start + 32])

    async def some_are_under_way() -> bool:
        return bool(
            await world.owner.fetchval("select count(*) > 20 from payments.attempt where state = 'sending'")
        )

    await until(some_are_under_way, 20)
    for engine in engines:
        engine.stop(signal.SIGKILL)
    stack.add_engine("third")
    await until(stack.all_ended, 60)

    assert {"succeeded"} == set(await _statuses(world, requests))
    charges = await stack.charges([request.payment_id for request in requests])
    assert Counter({request.payment_id: 1 for request in requests}) == Counter(
        line.end_to_end_id for line in charges
    )
    assert [] == await world.faults()


async def test_a_bank_that_is_away_delays_its_own_payments_only_and_catches_up(stack: Stack) -> None:
    world = stack.world
    merchant = await world.open_account("acc_away")
    stack.programs["bank-alpha"].stop()
    requests = [Request("acc_away", merchant=merchant) for _ in range(40)]
    await accept(world.gateway, requests)
    stack.add_engine("engine")

    async def bravo_has_ended_and_alpha_waits() -> bool:
        counts = await world.owner.fetch(
            "select bank, status from payments.payment group by 1, 2 order by 1, 2"
        )
        return [tuple(row) for row in counts] == [("bank-alpha", "submitted"), ("bank-bravo", "succeeded")]

    await until(bravo_has_ended_and_alpha_waits, 20)
    # By now enough calls have been refused in a row: what comes next all goes to the bank that is there.
    later = [Request("acc_away", merchant=merchant) for _ in range(20)]
    await accept(world.gateway, later)

    async def later_ones_have_ended() -> bool:
        return await _statuses(world, later) == ["succeeded"] * 20

    await until(later_ones_have_ended, 10)
    requests += later
    stack.programs["bank-alpha"].start()
    await until(stack.all_ended, 10)

    charges = await stack.charges([request.payment_id for request in requests])
    assert 60 == len({line.end_to_end_id for line in charges}) == len(charges)
    assert [] == await world.faults()


async def test_a_stopping_engine_finishes_its_calls_and_exits_cleanly(stack: Stack) -> None:
    world = stack.world
    merchant = await world.open_account("acc_stop")
    request = Request("acc_stop", merchant=merchant, instrument="tok_slow")
    engine = stack.add_engine("engine")
    await accept(world.gateway, [request])

    async def is_submitted() -> bool:
        payment = await world.payment(request.payment_id)
        return str(payment["status"]) == "submitted"

    await until(is_submitted, 20)
    code = await asyncio.to_thread(engine.stop)

    assert 0 == code
    assert "succeeded" == (await world.payment(request.payment_id))["status"]


async def test_every_event_reaches_the_bus_in_order_even_when_it_is_wiped_or_loses_its_tail(
    stack: Stack, tmp_path: Path
) -> None:
    world = stack.world
    merchants = {n: await world.open_account(f"acc_bus_{n}") for n in range(3)}

    async def pay(many: int) -> None:
        await accept(
            world.gateway, [Request(f"acc_bus_{n % 3}", merchant=merchants[n % 3]) for n in range(many)]
        )
        await until(stack.all_ended, 20)

    async def bus_holds_everything() -> bool:
        rows = await world.owner.fetch("select payment_id, sequence from payments.event")
        try:
            events = await stack.published()
        except Exception:  # noqa: BLE001 - the bus is being started, or its stream made: ask again
            return False
        return {tuple(row) for row in rows} == {(e["payment_id"], e["sequence"]) for e in events}

    stack.add_engine("engine")
    await pay(30)
    await until(bus_holds_everything, 20)

    # The bus loses an acknowledged tail: an older copy of its files comes back.
    stack.bus.stop()
    shutil.copytree(tmp_path / "nats" / "store", tmp_path / "old")
    stack.bus.start()
    await pay(30)
    await until(bus_holds_everything, 20)
    stack.bus.stop(signal.SIGKILL)
    stack.bus.wipe()
    shutil.copytree(tmp_path / "old", tmp_path / "nats" / "store")
    stack.bus.start()
    await until(bus_holds_everything, 20)

    # The bus loses everything.
    stack.bus.stop(signal.SIGKILL)
    stack.bus.wipe()
    stack.bus.start()
    await until(bus_holds_everything, 20)
    await pay(3)
    await until(bus_holds_everything, 20)

    events = await stack.published()
    seen: dict[str, int] = {}
    for event in events:
        if event["sequence"] > seen.get(event["payment_id"], 0):
            assert seen.get(event["payment_id"], 0) + 1 == event["sequence"]
            seen[event["payment_id"]] = event["sequence"]
    first = events[0]
    assert f"evt_{first['payment_id'].removeprefix('pay_')}_{first['sequence']}" == first["id"]
    assert "Z" == first["at"][-1]
