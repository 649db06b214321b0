"""Planted bugs of routing: breakers, drains, prices, and who may have a payment that a bank has refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import msgspec

from services.node.postgres import DATABASE_AWAY
from services.payments.bank_health import BankHealth
from services.payments.machine import answers, attempts, breaker, payment, routing
from services.payments.machine.case import Case
from services.payments.machine.events import Answered, Order
from services.payments.machine.model import Attempt
from services.payments.machine.routing import BankFacts, RoutingTable
from tests.simulation.mutants import mutant

Patch = AbstractContextManager[Any]


@mutant("a breaker counts declines as failures")
def breaker_counts_declines() -> Patch:
    return patch.object(breaker, "_FAILURES", frozenset({"unknown", "unsent", "declined"}))


@mutant("a breaker counts what our own side stopped before the bank was tried")
def breaker_counts_what_never_left() -> Patch:
    note = BankHealth.note

    def note_all(self: BankHealth, order: Order, answered: Answered, seconds: float) -> None:
        note(self, order, msgspec.structs.replace(answered, stopped_by=None), seconds)

    return patch.object(BankHealth, "note", note_all)


@mutant("a breaker never opens")
def breaker_never_opens() -> Patch:
    return patch.multiple(breaker, IN_A_ROW=breaker.REMEMBERED + 1, FAILED_MIN=breaker.REMEMBERED + 1)


@mutant("a bank whose breaker is open gets new payments")
def open_breaker_is_no_obstacle() -> Patch:
    make_table = BankHealth._make_table
    return patch.object(
        BankHealth, "_make_table", lambda self, now, full, _: make_table(self, now, full, {})
    )  # fmt: skip


@mutant("while a bank's answer is unknown and its breaker opens, the payment goes to another bank")
def open_breaker_moves_what_is_unknown() -> Patch:
    undecided = answers._undecided

    def leave(case: Case, attempt: Attempt, event: Answered) -> None:
        if event.kind != "unknown" or not _moved(case, attempt, "breaker open"):
            undecided(case, attempt, event)

    return patch.object(answers, "_undecided", leave)


@mutant("what a bank that is drained may have already goes to another bank")
def drain_moves_what_a_bank_has() -> Patch:
    take_over = answers.take_over

    def leave(case: Case, attempt: Attempt) -> None:
        if not _moved(case, attempt, "drained"):
            take_over(case, attempt)

    return patch.object(answers, "take_over", leave)


@mutant("a bank that is drained gets new payments")
def drained_bank_is_chosen() -> Patch:
    return _facts_as(lambda bank: msgspec.structs.replace(bank, drained=False))


@mutant("operators are heard once, when a worker starts")
def drain_is_heard_once() -> Patch:
    async def sleep(_: BankHealth) -> None:
        await asyncio.get_running_loop().create_future()

    return patch.object(BankHealth, "run", sleep)


@mutant("while the database is away no bank counts as drained")
def drain_is_forgotten_while_away() -> Patch:
    follow = BankHealth.follow

    async def forget(self: BankHealth) -> None:
        try:
            await follow(self)
        except DATABASE_AWAY:
            if self._drained is not None:
                self._drained = frozenset()
            raise

    return patch.object(BankHealth, "follow", forget)


@mutant("a worker that starts takes no bank for drained until it hears otherwise")
def drain_is_unknown_at_first() -> Patch:
    begin = BankHealth.__init__

    def begin_blind(self: BankHealth, *rest: Any, **more: Any) -> None:
        begin(self, *rest, **more)
        self._drained = frozenset()

    return patch.object(BankHealth, "__init__", begin_blind)


@mutant("a bank gets a payment again that it has declined")
def declined_bank_is_asked_again() -> Patch:
    why_not = routing._why_not
    return patch.object(routing, "_why_not", lambda bank, key, _: why_not(bank, key, frozenset()))


@mutant("what a bank does is not looked at: it gets payouts though it only collects")
def bank_gets_what_it_does_not_do() -> Patch:
    replace = msgspec.structs.replace
    return _facts_as(lambda bank: replace(bank, terms=replace(bank.terms, operations=())))


@mutant("a bank with prices in another currency counts as free")
def unknown_price_is_free() -> Patch:
    candidate = RoutingTable._candidate
    return patch.object(
        RoutingTable, "_candidate",
        lambda self, bank, key: candidate(self, bank, key)._replace(is_priced=True),
    )  # fmt: skip


@mutant("the dearest bank gets the payment")
def dearest_bank_is_chosen() -> Patch:
    costs_of = routing._costs

    def turned_round(*given: Any) -> list[int]:
        costs = costs_of(*given)
        return [max(costs) + min(costs) - cost for cost in costs]

    return patch.object(routing, "_costs", turned_round)


def _facts_as(change: Callable[[BankFacts], BankFacts]) -> Patch:
    why_not = routing._why_not

    def see(bank: BankFacts, key: Any, excluded: frozenset[str]) -> str | None:
        return why_not(change(bank), key, excluded)

    return patch.object(routing, "_why_not", see)


def _moved(case: Case, attempt: Attempt, why: str) -> bool:
    """Send a payment elsewhere although its bank may have it, if routing leaves that bank out for this."""
    if attempt.operation not in attempts.MONEY_OPERATIONS:
        return False
    choice = payment.elsewhere(case)
    seen = case.routes.choose(case.row, frozenset()).explanation
    if choice is None or f'"{attempt.bank}":"{why}"' not in seen:
        return False
    case.put_attempt(attempts.decided(attempt, "not_processed"))
    payment.submit_to(case, choice)
    return True
