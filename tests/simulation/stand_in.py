"""The smallest shell that can drive the machine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.node.errors import HopUnknown, HopUnsent
from services.node.postgres import DATABASE_AWAY
from services.payments.machine.events import Answered, Order
from services.payments.outcomes import NotFound, Outcome, classify_inquiry, classify_send
from services.payments.record import About, Overdue, Waiting


class Worker:
    def __init__(self, record, banks, screener, names, decide):
        self.record, self.banks, self.screener, self.names, self.decide = (
            record,
            banks,
            screener,
            names,
            decide,
        )
        self.tasks = set()

    def begin(self, coro):
        task = asyncio.create_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self):
        self.begin(self.loop(Waiting(items_max=128, accounts_max=128)))
        self.begin(self.loop(Overdue(bank=None, items_max=32)))
        for name in self.names:
            self.begin(self.loop(Overdue(bank=name, items_max=32)))
        while True:
            try:
                await self.record.post_windows(timedelta(seconds=0.25), 500, 128)
            except DATABASE_AWAY:
                pass
            await asyncio.sleep(0.1)

    async def loop(self, work):
        while True:
            await self.turn(work)
            await asyncio.sleep(0.005)

    async def turn(self, work):
        try:
            decisions = await self.record.turn(work, self.decide)
        except DATABASE_AWAY:
            await asyncio.sleep(0.1)
            return False
        for order in decisions.orders:
            self.begin(self.errand(order))
        if decisions.askings:
            self.begin(self.ask(decisions.askings))
        return True

    async def errand(self, order):
        answered = await self.banks.carry(order)
        for _ in range(5):
            if await self.turn(About(events=[answered])):
                return
            await asyncio.sleep(0.5)

    async def ask(self, askings):
        try:
            screened = await self.screener.screen(askings)
        except (HopUnsent, HopUnknown):
            return
        if screened:
            await self.turn(About(events=list(screened)))


class Carrier:
    def __init__(self, banks):
        self.banks = banks

    async def carry(self, order: Order) -> Answered:
        asked = order.action == "inquire"
        outcome = await (self.inquire(order) if asked else self.send(order))
        if isinstance(outcome, NotFound):
            if order.resendable:
                outcome, asked = await self.send(order), False
            else:
                return Answered(
                    payment_id=order.payment_id,
                    attempt_id=order.attempt_id,
                    epoch=order.epoch,
                    kind="not_found",
                    asked=True,
                )
        return Answered(
            payment_id=order.payment_id,
            attempt_id=order.attempt_id,
            epoch=order.epoch,
            kind=outcome.kind,
            asked=asked,
            bank_reference=outcome.bank_reference,
            decline_code=outcome.decline_code,
        )

    async def send(self, order) -> Outcome:
        try:
            answer = await self.banks[order.bank].send(order)
        except (HopUnsent, HopUnknown) as fault:
            answer = fault
        return classify_send(order, answer)

    async def inquire(self, order):
        try:
            answer = await self.banks[order.bank].inquire(order.bank, order.attempt_id)
        except (HopUnsent, HopUnknown) as fault:
            answer = fault
        return classify_inquiry(order, answer)
