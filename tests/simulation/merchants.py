"""Merchants, customer service and reviewers: what they ask for, twice, too early and too late."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import msgspec

from services.payments.machine.events import (
    CaptureAsked,
    Decisions,
    Mail,
    RefundAsked,
    RefundCancelAsked,
    ReviewDecided,
    VoidAsked,
)
from services.payments.machine.model import Account, Payment
from tests.simulation.database import START, Database
from tests.simulation.shape import CURRENCIES, Shape

Later = Callable[[float, Callable[[], None]], None]
# Between an answer and what a merchant does next: from at once to after a while.
SOON_S = 5.0
AWAY_RETRY_S = 1.0
INSTRUMENTS = ("tok_sim", "tok_visa_sim", "tok_iban_sim")
REVIEWERS = ("ada", "grace", "edith")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


class Merchants:
    """Everybody who asks the engine for something.

    Args:
        later: Calls after a time.
    """

    def __init__(self, shape: Shape, database: Database, later: Later) -> None:
        self.shape = shape
        self.database = database
        self.later = later
        self.chance = random.Random(f"{shape.seed}/merchants")
        self.followed: set[tuple[str, str]] = set()
        self.refunds_asked: set[str] = set()
        self.written = 0

    def begin(self) -> None:
        """Open the accounts, and plan the payments."""
        currency = self.chance.choice(CURRENCIES)
        for number in range(self.shape.accounts):
            posted = self.chance.choice((0, 3_000, 20_000))
            self.database.open_account(Account(
                account_id=f"acc_{number}", merchant_id=f"m{number}", currency=currency, posted_minor=posted,
                held_minor=0, unposted_minor=0, version=0,
            ))  # fmt: skip
        for number in range(self.shape.payments):
            payment = self._payment(number, currency)
            at = self.chance.random() * self.shape.busy_s
            self.later(at, lambda payment=payment: self._accept(payment))  # type: ignore[misc]
            if self.chance.random() < 0.1:
                self.later(at + self.chance.random(), lambda payment=payment: self._accept(payment))  # type: ignore[misc]

    def _payment(self, number: int, currency: str) -> Payment:
        chance, shape = self.chance, self.shape
        account = chance.randrange(shape.accounts)
        is_payout = chance.random() < shape.payout_share
        is_manual = not is_payout and chance.random() < shape.manual_share
        digits = "".join(chance.choice(_DIGITS) for _ in range(24))
        return Payment(
            payment_id=f"pay_sim_{number:02d}{digits}", account_id=f"acc_{account}",
            merchant_id=f"m{account}", kind="payout" if is_payout else "collect",
            capture_method="manual" if is_manual else "automatic",
            amount_minor=chance.randint(1, 10_000), currency=currency, instrument=chance.choice(INSTRUMENTS),
            status="accepted", sequence=1, account_version=None, bank=None, decline_code=None,
            accepted_at=START, due=START,
        )  # fmt: skip

    def _accept(self, payment: Payment) -> None:
        if self.database.is_away:
            self.later(AWAY_RETRY_S, lambda: self._accept(payment))
            return
        due = self.database.now() + timedelta(seconds=5)
        if self.database.accept(payment, due):
            self._meddle(payment)

    def _meddle(self, payment: Payment) -> None:
        """Ask for something at any time, whatever state the payment is in."""
        chance, key = self.chance, payment.payment_id
        if chance.random() < 0.15:
            self._mail(chance.random() * SOON_S, VoidAsked(payment_id=key, by="key"))
        if payment.capture_method == "manual" and chance.random() < 0.2:
            self._mail(chance.random() * SOON_S, CaptureAsked(payment_id=key, by="key"))
        if chance.random() < 0.1:
            self._refund(payment, chance.random() * SOON_S, 1.0)

    def look(self, decisions: Decisions) -> None:
        """React to what has been committed."""
        for row in decisions.payments:
            payment = self.database.rows.whole(row.payment_id)
            if self._is_news(payment.payment_id, f"{payment.status}{len(payment.reviewers)}"):
                self._follow(payment)
        for refund in decisions.refunds:
            if self._is_news(refund.refund_id, refund.status) and refund.status in ("in_review", "submitted"):
                if refund.status == "in_review":
                    self._review(self.database.rows.payments[refund.payment_id], refund.refund_id)
                if self.chance.random() < 0.1:
                    asked = RefundCancelAsked(
                        payment_id=refund.payment_id, refund_id=refund.refund_id, by="key"
                    )
                    self._mail(self.chance.random() * SOON_S, asked)

    def _is_news(self, subject_id: str, status: str) -> bool:
        key = (subject_id, status)
        is_news = key not in self.followed
        self.followed.add(key)
        return is_news

    def _follow(self, payment: Payment) -> None:
        if payment.status == "in_review":
            self._review(payment, None)
        elif payment.status == "authorized":
            self._second_step(payment)
        elif payment.status == "succeeded" and payment.kind == "collect":
            self._give_back(payment)

    def _second_step(self, payment: Payment) -> None:
        chance, key = self.chance, payment.payment_id
        wait = chance.choice((0.0, SOON_S, 4_000.0)) * chance.random()
        choice = chance.random()
        if choice < 0.6:
            amount = None if chance.random() < 0.5 else chance.randint(0, payment.amount_minor + 1)
            self._mail(wait, CaptureAsked(payment_id=key, amount_minor=amount, by="key"))
            if chance.random() < 0.3:
                late = self.shape.policy.authorization_life.total_seconds() if chance.random() < 0.3 else 0.0
                self._mail(wait + late, CaptureAsked(payment_id=key, by="key"))
        if 0.5 < choice < 0.9:
            self._mail(wait * chance.choice((1.0, 1.0, 0.5)), VoidAsked(payment_id=key, by="key"))

    def _give_back(self, payment: Payment) -> None:
        chance = self.chance
        if chance.random() >= self.shape.refund_share:
            return
        wait = chance.choice((0.0, SOON_S, 90_000.0)) * chance.random()
        share = chance.choice((0.6, 0.6, 0.3, 1.0))
        for _ in range(chance.choice((1, 2, 2, 3))):
            self._refund(payment, wait, share)

    def _refund(self, payment: Payment, wait: float, share: float) -> None:
        chance = self.chance
        whole = payment.captured_minor or payment.amount_minor
        refund_id = "ref_sim_" + "".join(chance.choice(_DIGITS) for _ in range(26))
        if self.refunds_asked and chance.random() < 0.1:
            refund_id = chance.choice(sorted(self.refunds_asked))  # Of this payment, or of whichever.
        origin = "user" if chance.random() < 0.7 else "customer_service"
        asked = RefundAsked(
            payment_id=payment.payment_id, refund_id=refund_id,
            amount_minor=max(1, int(whole * share)), origin=origin, reason="asked for", by="ada",  # type: ignore[arg-type]
        )  # fmt: skip
        self.refunds_asked.add(asked.refund_id)
        self._mail(wait, asked)
        if chance.random() < 0.1:
            self._mail(wait + chance.random() * SOON_S, asked)  # The same again, by another letter.
        if chance.random() < 0.1:
            self._nonsense(payment, asked)

    def _nonsense(self, payment: Payment, asked: RefundAsked) -> None:
        """Letters that no engine may follow."""
        replace = msgspec.structs.replace
        letters: list[Mail] = [
            replace(asked, refund_id=asked.refund_id[:-1] + "0", origin="system"),
            replace(asked, refund_id="ref_?"),
            replace(asked, refund_id=asked.refund_id[:-1] + "1", amount_minor=0),
            replace(asked, refund_id=asked.refund_id[:-1] + "2", by=""),
            RefundCancelAsked(payment_id=payment.payment_id, refund_id="ref_sim_none", by="key"),
            ReviewDecided(
                payment_id=payment.payment_id, decision="approve", by="ada", reason="", refund_id="ref_none"
            ),
        ]
        self._mail(self.chance.random() * SOON_S, self.chance.choice(letters))

    def _review(self, payment: Payment, refund_id: str | None) -> None:
        """One or more people decide, at once or too late; some decide twice, some reviews nobody sees."""
        chance = self.chance
        if chance.random() < 0.15:
            return
        deadline = self.shape.policy.review_deadline.total_seconds()
        for _ in range(chance.choice((1, 2, 2, 3))):
            decided = ReviewDecided(
                payment_id=payment.payment_id, decision="approve" if chance.random() < 0.8 else "reject",
                by=chance.choice(REVIEWERS), reason="looked at", refund_id=refund_id,
            )  # fmt: skip
            self._mail(chance.choice((1.0, 60.0, deadline * 1.2)) * chance.random(), decided)

    def _mail(self, wait: float, letter: Mail) -> None:
        self.written += 1
        source_id = f"{self.written}"
        times = 2 if self.chance.random() < 0.2 else 1
        for _ in range(times):
            self.later(wait + self.chance.random() * 0.01, lambda: self._deliver(letter, source_id))

    def _deliver(self, letter: Mail, source_id: str) -> None:
        if self.database.is_away:
            self.later(AWAY_RETRY_S, lambda: self._deliver(letter, source_id))
        else:
            self.database.mail_in(letter, "merchant", source_id)
