"""A random life of a few payments, lived in the simulated record and written down step by step.

The real record must say the same at each step and hold the same rows in the end. No time passes by itself:
reminders become due when a step says so, in both.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Literal

import msgspec

from services.payments.machine.events import (
    Answered,
    BankTold,
    CaptureAsked,
    Event,
    Mail,
    Order,
    RefundAsked,
    RefundCancelAsked,
    ReviewDecided,
    Screened,
    VoidAsked,
)
from services.payments.machine.model import Account, Payment
from services.payments.record import About, Overdue, Waiting, Work
from tests.simulation.database import START, Database
from tests.simulation.lives import AN_HOUR, BANKS, Life, Step, of_decisions, spoilt
from tests.simulation.loop import VirtualLoop
from tests.simulation.sim_record import SimRecord
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

STEPS = 200
_PASSES: list[Literal["pass", "review", "reject"]] = ["pass"]
_VERDICTS = [*_PASSES * 10, "review", "reject"]
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def invent(seed: int) -> Life:
    """Live a life of this seed."""
    return _Inventor(seed).live()


class _Inventor:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"{seed}/agreement")
        self.loop = VirtualLoop(seed)
        calm = Weather(seed, "calm", {})
        self.database = Database(self.loop, calm, Trace(self.loop.time))
        self.record = SimRecord(self.database)
        self.life = Life([f"acc_s{seed}_{n}" for n in range(2)], database=self.database)
        self.orders: list[Order] = []
        self.unscreened: list[str] = []
        self.refused: list[About] = []
        self.letters = 0

    def live(self) -> Life:
        for account_id in self.life.accounts:
            self.database.open_account(Account(
                account_id=account_id, merchant_id=f"mer_{account_id}", currency="EUR", posted_minor=0,
                held_minor=0, unposted_minor=0, version=0,
            ))  # fmt: skip
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._all())
        finally:
            asyncio.set_event_loop(None)
            self.loop.dispose()
        return self.life

    async def _all(self) -> None:
        moves = [
            self._accept, *[self._wait] * 2, *[self._screen] * 3, *[self._answer] * 6, *[self._mail] * 3,
            *[self._windows] * 2, self._due,
        ]  # fmt: skip
        for _ in range(STEPS):
            was_due = bool(self.life.steps) and self.life.steps[-1].kind == "due"
            step = self._overdue() if was_due else self.chance.choice(moves)()
            if step is not None:
                await self._take(step)
                self.life.steps.append(step)

    async def _take(self, step: Step) -> None:
        if step.kind == "turn":
            try:
                decisions = await self.record.turn(step.given, spoilt(step.spoiler, step.spoilt))
            except Exception as fault:  # noqa: BLE001 - which one it is, is what is compared.
                step.said = type(fault).__name__
                self._give_back(step.given)
            else:
                step.said = of_decisions(decisions)
                self.orders += decisions.orders
                self.unscreened += [asking.payment_id for asking in decisions.askings]
        elif step.kind == "accept":
            self.database.accept(step.given, START + AN_HOUR)
        elif step.kind == "mail":
            step.said = self.database.mail_in(step.given[0], *step.given[1:])
        elif step.kind == "windows":
            step.said = await self.record.post_windows(timedelta(0), 1, 8)
        else:
            self._make_due()

    def _give_back(self, work: Work) -> None:
        """What was refused is tried again later."""
        if isinstance(work, About):
            self.refused.append(work)

    def _make_due(self) -> None:
        rows, then = self.database.rows, self.database.now() - timedelta(seconds=1)
        for payment in list(rows.payments.values()):
            if payment.due is not None:
                rows.put_payment(msgspec.structs.replace(payment, due=then))
        for refund in list(rows.refunds.values()):
            if refund.due is not None:
                rows.put_refund(msgspec.structs.replace(refund, due=then))
        for dispute in list(rows.disputes.values()):
            if dispute.due is not None:
                rows.put_dispute(msgspec.structs.replace(dispute, due=then))

    # What may happen next; None: it cannot now.

    def _accept(self) -> Step:
        chance = self.chance
        account = chance.choice(self.life.accounts)
        is_payout, is_manual = chance.random() < 0.3, chance.random() < 0.3
        return Step("accept", Payment(
            payment_id="pay_eu_" + self._digits(), account_id=account, merchant_id=f"mer_{account}",
            kind="payout" if is_payout else "collect",
            capture_method="manual" if is_manual and not is_payout else "automatic",
            amount_minor=chance.randint(1, 500), currency="EUR", instrument="tok_sim", status="accepted",
            sequence=1, account_version=None, bank=None, decline_code=None, accepted_at=START, due=START,
        ))  # fmt: skip

    def _digits(self) -> str:
        return "".join(self.chance.choice(_DIGITS) for _ in range(26))

    def _turn(self, work: Work) -> Step:
        spoiler = self.chance.randrange(1_000) if self.chance.random() < 0.25 else None
        return Step("turn", work, spoiler)

    def _wait(self) -> Step | None:
        work = Waiting(items_max=self.chance.choice((16, 128)), accounts_max=self.chance.choice((1, 128)))
        return self._turn(work) if self.record.has_work(work) else None

    def _due(self) -> Step | None:
        return Step("due") if self._waited_for() else None

    def _overdue(self) -> Step:
        return self._turn(Overdue(bank=self.chance.choice(self._waited_for()), items_max=128))

    def _waited_for(self) -> list[str | None]:
        return [bank for bank in (None, *BANKS) if self.database.rows.agenda(bank)]

    def _windows(self) -> Step | None:
        return Step("windows") if self.database.rows.unposted else None

    def _screen(self) -> Step | None:
        if not self.unscreened:
            return None
        names, self.unscreened = self.unscreened, []
        return self._turn(About(events=[
            Screened(
                payment_id=name, verdict=self.chance.choice(_VERDICTS),
                rule_pack="demo@1:" + "0" * 64, inputs_digest="0" * 64, reasons=("rule",),
            )
            for name in dict.fromkeys(names)
        ]))  # fmt: skip

    def _answer(self) -> Step | None:
        if self.refused:
            return Step("turn", self.refused.pop())
        if not self.orders:
            return None
        chance = self.chance
        order = self.orders.pop(chance.randrange(len(self.orders)))
        kinds = ["confirmed"] * 9 + ["declined", "pending", "unknown", "unsent"]
        kinds += ["not_found"] * 3 if order.action == "inquire" else []
        answered = Answered(
            payment_id=order.payment_id, attempt_id=order.attempt_id, epoch=order.epoch,
            kind=chance.choice(kinds), asked=order.action == "inquire",  # type: ignore[arg-type]
            bank_reference=f"R-{order.attempt_id}",
            decline_code=chance.choice(("do_not_honour", "technical")),
        )  # fmt: skip
        events: list[Event] = [answered, answered] if chance.random() < 0.2 else [answered]
        return self._turn(About(events=events))

    def _mail(self) -> Step | None:
        rows, chance = self.database.rows, self.chance
        if not rows.payments:
            return None
        if self.letters and chance.random() < 0.1:
            return Step("mail", next(step.given for step in reversed(self.life.steps) if step.kind == "mail"))
        self.letters += 1
        letter = self._letter(rows.whole(chance.choice(list(rows.payments))))
        return Step("mail", (letter, "test", str(self.letters)))

    def _letter(self, payment: Payment) -> Mail:
        chance, key = self.chance, payment.payment_id
        by, refunds = chance.choice(("ada", "grace")), [refund.refund_id for refund in payment.refunds]
        refund_id = (
            chance.choice(refunds) if refunds and chance.random() < 0.7 else "ref_eu_" + self._digits()
        )
        part = chance.choice((1.0, 0.6, 0.3))
        letters: list[Mail] = [
            ReviewDecided(payment_id=key, decision=chance.choice(("approve", "reject")), by=by, reason="seen",
                          refund_id=refund_id if refunds and chance.random() < 0.5 else None),
            CaptureAsked(payment_id=key, amount_minor=max(1, int(payment.amount_minor * part)), by=by),
            VoidAsked(payment_id=key, by=by),
            RefundAsked(payment_id=key, refund_id=self._asked_id(), by=by, reason="asked for",
                        amount_minor=max(1, int(payment.amount_minor * part)),
                        origin=chance.choice(("user", "customer_service"))),
            RefundCancelAsked(payment_id=key, refund_id=refund_id, by=by),
        ]  # fmt: skip
        letters += [self._told(payment)] * 4 if payment.attempts else []
        return chance.choice(letters)

    def _asked_id(self) -> str:
        """A new refund's id; now and then one that a refund of whatever payment has."""
        known = list(self.database.rows.refunds)
        if known and self.chance.random() < 0.2:
            return self.chance.choice(known)
        return "ref_eu_" + self._digits()

    def _told(self, payment: Payment) -> BankTold:
        chance = self.chance
        attempt = chance.choice(payment.attempts)
        what = chance.choice(("confirmed", "declined", "bounced", "returned", "recalled", "dispute_opened",
                              "dispute_won", "dispute_lost"))  # fmt: skip
        return BankTold(
            payment_id=payment.payment_id, bank=attempt.bank, what=what, bank_event_id=self._digits(),  # type: ignore[arg-type]
            attempt_id=attempt.attempt_id, amount_minor=attempt.amount_minor, currency="EUR",
            bank_reference=f"R-{attempt.attempt_id}", decline_code="late" if what == "declined" else None,
            dispute_reference=f"D-{attempt.attempt_id}",
        )  # fmt: skip
