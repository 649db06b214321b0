"""Planted bugs about holds, credits, the ledger and the headroom of refunds."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest.mock import patch

import msgspec

from services.payments.machine import answers, attempts, dispute, late, payment, refund
from services.payments.machine.account import Balance
from services.payments.machine.case import Case
from services.payments.machine.events import Event, RefundAsked
from services.payments.machine.model import LATE_SUCCESS, Attempt, Credit, Refund, derived_id
from tests.simulation.mutants import decides, mutant, together
from tests.simulation.rows import Rows

Patch = AbstractContextManager[Any]


@mutant("a payout is sent without holding its money")
def payout_without_hold() -> Patch:
    hold = Case.hold

    def no_hold(self: Case, subject_id: str, amount_minor: int) -> bool:
        return subject_id.startswith("pay_") or hold(self, subject_id, amount_minor)

    return patch.object(Case, "hold", no_hold)


@mutant("a refund is sent without holding its money")
def refund_without_hold() -> Patch:
    hold = Case.hold

    def no_hold(self: Case, subject_id: str, amount_minor: int) -> bool:
        return subject_id.startswith("ref_") or hold(self, subject_id, amount_minor)

    return patch.object(Case, "hold", no_hold)


@mutant("what may be spent is not looked at before a hold")
def hold_without_funds() -> Patch:
    def hold(self: Balance, amount_minor: int) -> bool:
        self.held_minor += amount_minor
        return True

    return patch.object(Balance, "hold", hold)


@mutant("credits that no window has posted are spent")
def unposted_is_spent() -> Patch:
    def hold(self: Balance, amount_minor: int) -> bool:
        if self.available_minor + self.unposted_minor < amount_minor:
            return False
        self.held_minor += amount_minor
        return True

    return patch.object(Balance, "hold", hold)


@mutant("the hold stays when the bank has declined")
def hold_kept_after_a_decline() -> Patch:
    return patch.object(payment, "_release", lambda _: None)


@mutant("the hold is released while the outcome is unknown")
def hold_released_while_unknown() -> Patch:
    keep = answers._keep

    def release(case: Case, before: Attempt, after: Attempt, due: Any) -> None:
        if after.state == "unknown" and before.state != "unknown" and after.operation == "payout":
            case.void_hold(case.row.payment_id, case.row.amount_minor)
        keep(case, before, after, due)

    return patch.object(answers, "_keep", release)


@mutant("a confirmation that comes a second time credits a second time")
def credited_twice() -> Patch:
    hear_again = answers._hear_again

    def credit(case: Case, attempt: Attempt, is_confirmed: bool, reference: str | None) -> None:
        if is_confirmed and attempt.state == "confirmed" and attempt.operation in ("collect", "capture"):
            case.balance.queue_credit(attempt.amount_minor)
            again = msgspec.structs.replace(attempt, attempt_id=f"{attempt.attempt_id}-{case.sequence}")
            case.out.credits.append(_credit(case, again))
        else:
            hear_again(case, attempt, is_confirmed, reference)

    return patch.object(answers, "_hear_again", credit)


def _credit(case: Case, attempt: Attempt) -> Any:
    row = case.row
    return Credit(
        source_id=attempt.attempt_id, account_id=row.account_id, payment_id=row.payment_id,
        bank=attempt.bank, amount_minor=attempt.amount_minor, currency=row.currency,
    )  # fmt: skip


@mutant("a payout's success is not posted to the ledger")
def success_is_not_posted() -> Patch:
    post_hold = Case.post_hold

    def post(self: Case, subject_id: str, bank: str, amount_minor: int) -> None:
        if subject_id.startswith("ref_"):
            post_hold(self, subject_id, bank, amount_minor)
        else:
            self.void_hold(subject_id, amount_minor)

    return patch.object(Case, "post_hold", post)


@mutant("how much is left of a payment is not looked at before a refund, nor kept")
def refund_without_headroom() -> Patch:
    def begin(case: Case, event: RefundAsked) -> None:
        if case.refund(event.refund_id) is None and case.row.status == "succeeded":
            sent = refund._new(
                case, event.refund_id, event.amount_minor, "system", event.by, event.reason, "submitted"
            )
            case.tell("refund.requested", subject_id=event.refund_id)
            case.put_refund(sent)
            source = next(a for a in case.row.attempts if a.state == "confirmed")
            attempt = attempts.next_of(
                case.row, event.refund_id, "refund", source.bank, event.amount_minor, case.now
            )
            case.put_attempt(attempt)
            case.out.orders.append(
                attempts.order_of(case.row, attempt, original_reference=source.bank_reference)
            )

    return decides("RefundAsked", begin)


@mutant("the headroom is counted from succeeded refunds only, not from those under way")
def headroom_forgets_what_is_under_way() -> Patch:
    def room(payment_row: Any) -> int:
        return int(payment_row.captured_minor - payment_row.refunded_minor - payment_row.disputed_minor)

    return patch.object(refund, "headroom_minor", room)


@mutant("the refund that was asked for twice is made twice")
def refund_asked_twice_is_made_twice() -> Patch:
    asked = refund.asked

    def ask(case: Case, event: RefundAsked) -> None:
        if case.refund(event.refund_id) is not None:
            again = derived_id("ref", case.row.payment_id, f"{event.refund_id}{case.sequence}")
            event = msgspec.structs.replace(event, refund_id=again)
        asked(case, event)

    put_mail = Rows.put_mail

    def put(self: Rows, event: Event, source: tuple[str, str], at: datetime) -> bool:
        return put_mail(self, event, (source[0], f"{source[1]}#{self.arrived}"), at)

    return together(decides("RefundAsked", ask), patch.object(Rows, "put_mail", put))


@mutant("nobody looks whether another payment has a refund of this id")
def refund_id_of_another_payment() -> Patch:
    def ask(case: Case, event: RefundAsked) -> None:
        known, case.refund_owners = case.refund_owners, {}
        try:
            refund.asked(case, event)
        finally:
            case.refund_owners = known

    return decides("RefundAsked", ask)


@mutant("a refund that was given after its decline leaves its part of the headroom free")
def late_refund_leaves_headroom() -> Patch:
    def count(case: Case, attempt: Attempt, of: Refund, bank_reference: str | None) -> None:
        late._mark(case, attempt, LATE_SUCCESS, bank_reference)
        case.take_back(of.refund_id, attempt.bank, attempt.amount_minor)

    return patch.object(late, "_count_as_refunded", count)


@mutant("a declined refund keeps its part of the headroom and its hold")
def declined_refund_keeps_its_hold() -> Patch:
    def end(case: Case, one: Refund, status: Any, code: str | None = None, by: str | None = None) -> None:
        case.tell(f"refund.{status}", code=code, subject_id=one.refund_id)
        case.put_refund(
            msgspec.structs.replace(one, status=status, decline_code=code, due=None),
            refund_reserved_minor=case.row.refund_reserved_minor - one.amount_minor,
        )

    return patch.object(refund, "_end", end)


@mutant("an open chargeback does not keep its part of the headroom: refund and chargeback both go through")
def refund_and_chargeback() -> Patch:
    put_dispute = Case.put_dispute

    def put(self: Case, of: Any, **_: int) -> None:
        put_dispute(self, of)

    return patch.object(Case, "put_dispute", put)


@mutant("a lost chargeback is told, and not taken from the account")
def lost_chargeback_is_free() -> Patch:
    lose = dispute._lose

    def free(case: Case, attempt: Attempt, of: Any, event: Any) -> None:
        with patch.object(Case, "take_back", lambda *_: None):
            lose(case, attempt, of, event)

    return patch.object(dispute, "_lose", free)
