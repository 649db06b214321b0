"""Planted bugs of the shell: what drives the decisions, and forgets to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from services.payments import turns
from services.payments.bulkheads import Lane
from services.payments.errands import Errands
from services.payments.machine.events import Decisions, Snapshot
from services.payments.screening import Screening
from services.payments.turns import Turns
from services.payments.watchdog import Watchdog
from tests.simulation import sim_record
from tests.simulation.mutants import mutant, together

Patch = AbstractContextManager[Any]


@mutant("nobody looks for reminders of what a bank was asked")
def watchdog_asleep() -> Patch:
    run = Watchdog.run

    async def sleep(self: Watchdog) -> None:
        if self._bank is None:
            await run(self)

    return patch.object(Watchdog, "run", sleep)


@mutant("what could not be written once is set aside for ever")
def set_aside_for_ever() -> Patch:
    return patch.object(sim_record, "ASIDE_MIN", timedelta(days=1_000))


@mutant("calls are begun for what a turn decided, also when it was rolled back")
def order_of_a_turn_that_was_rolled_back() -> Patch:
    begin, decide = Turns.__init__, turns._View.decide
    owners: dict[int, Turns] = {}

    def begin_known(self: Turns, record: Any, facts: Any, policy: Any, bulkheads: Any, *more: Any) -> None:
        begin(self, record, facts, policy, bulkheads, *more)
        owners[id(bulkheads)] = self

    def decide_and_follow(self: Any, snapshot: Snapshot) -> Decisions:
        decisions = decide(self, snapshot)
        owners[id(self._bulkheads)].follow(decisions, Lane.SEND)
        return decisions

    return together(
        patch.object(Turns, "__init__", begin_known), patch.object(turns._View, "decide", decide_and_follow)
    )


@mutant("what a question to the fraud service was about is asked once only")
def asked_about_once() -> Patch:
    ask, asked = Screening.ask, set[tuple[int, str]]()

    def ask_once(self: Screening, askings: Any) -> None:
        new = [each for each in askings if (id(self), each.payment_id) not in asked]
        asked.update((id(self), each.payment_id) for each in new)
        ask(self, new)

    return patch.object(Screening, "ask", ask_once)


@mutant("an inquiry that finds nothing ends the errand: the request is not sent again")
def not_found_is_let_be() -> Patch:
    begin = Errands.begin

    def forget(self: Errands, order: Any, lane: Any) -> None:
        if order.action == "send":
            begin(self, order, lane)

    return patch.object(Errands, "begin", forget)
