"""What cannot be decided or written is passed over by every worker, and hides nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.payments.checks import Checks
from services.payments.config import TURN_ITEMS_MAX
from services.payments.machine.events import Decisions, Snapshot, VoidAsked
from services.payments.record import ASIDE_MAX, ASIDE_MIN, Decide, Work
from services.payments.store import Store
from tests.integration.payments.operators import ALICE, Operators
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import BANKS, Request
from tests.integration.payments.payments_stack import until
from tests.integration.payments.worker_surroundings import SomeBanks, accepted, open_payments, working
from tests.integration.postgres_server import PostgresServer

# More than a turn looks at to find whose turn it is.
DEFECTIVE = 4 * TURN_ITEMS_MAX + 40
_SPENT = "update payments.set_aside set until = now() - interval '1 s'"


@pytest.fixture
def operators(postgres: PostgresServer, database: str, tmp_path: Path) -> Operators:
    return Operators(postgres, database, tmp_path)


class _Stumbling(Store):
    """Its decisions cannot take a void of some payments, as a defect of ours would have it."""

    guilty: frozenset[str] = frozenset()
    stumbled = 0

    async def turn(self, work: Work, decide: Decide) -> Decisions:
        def stumble(snapshot: Snapshot) -> Decisions:
            decisions = decide(snapshot)
            if any(isinstance(e, VoidAsked) and e.payment_id in self.guilty for e in snapshot.events):
                self.stumbled += 1
                raise ZeroDivisionError("once\x00more")
            return decisions

        return await super().turn(work, stumble)


def _stumbling(paying: PaymentWorld, guilty: list[str]) -> _Stumbling:
    store = paying.store = _Stumbling(paying.pool)
    store.guilty = frozenset(guilty)
    return store


async def _void(paying: PaymentWorld, payments: list[str], source: str = "test") -> None:
    for first in range(0, len(payments), TURN_ITEMS_MAX):
        some = payments[first : first + TURN_ITEMS_MAX]
        bodies = [msgspec.json.encode(VoidAsked(payment_id=name, by="key")).decode() for name in some]
        await paying.world.owner.execute(
            "select payments.put_mail($1, $2, $3, $4)", some, bodies, [source] * len(some), some
        )


async def _asides(paying: PaymentWorld) -> list[dict[str, Any]]:
    rows = await paying.pool.fetch("select * from payments.asides(1000)")
    return [dict(row) for row in rows]


async def _done(paying: PaymentWorld, source: str) -> list[str]:
    rows = await paying.world.owner.fetch(
        "select result from payments.mail where source = $1 and result is not null", source
    )
    return [row["result"] for row in rows]


async def test_more_mails_set_aside_than_a_turn_looks_at_hide_no_others(paying: PaymentWorld) -> None:
    everything = await accepted(paying, DEFECTIVE + 20)
    guilty, others = everything[:DEFECTIVE], everything[DEFECTIVE:]
    await _void(paying, guilty)
    await _void(paying, others, "late")
    await paying.world.owner.execute(
        "select payments.put_aside(name, 'a mail', '1 min', '1 min') from unnest($1::text[]) name", guilty
    )

    assert set(others) == {payment.payment_id for payment in (await paying.waiting()).payments}
    assert [] == (await paying.waiting()).payments
    assert ["applied"] * len(others) == await _done(paying, "late")
    assert (len(guilty), []) == (await paying.store.asides(), await _done(paying, "test"))


async def test_another_worker_does_not_meet_it_anew(paying: PaymentWorld) -> None:
    [guilty, other] = await accepted(paying, 2)
    async with working(paying, SomeBanks()):
        await until(open_payments(paying), 30)
    await _void(paying, [guilty, other])
    store = _stumbling(paying, [guilty])
    async with working(paying, SomeBanks()):
        await until(_tried(paying, 1), 30)
    stumbled = store.stumbled
    row = await paying.world.payment(other)
    new = await paying.accept([Request(str(row["account_id"]), merchant=str(row["merchant_id"]))])
    async with working(paying, SomeBanks()):
        await until(open_payments(paying), 30)

    assert stumbled == store.stumbled
    assert "succeeded" == await paying.status(new[0])
    assert ["refused: state_conflict"] == await _done(paying, "test")


async def test_the_wait_grows_and_ends_with_the_first_success(paying: PaymentWorld) -> None:
    [guilty] = await accepted(paying, 1)
    async with working(paying, SomeBanks()):
        await until(open_payments(paying), 30)
    await _void(paying, [guilty])
    store = _stumbling(paying, [guilty])
    waits = []
    for times in range(1, 7):
        async with working(paying, SomeBanks()):
            await until(_tried(paying, times), 30)
        wait_s = "select extract(epoch from until - now()) from payments.set_aside"
        waits.append(float(await paying.world.owner.fetchval(wait_s)))
        await paying.world.owner.execute(_SPENT)
    store.guilty = frozenset()
    async with working(paying, SomeBanks()):
        await until(_nothing_aside(paying), 30)

    minutes = [1, 2, 4, 8, 15, 15]
    assert [True] * 6 == [m * 60 - 20 < w <= m * 60 for m, w in zip(minutes, waits, strict=True)], waits
    assert ["refused: state_conflict"] == await _done(paying, "test")
    assert 0 == await paying.world.owner.fetchval("select count(*) from payments.set_aside")


def _tried(paying: PaymentWorld, times: int) -> Any:
    async def tried() -> bool:
        rows = await _asides(paying)
        return bool(rows) and rows[0]["times"] == times

    return tried


def _nothing_aside(paying: PaymentWorld) -> Any:
    async def nothing() -> bool:
        return not await _asides(paying)

    return nothing


async def test_an_answer_is_recorded_though_its_payment_is_set_aside(paying: PaymentWorld) -> None:
    [name] = await accepted(paying, 1)
    await paying.submit()
    await paying.store.set_aside(name, "a mail")
    await paying.make_due()

    assert [] == (await paying.overdue(paying.orders[-1].bank)).orders
    await paying.answer_all()
    assert "succeeded" == await paying.status(name)


async def test_an_accepted_payment_that_is_set_aside_waits_and_the_others_do_not(
    paying: PaymentWorld,
) -> None:
    [aside, other] = await accepted(paying, 2)
    await paying.store.set_aside(aside, "a turn")

    assert [other] == [payment.payment_id for payment in (await paying.waiting()).payments]
    await paying.world.owner.execute(_SPENT)
    assert [aside] == [payment.payment_id for payment in (await paying.waiting()).payments]
    assert [] == await _asides(paying)


async def test_workers_that_stumble_at_once_count_as_one(paying: PaymentWorld) -> None:
    [name] = await accepted(paying, 1)
    await asyncio.gather(*(paying.store.set_aside(name, "a turn") for _ in range(4)))

    assert [1] == [row["times"] for row in await _asides(paying)]
    assert timedelta(minutes=1) == ASIDE_MIN < ASIDE_MAX


async def test_a_person_lists_what_is_set_aside_and_the_checks_count_it(
    paying: PaymentWorld, operators: Operators
) -> None:
    [name] = await accepted(paying, 1)
    nothing = await operators.run(ALICE, "aside", "list")
    await paying.store.set_aside(name, "VoidAsked: ZeroDivisionError: once?more")
    await Checks(paying.store, BANKS).check_open()

    listed = await operators.run(ALICE, "aside", "list", "--json")
    shown = await operators.run(ALICE, "aside", "list")
    assert (0, "nothing is set aside\n") == (nothing.code, nothing.output)
    assert [(name, 1)] == [(row["payment_id"], row["times"]) for row in listed.facts["set_aside"]]
    assert "ZeroDivisionError" in shown.output
