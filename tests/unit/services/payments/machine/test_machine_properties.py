from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.payments.machine.events import (
    Answered,
    BankTold,
    CaptureAsked,
    Event,
    RefundAsked,
    RefundCancelAsked,
    ReminderDue,
    ReviewDecided,
    Screened,
    TurnCame,
    VoidAsked,
)
from services.payments.machine.model import PAYMENT_FINAL, Attempt, Refund
from services.payments.machine.policy import Policy
from tests.unit.services.payments.machine.tiny_record import BANKS, TinyRecord

_anything = st.integers(0, 10**6)
_people = st.sampled_from(["ann", "bob", "cat"])
_amounts = st.sampled_from([1, 400, 600, 1_000, 5_000])


PAYMENTS_MAX = 5


class Turns(RuleBasedStateMachine):
    """Whatever happens, in whatever order, twice or together in one turn: what must hold holds.

    `TinyRecord.check` looks at ledger, balances, headroom, reminders, attempts and story after each turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.record = TinyRecord(
            3_000, Policy(second_approver_minor={"EUR": 900}, refund_review_minor={"EUR": 500})
        )
        self.ends: dict[str, str] = {}
        self.mail_id = 0

    def happen(self, *events: Event) -> None:
        apart = copy.deepcopy(self.record) if len(events) > 1 else None
        self.record.turn(*events)
        if apart is not None:
            for event in events:
                apart.turn(event)
            self._expect_same_rows(apart)
        self._expect_nothing_from_a_repeat(events)
        for payment_id, status in self.ends.items():
            assert status == self.record.status(payment_id)
        self.ends = {
            p.payment_id: p.status for p in self.record.payments.values() if p.status in PAYMENT_FINAL
        }

    def _expect_same_rows(self, apart: TinyRecord) -> None:
        one, other = self.record.account, apart.account
        assert apart.payments == self.record.payments
        assert apart.story == self.record.story
        assert (one.posted_minor + one.unposted_minor, one.held_minor, one.version) == (
            other.posted_minor + other.unposted_minor, other.held_minor, other.version,
        )  # fmt: skip

    def _expect_nothing_from_a_repeat(self, events: tuple[Event, ...]) -> None:
        again = self.record.decide(events[-1:])
        assert ([], [], [], [], [], [], [], []) == (
            again.accounts, again.payments, again.attempts, again.transfers, again.credits, again.told,
            again.orders, again.askings,
        )  # fmt: skip
        assert all(result.startswith("refused: ") for _, result in again.mail_done)

    def pick(self, rows: Any, number: int) -> Any:
        rows = list(rows)
        return rows[number % len(rows)]

    def payment_id(self, number: int) -> str:
        return str(self.pick(self.record.payments, number))

    def mail(self) -> int:
        self.mail_id += 1
        return self.mail_id

    @initialize(steps=st.integers(0, 3))
    def begin(self, steps: int) -> None:
        self.record.accept("collect", 1_000)
        self.record.accept("payout", 1_000)
        self.record.accept("collect", 1_000, "manual")
        if steps:
            self.happen(*(TurnCame(payment_id=payment_id) for payment_id in self.record.payments))
        if steps > 1:
            self.pass_all()
        if steps > 2:
            for order in self.record.orders[:]:
                self.record.answer("confirmed", order)

    @precondition(lambda self: len(self.record.payments) < PAYMENTS_MAX)
    @rule(kind=st.sampled_from(["collect", "payout"]))
    def accept(self, kind: Any) -> None:
        self.record.accept(kind, 1_000)

    @rule(number=_anything, many=st.integers(1, 3))
    def come_to_its_turn(self, number: int, many: int) -> None:
        ids = [self.payment_id(number + more) for more in range(many)]
        self.happen(*(TurnCame(payment_id=payment_id) for payment_id in ids))

    @precondition(lambda self: self.record.askings)
    @rule(number=_anything, verdict=st.sampled_from(["pass", "pass", "pass", "review", "reject"]))
    def screen(self, number: int, verdict: Any) -> None:
        asking = self.pick(self.record.askings, number)
        self.happen(self._screened(asking.payment_id, verdict))

    @precondition(lambda self: self.record.askings)
    @rule()
    def pass_all(self) -> None:
        ids = dict.fromkeys(asking.payment_id for asking in self.record.askings)
        self.happen(*(self._screened(payment_id, "pass") for payment_id in ids))

    def _screened(self, payment_id: str, verdict: Any) -> Screened:
        return Screened(payment_id=payment_id, verdict=verdict, rule_pack="r@1:00", inputs_digest="00")

    @rule(number=_anything, decision=st.sampled_from(["approve", "approve", "reject"]), by=_people)
    def review(self, number: int, decision: Any, by: str) -> None:
        in_review = [p.payment_id for p in self.record.payments.values() if p.status == "in_review"]
        payment_id = self.pick(in_review or self.record.payments, number)
        self.happen(ReviewDecided(
            payment_id=payment_id, mail_id=self.mail(), decision=decision, by=by, reason="seen",
        ))  # fmt: skip

    @precondition(lambda self: self.record.orders)
    @rule(
        number=_anything, is_last=st.booleans(), bank_reference=st.sampled_from([None, "b-1"]),
        kind=st.sampled_from([
            "confirmed", "confirmed", "declined", "pending", "unknown", "unsent", "unsent", "not_found",
        ]),
        code=st.sampled_from([None, "do_not_honor", "technical"]), stale=st.booleans(),
    )  # fmt: skip
    def answer(
        self, number: int, is_last: bool, bank_reference: str | None, kind: Any, code: str | None, stale: bool
    ) -> None:
        order = self.record.orders[-1] if is_last else self.pick(self.record.orders, number)
        answered = Answered(
            payment_id=order.payment_id, attempt_id=order.attempt_id, epoch=order.epoch - stale, kind=kind,
            asked=kind == "not_found", bank_reference=bank_reference, decline_code=code,
        )  # fmt: skip
        self.happen(answered)

    @rule(number=_anything, seconds=st.sampled_from([1, 15, 700, 1_000, 90_000, 700_000]))
    def remind(self, number: int, seconds: int) -> None:
        self.record.now += timedelta(seconds=seconds)
        subjects = [p.payment_id for p in self.record.payments.values() if p.due is not None]
        subjects += [k for k, row in self.record.rows.items() if not isinstance(row, Attempt) and row.due]
        subject_id = self.pick(subjects or self.record.payments, number)
        row = self.record.rows.get(subject_id)
        self.happen(ReminderDue(payment_id=row.payment_id if row else subject_id, subject_id=subject_id))

    @rule(bank=st.sampled_from(BANKS), is_away=st.booleans(), is_final=st.booleans())
    def change_banks(self, bank: str, is_away: bool, is_final: bool) -> None:
        for group, is_in in ((self.record.banks.away, is_away), (self.record.banks.final, is_final)):
            (group.add if is_in else group.discard)(bank)

    @rule(number=_anything, amount_minor=st.one_of(st.none(), _amounts))
    def capture(self, number: int, amount_minor: int | None) -> None:
        authorized = [p.payment_id for p in self.record.payments.values() if p.status == "authorized"]
        payment_id = self.pick(authorized or self.record.payments, number)
        self.happen(
            CaptureAsked(payment_id=payment_id, mail_id=self.mail(), amount_minor=amount_minor, by="k")
        )

    @rule(number=_anything)
    def void(self, number: int) -> None:
        authorized = [p.payment_id for p in self.record.payments.values() if p.status == "authorized"]
        payment_id = self.pick(authorized or self.record.payments, number)
        self.happen(VoidAsked(payment_id=payment_id, mail_id=self.mail(), by="k"))

    @rule(
        number=_anything, amount_minor=_amounts, by=_people, bank_moved=st.booleans(),
        named=st.integers(0, 5), origin=st.sampled_from(
            ["user", "user", "user", "customer_service", "customer_service", "bank", "system"]
        ),
    )  # fmt: skip
    def ask_for_a_refund(
        self, number: int, amount_minor: int, by: str, bank_moved: bool, named: int, origin: Any
    ) -> None:
        paid = [p.payment_id for p in self.record.payments.values() if p.status == "succeeded"]
        payment_id = self.pick(paid or self.record.payments, number)
        self.happen(RefundAsked(
            payment_id=payment_id, mail_id=self.mail(), refund_id=f"ref_eu_{payment_id[-20:]}{named:06d}",
            amount_minor=amount_minor, origin=origin, reason="sorry", by=by, bank_moved=bank_moved,
        ))  # fmt: skip

    @precondition(lambda self: any(isinstance(row, Refund) for row in self.record.rows.values()))
    @rule(number=_anything, by=_people, what=st.sampled_from(["cancel", "approve", "reject"]))
    def decide_about_a_refund(self, number: int, by: str, what: Any) -> None:
        row = self.pick((r for r in self.record.rows.values() if isinstance(r, Refund)), number)
        named = {"payment_id": row.payment_id, "mail_id": self.mail(), "refund_id": row.refund_id, "by": by}
        self.happen(
            RefundCancelAsked(**named)
            if what == "cancel"
            else ReviewDecided(**named, decision=what, reason="-")
        )

    @precondition(lambda self: any(isinstance(row, Attempt) for row in self.record.rows.values()))
    @rule(
        number=_anything, is_last=st.booleans(), reference=st.sampled_from(["d-1", "d-1", "d-2", None]),
        what=st.sampled_from([
            "confirmed", "confirmed", "declined", "bounced", "returned", "recalled", "dispute_opened",
            "dispute_won", "dispute_lost",
        ]),
        wrong=st.sampled_from([{}, {}, {}, {"amount_minor": 600}, {"currency": "USD"}, {"bank": "bank-x"},
                               {"attempt_id": "att_eu_none_1"}]),
    )  # fmt: skip
    def hear_a_bank(
        self, number: int, is_last: bool, reference: str | None, what: Any, wrong: dict[str, Any]
    ) -> None:
        heard = [row for row in self.record.rows.values() if isinstance(row, Attempt)]
        attempt = heard[-1] if is_last else self.pick(heard, number)
        told: BankTold = self.record.told(
            what, attempt, dispute_reference=reference, mail_id=self.mail(), **wrong
        )
        before = self.record.transfers.copy()

        self.happen(told)

        if wrong and "amount_minor" not in wrong:
            assert before == self.record.transfers

    @rule(
        numbers=st.lists(_anything, min_size=2, max_size=5), kind=st.sampled_from(["confirmed", "declined"])
    )
    def many_things_in_one_turn(self, numbers: list[int], kind: Any) -> None:
        events: list[Event] = []
        for number in numbers:
            payment_id = self.payment_id(number)
            if self.record.orders and number % 2:
                order = self.pick(self.record.orders, number)
                events.append(Answered(
                    payment_id=order.payment_id, attempt_id=order.attempt_id, epoch=order.epoch, kind=kind,
                ))  # fmt: skip
            elif number % 3:
                events.append(ReminderDue(payment_id=payment_id, subject_id=payment_id))
            elif number % 5 == 0:
                events.append(VoidAsked(payment_id=payment_id, mail_id=self.mail(), by="k"))
            else:
                events.append(TurnCame(payment_id=payment_id))
        self.happen(*events)

    @rule()
    def post_windows(self) -> None:
        self.record.post_windows()


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
