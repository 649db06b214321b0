"""Settlement files against the record: breaks are listed, and late successes go back by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.banks.messages import SettlementLine, SettlementPage
from services.payments import reconciler as reconciling
from services.payments.machine.events import BankTold, Order
from services.payments.reconciler import Reconciler
from services.payments.settlement_store import SettlementStore
from tests.integration.payments.operators import ALICE, Operators
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request
from tests.integration.payments.payments_stack import until
from tests.integration.postgres_server import PostgresServer

AT_ONCE = timedelta(0)
MUCH_LATER = timedelta(days=2)


class Files:
    """The settlement files of all banks, written by the test."""

    def __init__(self) -> None:
        self.lines: list[SettlementLine] = []
        self.faults: list[Exception] = []  # Each instead of one answer.

    def write(self, order: Order, **differently: Any) -> None:
        facts: dict[str, Any] = {
            "line": len(self.lines) + 1, "attempt_id": order.attempt_id, "end_to_end_id": order.payment_id,
            "operation": order.operation, "amount_minor": order.amount_minor, "fee_minor": 10,
            "currency": order.currency, "bank_reference": "REF-1", "value_date": "2026-11-26",
        }  # fmt: skip
        self.lines.append(SettlementLine(**facts | differently))

    async def settlement(self, bank: str, after_line: int, lines_max: int) -> SettlementPage:  # noqa: ARG002 - one file
        if self.faults:
            raise self.faults.pop()
        return SettlementPage([line for line in self.lines if line.line > after_line][:lines_max])


@pytest.fixture
def files() -> Files:
    return Files()


def reconciler(paying: PaymentWorld, files: Files, within: timedelta = MUCH_LATER) -> Reconciler:
    return Reconciler(SettlementStore(paying.pool), files, "bank-alpha", within)


async def charged(paying: PaymentWorld, account: str, number: int = 1) -> list[Order]:
    merchant = await paying.open_account(account)
    await paying.accept([Request(account, merchant=merchant, amount_minor=300) for _ in range(number)])
    orders: Sequence[Order] = await paying.submit()
    assert {"bank-alpha"} == {order.bank for order in orders}
    return list(orders)


async def breaks(paying: PaymentWorld) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await paying.world.owner.fetch(
        "select * from payments.settlement_break order by break_id"
    )
    return rows


async def test_lines_that_agree_open_nothing_and_are_read_once(paying: PaymentWorld, files: Files) -> None:
    orders = await charged(paying, "acc_agree", 300)
    await paying.answer_all()
    for order in orders:
        files.write(order)

    read = await reconciler(paying, files).reconcile()
    again = await reconciler(paying, files, AT_ONCE).reconcile()

    assert (300, 0) == (read, again)
    assert [] == await breaks(paying)
    assert [] == await paying.faults()


async def test_a_file_that_makes_no_sense_ends_nothing(
    paying: PaymentWorld, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    [order] = await charged(paying, "acc_nonsense")
    await paying.answer_all()
    files.write(order)
    files.faults.append(ValueError("no page at all"))
    monkeypatch.setattr(reconciling, "PERIOD_S", 0.0)
    running = asyncio.create_task(reconciler(paying, files).run())

    async def is_read() -> bool:
        return bool(await SettlementStore(paying.pool).settled_until("bank-alpha"))

    try:
        await until(is_read, 20)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert [] == files.faults
    assert [] == await breaks(paying)


async def test_a_late_success_is_given_back_and_its_break_closes(paying: PaymentWorld, files: Files) -> None:
    [order] = await charged(paying, "acc_lateness")
    await paying.answer_all("declined")
    files.write(order)

    await reconciler(paying, files).reconcile()
    [late] = await breaks(paying)
    decided = await paying.waiting()
    [refund] = decided.orders
    await paying.answer_all()
    await reconciler(paying, files).reconcile()

    [closed] = await breaks(paying)
    assert ("late", None) == (late["kind"], late["closed_at"])
    assert ("refund", order.amount_minor) == (refund.operation, refund.amount_minor)
    assert ("engine", late["break_id"]) == (closed["closed_by"], closed["break_id"])
    told = [kind for kind, _ in await paying.story(order.payment_id)]
    assert ["payment.failed", "payment.late_success"] == told[3:5]
    assert "refund.succeeded" == told[-1]
    assert "failed" == await paying.status(order.payment_id)
    assert [] == await paying.faults()


async def test_a_line_resolves_what_was_unknown(paying: PaymentWorld, files: Files) -> None:
    [order] = await charged(paying, "acc_resolved")
    await paying.answer_all("unknown")
    files.write(order)

    await reconciler(paying, files).reconcile()
    await paying.waiting()
    await reconciler(paying, files).reconcile()

    [closed] = await breaks(paying)
    assert ("open", "engine") == (closed["kind"], closed["closed_by"])
    assert "succeeded" == await paying.status(order.payment_id)
    assert [] == await paying.faults()


async def test_breaks_move_nothing(paying: PaymentWorld, files: Files) -> None:
    wrong, twice, fine = await charged(paying, "acc_breaks", 3)
    await paying.answer_all()
    files.write(wrong, amount_minor=299)
    files.write(twice)
    files.write(twice)
    files.write(fine, attempt_id="att_eu_of_somebody_else_1")
    files.write(fine, operation="returned", amount_minor=100)
    before = await paying.balance("acc_breaks")

    await reconciler(paying, files).reconcile()
    await paying.waiting()

    assert ["different", "twice", "unknown_attempt", "untold"] == [
        row["kind"] for row in await breaks(paying)
    ]
    assert before == await paying.balance("acc_breaks")
    assert [] == await paying.faults()


@pytest.mark.parametrize("pages", [1, 2])
async def test_a_line_of_nobodys_attempt_takes_nothing_from_a_payment(
    paying: PaymentWorld, files: Files, pages: int
) -> None:
    [order] = await charged(paying, f"acc_nobodys_{pages}")
    await paying.answer_all()
    files.write(order)
    files.write(order, attempt_id="att_eu_of_somebody_else_1", operation="returned")
    if pages > 1:
        await reconciler(paying, files).reconcile()
    files.write(order, operation="returned")
    returned = BankTold(
        payment_id=order.payment_id, bank="bank-alpha", what="returned", bank_event_id="r-1",
        attempt_id=order.attempt_id, amount_minor=order.amount_minor, currency=order.currency,
    )  # fmt: skip
    await paying.about([returned])

    await reconciler(paying, files).reconcile()

    assert ["unknown_attempt"] == [row["kind"] for row in await breaks(paying)]


async def test_what_no_file_has_is_missing_until_its_line_comes(paying: PaymentWorld, files: Files) -> None:
    settled, lost = await charged(paying, "acc_missing", 2)
    await paying.answer_all()
    files.write(settled)

    await reconciler(paying, files, AT_ONCE).reconcile()
    await reconciler(paying, files, AT_ONCE).reconcile()
    [missing] = await breaks(paying)
    files.write(lost)
    await reconciler(paying, files, AT_ONCE).reconcile()

    [closed] = await breaks(paying)
    assert ("missing", lost.attempt_id, None) == (
        missing["kind"], missing["attempt_id"], missing["closed_at"],
    )  # fmt: skip
    assert ("engine", missing["break_id"]) == (closed["closed_by"], closed["break_id"])


async def test_what_is_still_unknown_is_looked_at_again(paying: PaymentWorld, files: Files) -> None:
    [order] = await charged(paying, "acc_awaited")
    await paying.answer_all("unknown")
    await reconciler(paying, files, AT_ONCE).reconcile()
    unknown = await breaks(paying)
    await paying.make_due()
    await paying.overdue("bank-alpha")
    await paying.answer_all()

    await reconciler(paying, files, AT_ONCE).reconcile()

    assert [] == unknown
    assert [("missing", order.attempt_id)] == [(b["kind"], b["attempt_id"]) for b in await breaks(paying)]


async def test_what_was_done_after_all_is_missing_until_its_line_comes(
    paying: PaymentWorld, files: Files
) -> None:
    [order] = await charged(paying, "acc_late_missing")
    await paying.answer_all("declined")
    await reconciler(paying, files, AT_ONCE).reconcile()
    declined = await breaks(paying)
    confirmed = BankTold(
        payment_id=order.payment_id, bank="bank-alpha", what="confirmed", bank_event_id="late-1",
        attempt_id=order.attempt_id, amount_minor=order.amount_minor, currency=order.currency,
    )  # fmt: skip
    await paying.about([confirmed])

    await reconciler(paying, files, AT_ONCE).reconcile()
    [missing] = await breaks(paying)
    files.write(order)
    await reconciler(paying, files, AT_ONCE).reconcile()

    [closed] = await breaks(paying)
    assert [] == declined
    assert ("missing", order.attempt_id, None) == (
        missing["kind"], missing["attempt_id"], missing["closed_at"],
    )  # fmt: skip
    assert missing["expected"].endswith(", confirmed late")
    assert "engine" == closed["closed_by"]


async def test_a_person_closes_a_break_under_the_own_name(
    paying: PaymentWorld, files: Files, postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    [order] = await charged(paying, "acc_closed")
    await paying.answer_all()
    files.write(order, amount_minor=1)
    await reconciler(paying, files).reconcile()
    [found] = await breaks(paying)
    operators = Operators(postgres, database, tmp_path)

    async with operators.connected(ALICE) as connection:
        await connection.execute(
            "select payments.close_break($1, $2)", found["break_id"], "the bank corrected it"
        )
        with pytest.raises(asyncpg.NoDataFoundError):
            await connection.execute("select payments.close_break($1, $2)", found["break_id"], "again")

    [closed] = await breaks(paying)
    assert (ALICE, "the bank corrected it") == (closed["closed_by"], closed["reason"])
