"""One turn: its events in order, over the rows they are about; whole changed rows and effects out (pure).

Promise: what is returned keeps what must always hold (`invariants`), or nothing is returned at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.payments.machine import (
    answers,
    bank_words,
    capture,
    dispute,
    invariants,
    payment,
    refund,
    review,
)
from services.payments.machine.account import Balance
from services.payments.machine.case import Case
from services.payments.machine.choice import Routes
from services.payments.machine.errors import IllegalTransition, RecordIncomplete, Refused
from services.payments.machine.events import (
    Answered,
    BankTold,
    CaptureAsked,
    Decisions,
    RefundAsked,
    RefundCancelAsked,
    ReminderDue,
    ReviewDecided,
    Screened,
    Snapshot,
    TurnCame,
    VoidAsked,
)
from services.payments.machine.model import ATTEMPT_OPEN, Attempt, Refund
from services.payments.machine.policy import Policy


def decide(snapshot: Snapshot, routes: Routes, policy: Policy) -> Decisions:
    """Decide a turn.

    An event that says nothing new, or comes too late, changes nothing; where it was mailed, `mail_done` says
    so. Credits queued in a turn that flushes their account count as posted by that flush.

    Raises:
        IllegalTransition: An event of our own making that the rows exclude.
        RecordIncomplete: A row that an event is about is missing.
        InvariantBroken: The decision would break what must always hold.
    """
    out = Decisions()
    cases: dict[str, Case] = {}
    balances: dict[str, Balance] = {}
    owners = dict(snapshot.refund_owners)
    for event in snapshot.events:
        case = cases.get(event.payment_id)
        if case is None:
            case = _open(snapshot, event.payment_id, balances, owners, routes, policy, out)
            cases[event.payment_id] = case
        result = "applied"
        try:
            _DECIDERS[type(event)](case, event)
        except Refused as refusal:
            result = f"refused: {refusal.code}"
        if event.mail_id is not None:
            out.mail_done.append((event.mail_id, result))
    for account_id, balance in balances.items():
        if (row := balance.changed_row()) is not None:
            out.accounts.append(row)
        if balance.flushed:
            out.flushed.append(account_id)
    for case in cases.values():
        _close(case)
    if len(cases) < len(snapshot.events):
        _drop_overtaken(out, cases)
    return out


def _open(
    snapshot: Snapshot,
    payment_id: str,
    balances: dict[str, Balance],
    owners: dict[str, str],
    routes: Routes,
    policy: Policy,
    out: Decisions,
) -> Case:
    row = snapshot.payments.get(payment_id)
    if row is None:
        raise RecordIncomplete(f"the snapshot lacks payment {payment_id}")
    balance = balances.get(row.account_id)
    if balance is None:
        account = snapshot.accounts.get(row.account_id)
        if account is None:
            raise RecordIncomplete(f"the snapshot lacks account {row.account_id}")
        balance = balances[row.account_id] = Balance(account)
    return Case(row, balance, snapshot.now, routes, policy, out, owners)


def _start(case: Case, _: TurnCame) -> None:
    payment.start(case)


def _remind(case: Case, event: ReminderDue) -> None:
    """A reminder; one that somebody was quicker with changes nothing."""
    row = case.row
    if event.subject_id == row.payment_id:
        if row.due is not None and row.due <= case.now:
            _remind_payment(case)
    elif (of := case.refund(event.subject_id)) is not None:
        if of.due is not None and of.due <= case.now:
            _remind_refund(case, of)
    elif (contested := case.dispute(event.subject_id)) is not None:
        if contested.due is not None and contested.due <= case.now:
            dispute.remind(case, contested)
    else:
        raise IllegalTransition(f"{row.payment_id} has no {event.subject_id}")


def _remind_payment(case: Case) -> None:
    status = case.row.status
    if status == "accepted":
        payment.start(case)
    elif status == "screening":
        payment.ask_again(case)
    elif status == "in_review":
        review.expire_payment(case)
    elif status == "reserved":
        payment.route_again(case)
    elif status == "authorized":
        capture.expire(case)
    else:
        answers.take_over(case, _open_attempt(case, case.row.payment_id))


def _remind_refund(case: Case, of: Refund) -> None:
    if of.status == "in_review":
        review.expire_refund(case, of)
    elif of.status in {"submitted", "unknown"}:
        answers.take_over(case, _open_attempt(case, of.refund_id))
    else:
        raise IllegalTransition(f"{of.refund_id} rests in {of.status}, which is left in the same turn")


def _open_attempt(case: Case, subject_id: str) -> Attempt:
    for attempt in reversed(case.row.attempts):
        if attempt.subject_id == subject_id and attempt.state in ATTEMPT_OPEN:
            return attempt
    raise IllegalTransition(f"{subject_id} waits for a bank, but none has an attempt")


# Each event's decision, by its class; the signature is (case, that event).
_DECIDERS: dict[type, Callable[[Case, Any], None]] = {
    TurnCame: _start,
    ReminderDue: _remind,
    Screened: payment.screened,
    ReviewDecided: review.decided,
    CaptureAsked: capture.capture_asked,
    VoidAsked: capture.void_asked,
    RefundAsked: refund.asked,
    RefundCancelAsked: refund.cancel_asked,
    Answered: answers.answered,
    BankTold: bank_words.told,
}


def _close(case: Case) -> None:
    """Hand over what the payment has become, whole and checked."""
    if case.row is case.before:
        return
    if case.row.sequence != case.sequence:
        case.change()
    before, row, out = case.before, case.row, case.out
    invariants.check(before, row)
    out.payments.append(row)
    if row.attempts is not before.attempts:
        _append_changed(out.attempts, before.attempts, row.attempts)
    if row.refunds is not before.refunds:
        _append_changed(out.refunds, before.refunds, row.refunds)
    if row.disputes is not before.disputes:
        _append_changed(out.disputes, before.disputes, row.disputes)


def _append_changed(out: list[Any], before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    # Rows are replaced in their place and added at the end, so a place tells which row it was.
    known = len(before)
    out.extend(row for place, row in enumerate(after) if place >= known or before[place] is not row)


def _drop_overtaken(out: Decisions, cases: dict[str, Case]) -> None:
    """Calls that an event later in the same turn has made pointless are not made."""
    live = {
        (a.attempt_id, a.epoch)
        for case in cases.values()
        for a in case.row.attempts
        if a.state in {"sending", "unknown"}
    }
    out.orders = [order for order in out.orders if (order.attempt_id, order.epoch) in live]
    out.askings = [asking for asking in out.askings if cases[asking.payment_id].row.status == "screening"]
